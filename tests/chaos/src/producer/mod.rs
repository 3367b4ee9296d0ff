//! Producers: clients that call tools and follow what becomes of the tasks, in either era, on whichever replica.

mod legacy;
mod listener;
mod modern;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::history::{Outcome, Recorder, Seen, What};
use crate::http::{Replicas, Unanswered};
use crate::plan::{Call, Era, Plan};
pub(crate) use legacy::Legacy;
pub(crate) use modern::Modern;

/// Between two polls.
const POLL: Duration = Duration::from_millis(120);
/// How often what has ended is looked at again, in the other era too.
const SECOND_LOOKS: usize = 2;

/// What all producers share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) replicas: Replicas,
    pub(crate) recorder: Arc<Recorder>,
    /// Nothing new is called any more.
    pub(crate) stop: CancellationToken,
    /// Nothing is followed any more.
    pub(crate) end: CancellationToken,
}

impl World {
    /// One whose recorder writes into `folder`.
    pub(crate) fn new(endpoints: Vec<String>, folder: &Path) -> anyhow::Result<Arc<Self>> {
        let recorder = Arc::new(Recorder::new(folder)?);
        Ok(Arc::new(Self {
            replicas: Replicas::new(endpoints, &recorder)?,
            recorder,
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
        }))
    }

    /// Waits until a plain call is to be cancelled, if it is.
    async fn cancels_plain(&self, call: &Call) {
        let Some(after_ms) = call.cancel_after_ms else {
            return std::future::pending().await;
        };
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        self.note(call, Noted::now(self, What::Cancels));
    }

    fn note(&self, call: &Call, noted: Noted<'_>) {
        self.recorder.seen(Seen {
            sent_ms: noted.sent_ms,
            seen_ms: self.recorder.now_ms(),
            label: call.label.clone(),
            task: noted.task.unwrap_or_default().to_owned(),
            era: noted.era.unwrap_or(call.era),
            what: noted.what,
        });
    }
}

/// What a producer notes of a call.
struct Noted<'a> {
    /// When the request was sent by which it was seen.
    sent_ms: u64,
    what: What,
    /// The task; a plain call has none.
    task: Option<&'a str>,
    /// The era of the request, if it is not the call's.
    era: Option<Era>,
}

impl<'a> Noted<'a> {
    fn new(sent_ms: u64, what: What) -> Self {
        Self {
            sent_ms,
            what,
            task: None,
            era: None,
        }
    }

    fn now(world: &World, what: What) -> Self {
        Self::new(world.recorder.now_ms(), what)
    }

    fn of(self, task: &'a str) -> Self {
        Self {
            task: Some(task),
            ..self
        }
    }

    fn seen_in(self, era: Era) -> Self {
        Self {
            era: Some(era),
            ..self
        }
    }
}

/// Both eras as one producer speaks them.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) legacy: Legacy,
    pub(crate) modern: Modern,
}

impl Client {
    /// `listens`: whether its legacy sessions have their own stream open.
    pub(crate) fn new(world: &Arc<World>, listens: bool) -> Self {
        Self {
            legacy: Legacy::new(world, listens),
            modern: Modern::new(world),
        }
    }

    async fn begin(&mut self, call: &Call) -> Result<(String, What), Unanswered> {
        match call.era {
            Era::Legacy => self.legacy.begin(call).await,
            Era::Modern => self.modern.begin(call).await,
        }
    }

    /// Where a task stands.
    pub(crate) async fn look(&mut self, era: Era, task: &str) -> Result<What, Unanswered> {
        match era {
            Era::Legacy => self.legacy.look(task).await,
            Era::Modern => self.modern.look(task).await,
        }
    }
}

/// Makes the calls of a plan until it is told to stop.
pub(crate) async fn produce(world: Arc<World>, mut plan: Plan) {
    let mut client = Client::new(&world, plan.listens());
    while !world.stop.is_cancelled() {
        let call = plan.call();
        world.recorder.called(&call);
        tokio::select! {
            _done = one(&world, &mut client, &call) => {}
            () = world.end.cancelled() => return,
        }
        tokio::time::sleep(Duration::from_millis(call.pause_ms)).await;
    }
}

/// Has each replica serve a task and a plain call of either era, as soon as it does within the bound. The checker sees
/// from the calls' names whether it did.
pub(crate) async fn probe(world: &World, bound: Duration) {
    let mut probes = JoinSet::new();
    for (number, replica) in world.replicas.each().enumerate() {
        let alone = Arc::new(World {
            replicas: replica,
            recorder: Arc::clone(&world.recorder),
            stop: world.stop.clone(),
            end: world.end.clone(),
        });
        for call in Call::probes(number) {
            alone.recorder.called(&call);
            probes.spawn(timeout(bound, until_served(Arc::clone(&alone), call)));
        }
    }
    probes.join_all().await;
}

async fn until_served(world: Arc<World>, call: Call) {
    let mut client = Client::new(&world, false);
    while !one(&world, &mut client, &call).await {
        tokio::time::sleep(POLL).await;
    }
}

/// Makes a call and follows it; false if it was not answered, or not accepted.
async fn one(world: &World, client: &mut Client, call: &Call) -> bool {
    let sent = world.recorder.now_ms();
    if call.plain {
        let answer = match call.era {
            Era::Legacy => client.legacy.plain(call).await,
            Era::Modern => client.modern.plain(call).await,
        };
        if let Some(task) = handle(&answer) {
            // The replica was told to stop: the call goes on as a task.
            let accepted = What::Accepted {
                ttl_ms: HANDLE_TTL_MS,
            };
            world.note(call, Noted::new(sent, accepted).of(&task));
            follow(world, client, call, &task).await;
            return true;
        }
        // A plain call whose answer was lost is not followed.
        let answered = matches!(answer, Ok(What::Answered(Outcome::Result(_))));
        if let Ok(what) = answer {
            world.note(call, Noted::new(sent, what));
        }
        return answered;
    }
    let mut begun = client.begin(call).await;
    if call.keyed {
        // Whatever came of the first time: lost, refused or done.
        if let Ok((task, what)) = begun {
            world.note(call, Noted::new(sent, what).of(&task));
        }
        begun = client.begin(call).await;
    }
    let Ok((task, what)) = begun else {
        return false;
    };
    let accepted = matches!(what, What::Accepted { .. });
    world.note(call, Noted::new(sent, what).of(&task));
    if accepted {
        follow(world, client, call, &task).await;
    }
    accepted
}

/// The task that a plain call has become, if its answer says so.
fn handle(answer: &Result<What, Unanswered>) -> Option<String> {
    let Ok(What::Answered(Outcome::Result(result))) = answer else {
        return None;
    };
    let facts = result.get("structuredContent")?;
    facts.get("task_id")?.as_str().map(ToOwned::to_owned)
}

/// Polls until the task is over, cancels it when the plan says so, and looks again in both eras.
async fn follow(world: &World, client: &mut Client, call: &Call, task: &str) {
    let mut cancel_at = call
        .cancel_after_ms
        .map(|after| Instant::now() + Duration::from_millis(after));
    let mut looks = 0;
    let mut era = call.era;
    while looks <= SECOND_LOOKS {
        if cancel_at.is_some_and(|at| Instant::now() >= at) {
            world.note(call, Noted::now(world, What::Cancels).of(task));
            let cancelled = match call.era {
                Era::Legacy => client.legacy.cancel(task).await,
                Era::Modern => client.modern.cancel(task).await,
            };
            if cancelled.is_ok() {
                cancel_at = None;
            }
        }
        let sent = world.recorder.now_ms();
        if let Ok(what) = client.look(era, task).await {
            let over = matches!(what, What::Ended(_) | What::Missing | What::Absurd(_));
            let asked = matches!(&what, What::Runs { status, .. } if status == "input_required");
            let noted = Noted::new(sent, what).of(task);
            world.note(call, noted.seen_in(era));
            if over {
                looks += 1;
                era = if looks % 2 == 1 {
                    other(call.era)
                } else {
                    call.era
                };
            }
            if asked {
                let _tried_again_at_the_next_look = match call.era {
                    Era::Legacy => client.legacy.answer(task).await,
                    Era::Modern => client.modern.answer(task).await,
                };
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn other(era: Era) -> Era {
    match era {
        Era::Legacy => Era::Modern,
        Era::Modern => Era::Legacy,
    }
}

/// The ttl of a task that a plain call has become, which is its tool's.
const HANDLE_TTL_MS: u64 = 600_000;

/// What a call says in either era.
fn made_of(call: &Call) -> taskferry_client::Call<'_> {
    taskferry_client::Call::new(call.tool, call.arguments.clone())
}

/// The answer to every question.
fn accepted() -> Value {
    json!({ "action": "accept", "content": {} })
}

/// A result without what an era adds to it.
fn outcome(mut result: Value) -> Outcome {
    if let Some(all) = result.as_object_mut() {
        all.remove("_meta");
        all.remove("resultType");
        // Leaving it out and saying false are the same.
        if all.get("isError") == Some(&Value::Bool(false)) {
            all.remove("isError");
        }
    }
    Outcome::Result(result)
}

fn failure(error: &Value) -> Outcome {
    Outcome::Error(json!({ "code": error.get("code"), "message": error.get("message") }))
}

/// What an answer to a task call is that has no task: an error, for the tools or Redis may be away for a while.
fn not_accepted(message: &Value) -> What {
    match message.get("error") {
        Some(error) => What::Refused(error.clone()),
        None => What::Absurd(message.to_string()),
    }
}

/// Reads a member of an object that may not be there.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an answer says that there is no such task.
fn is_missing(message: &Value) -> bool {
    message.pointer("/error/code") == Some(&json!(-32602))
}
