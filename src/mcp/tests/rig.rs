//! A replica that nothing listens for, and a worker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_contract::{Owner, RedisSettings, SessionLimits, Store, ToolDefinition};
use taskferry_process::{Budget, Parts};
use taskferry_testing::{TestServer, eventually, eventually_some};
use taskferry_worker::{AskRequest, HandlerResult, JobContext, ToolOutput, Worker};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::{Bridge, Limits};
use crate::identity::Caller;
use crate::mcp::{Answer, Event, Facts, Inbound, Mcp, McpSettings, Reply, Says, Stopping};

/// How long a test waits for what must come.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Says its arguments.
async fn echo(job: JobContext) -> HandlerResult {
    Ok(ToolOutput::text(job.raw_arguments().get()))
}

/// Says what its caller answered.
async fn confirm(job: JobContext) -> HandlerResult {
    let question = AskRequest::elicitation("Go on?", json!({ "type": "object" }));
    let answer = job.ask("confirm", question).await?;
    Ok(ToolOutput::text(answer["action"].to_string()))
}

/// Ends only when it is cancelled.
async fn last(job: JobContext) -> HandlerResult {
    job.cancelled().cancelled().await;
    Ok(ToolOutput::text("cancelled"))
}

fn tool(name: &str) -> ToolDefinition {
    let schema = serde_json::value::to_raw_value(&json!({ "type": "object" })).unwrap();
    ToolDefinition::new(name.parse().unwrap(), schema)
}

/// A client's side of one replica.
pub(super) struct Rig {
    redis: TestServer,
    mcp: Arc<Mcp>,
    caller: Caller,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Rig {
    /// Starts both, and waits until the tools are known.
    pub(super) async fn start() -> Self {
        let redis = TestServer::start().await;
        let settings = RedisSettings::new(&redis.url());
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let worker = Worker::builder(Store::new(&settings).unwrap())
            .tool(tool("echo"), echo)
            .tool(tool("confirm"), confirm)
            .tool(tool("last"), last)
            .build()
            .unwrap();
        let ends = stop.clone();
        tracker.spawn(async move {
            worker.run(ends).await.unwrap();
        });
        let limits = Limits {
            queue_cap: 0,
            owner_cap: 0,
            owner_share: 0,
            owner_bytes: 0,
            queue_share: 100,
            sessions: SessionLimits::default(),
            owner_rate: None,
            no_worker_refuse: None,
            plain_keep: Duration::from_secs(60),
        };
        let memory = Parts::new(Budget::new(128 << 20), None);
        let bridge = Bridge::new(&settings, None, limits, memory).unwrap();
        let (kept, ends) = (bridge.clone(), stop.clone());
        tracker.spawn(async move { kept.run(&ends).await });
        let settings = McpSettings {
            session_idle: Duration::from_secs(600),
            stream_after: Duration::from_secs(1),
            handle_after: None,
            instructions: None,
            event_memory: 32 << 20,
        };
        let mcp = Mcp::new(
            bridge.clone(),
            settings,
            tracker.clone(),
            Stopping::default(),
        );
        let mcp = Arc::new(mcp);
        let (runs, ends) = (Arc::clone(&mcp), stop.clone());
        tracker.spawn(async move { runs.run(&ends).await });
        eventually(SOON, "the tools are known", async || {
            bridge.catalog().knows("last")
        })
        .await;
        Self {
            redis,
            mcp,
            caller: Caller::unchecked(Owner::named("user:alice").unwrap()),
            stop,
            tracker,
        }
    }

    /// Sends a message.
    pub(super) async fn send(&self, facts: &Facts<'_>, message: &Value) -> Reply {
        let inbound = Inbound {
            caller: &self.caller,
            address: None,
            facts,
        };
        let body = message.to_string();
        self.mcp.receive(&inbound, body.as_bytes()).await
    }

    /// What a request takes of memory while it is served, beside what it allocates: bytes.
    pub(super) fn bytes_of_a_request(&self) -> usize {
        let facts = Facts::default();
        let inbound = Inbound {
            caller: &self.caller,
            address: None,
            facts: &facts,
        };
        size_of_val(&self.mcp.receive(&inbound, b""))
    }

    /// Opens a session's own stream.
    pub(super) async fn open_stream(&self, facts: &Facts<'_>) -> Messages {
        Messages::of(self.opened(facts).await)
    }

    /// What a client gets that opens a session's own stream.
    pub(super) async fn opened(&self, facts: &Facts<'_>) -> Reply {
        let inbound = Inbound {
            caller: &self.caller,
            address: None,
            facts,
        };
        self.mcp.open_stream(&inbound).await
    }

    /// Ends a session.
    pub(super) async fn end_session(&self, facts: &Facts<'_>) -> Reply {
        let inbound = Inbound {
            caller: &self.caller,
            address: None,
            facts,
        };
        self.mcp.end_session(&inbound).await
    }

    /// What must hold after each test: everything ends, and nothing is queued or held.
    pub(super) async fn end(self) {
        self.redis.drained(SOON).await;
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(SOON, self.tracker.wait())
            .await
            .expect("nothing is left running");
    }
}

/// A request, as every client of the protocol writes it.
pub(super) fn request(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// What a client of either era does.
pub(super) trait Client {
    /// Where the answer to a call has the id of its task.
    const TASK_ID: &'static str;

    /// Sends a request, and waits for what comes back first.
    async fn ask(&self, method: &str, params: Value) -> Value;

    /// Makes a call that becomes a task, whose id it returns.
    async fn begun(&self, call: Value) -> String {
        let begun = self.ask("tools/call", call).await;
        let id = begun.pointer(Self::TASK_ID).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("no task: {begun}")).to_owned()
    }

    /// Polls a task until it stands so.
    async fn until(&self, task: &str, status: &str) -> Value {
        eventually_some(SOON, status, async || {
            let told = self.ask("tasks/get", json!({ "taskId": task })).await;
            (told["result"]["status"] == status).then_some(told)
        })
        .await
    }
}

/// What a reply says, message by message.
pub(super) struct Messages {
    known: VecDeque<Says>,
    rest: Option<mpsc::Receiver<Event>>,
}

impl Messages {
    pub(super) fn of(reply: Reply) -> Self {
        let says = |event: Event| event.says;
        match reply {
            Reply::Json(answer) => Self {
                known: [Says::Last(answer)].into(),
                rest: None,
            },
            Reply::Soon { first, rest, .. } | Reply::Stream { first, rest, .. } => Self {
                known: first.into_iter().map(says).collect(),
                rest: Some(rest),
            },
            other => panic!("no message in {other:?}"),
        }
    }

    /// The next message; an answer is the last one.
    pub(super) async fn next(&mut self) -> Value {
        loop {
            let says = match (self.known.pop_front(), &mut self.rest) {
                (Some(says), _) => says,
                (None, Some(rest)) => {
                    let event = tokio::time::timeout(SOON, rest.recv()).await;
                    event
                        .expect("a message comes in time")
                        .expect("a message")
                        .says
                }
                (None, None) => panic!("everything was read"),
            };
            let text = match says {
                Says::Nothing => continue,
                Says::Message(text) => text,
                Says::One(answer) | Says::Last(answer) => answer.body,
            };
            return serde_json::from_str(&String::from(&text)).unwrap();
        }
    }
}

/// The answer of a reply that is there at once.
pub(super) fn answer(reply: Reply) -> (Answer, Value) {
    match reply {
        Reply::Json(answer) => {
            let body = serde_json::from_str(&String::from(&answer.body)).unwrap();
            (answer, body)
        }
        other => panic!("no answer at once: {other:?}"),
    }
}

/// The names of the tools in the result of tools/list.
pub(super) fn names(listed: &Value) -> Vec<&str> {
    let tools = listed["result"]["tools"].as_array().unwrap();
    let mut names: Vec<&str> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names
}
