//! A legacy session's own stream, on which the front end sends the questions of its tasks first.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use taskferry_client::legacy::Session;
use tokio::time::sleep;

use super::{World, accepted};
use crate::http::{PROMPT, Unanswered};

/// How long one connection is kept.
const KEPT: Duration = Duration::from_secs(20);
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps the stream open, on one replica after the other, and answers what is asked on it, until the session is gone.
pub(super) async fn listen(world: Arc<World>, session: Session) {
    loop {
        let ended = one(&world, &session).await;
        if matches!(ended, Err(Unanswered::NoSession)) {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// One connection. If an answer does not get through, it ends, so that the question is asked again.
async fn one(world: &World, session: &Session) -> Result<(), Unanswered> {
    let mut stream = world.replicas.send(&session.listen(None), KEPT).await?;
    while let Some(message) = stream.message().await? {
        let method = message.get("method").and_then(Value::as_str);
        if method == Some("elicitation/create") {
            reply(world, session, &message).await?;
            world.recorder.answered("own stream");
        }
    }
    Ok(())
}

/// Answers a question, over any replica.
pub(super) async fn reply(
    world: &World,
    session: &Session,
    question: &Value,
) -> Result<(), Unanswered> {
    let id = question.get("id").unwrap_or(&Value::Null);
    let response = session.respond(id, accepted());
    world.replicas.send(&response, PROMPT).await.map(drop)
}
