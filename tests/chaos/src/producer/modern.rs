//! 2026-07-28: every request stands for itself; questions come with tasks/get, or end a plain call.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use taskferry_client::{Declaration, TASKS, modern, update};

use super::{World, accepted, failure, is_missing, made_of, not_accepted, outcome, text};
use crate::history::{Outcome, What};
use crate::http::{PATIENT, PROMPT, Unanswered};
use crate::plan::Call;

/// How often a plain call is made again with answers.
const ROUNDS: usize = 20;

/// One client.
#[derive(Debug)]
pub(crate) struct Modern {
    world: Arc<World>,
    requests: u64,
}

impl Modern {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            requests: 0,
        }
    }

    /// Creates a task.
    pub(super) async fn begin(&mut self, call: &Call) -> Result<(String, What), Unanswered> {
        let params = made_of(call).with_meta(call.meta()).params();
        let message = self.request("tools/call", params, true).await?;
        let task = message.get("result").cloned().unwrap_or_default();
        let id = text(&task, "taskId").to_owned();
        let ttl = task.get("ttlMs").and_then(Value::as_u64);
        Ok(match ttl {
            Some(ttl_ms) if !id.is_empty() => (id, What::Accepted { ttl_ms }),
            _ => (id, not_accepted(&message)),
        })
    }

    /// Makes a plain call, again with answers if it asks. It may be cancelled meanwhile, by closing the connection.
    pub(super) async fn plain(&mut self, call: &Call) -> Result<What, Unanswered> {
        let world = Arc::clone(&self.world);
        tokio::select! {
            answer = self.rounds(call) => answer,
            () = world.cancels_plain(call) => Err(Unanswered::Broken),
        }
    }

    async fn rounds(&mut self, call: &Call) -> Result<What, Unanswered> {
        let mut params = made_of(call).params();
        for _ in 0..ROUNDS {
            let message = self.request("tools/call", params.clone(), false).await?;
            let Some(result) = message.get("result") else {
                let error = message.get("error").unwrap_or(&Value::Null);
                return Ok(What::Answered(failure(error)));
            };
            if text(result, "resultType") != "input_required" {
                return Ok(What::Answered(outcome(result.clone())));
            }
            if let Some(all) = params.as_object_mut() {
                let state = result.get("requestState").cloned().unwrap_or_default();
                all.insert("requestState".to_owned(), state);
                all.insert("inputResponses".to_owned(), answers(result));
            }
            self.world.recorder.answered("call made again");
        }
        Ok(What::Absurd(format!("it asks for ever: {params}")))
    }

    /// Where a task stands; of one that ended, how.
    pub(super) async fn look(&mut self, task: &str) -> Result<What, Unanswered> {
        let message = self.get(task).await?;
        if is_missing(&message) {
            return Ok(What::Missing);
        }
        let view = message.get("result").ok_or(Unanswered::Broken)?;
        let part = |name| view.get(name).cloned().unwrap_or_default();
        Ok(match text(view, "status") {
            "cancelled" => What::Ended(Outcome::Cancelled),
            "completed" => What::Ended(outcome(part("result"))),
            "failed" => What::Ended(failure(&part("error"))),
            status => What::Runs {
                status: status.to_owned(),
                message: text(view, "statusMessage").to_owned(),
            },
        })
    }

    /// Answers what is open.
    pub(super) async fn answer(&mut self, task: &str) -> Result<(), Unanswered> {
        let message = self.get(task).await?;
        let view = message.get("result").unwrap_or(&Value::Null);
        let params = update(task, &answers(view));
        self.request("tasks/update", params, true).await?;
        self.world.recorder.answered("tasks/update");
        Ok(())
    }

    pub(super) async fn cancel(&mut self, task: &str) -> Result<(), Unanswered> {
        let cancelled = self.request("tasks/cancel", taskferry_client::task(task), true);
        cancelled.await.map(drop)
    }

    async fn get(&mut self, task: &str) -> Result<Value, Unanswered> {
        self.request("tasks/get", taskferry_client::task(task), true)
            .await
    }

    async fn request(
        &mut self,
        method: &str,
        params: Value,
        tasks: bool,
    ) -> Result<Value, Unanswered> {
        let extensions = if tasks {
            json!({ TASKS: {} })
        } else {
            json!({})
        };
        let capabilities = json!({ "elicitation": {}, "extensions": extensions });
        let client = Declaration::new("chaos", capabilities);
        self.requests += 1;
        let request = modern::request(&client, self.requests, method, params);
        let patience = if method == "tools/call" {
            PATIENT
        } else {
            PROMPT
        };
        let mut reply = self.world.replicas.send(&request, patience).await?;
        Ok(reply.answer().await?)
    }
}

/// An answer to each question that a result lists.
fn answers(result: &Value) -> Value {
    let asked = result.get("inputRequests").and_then(Value::as_object);
    let keys = asked.into_iter().flat_map(Map::keys);
    Value::Object(keys.map(|key| (key.clone(), accepted())).collect())
}
