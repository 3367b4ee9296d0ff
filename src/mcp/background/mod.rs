//! Agents that know no tasks: a call that takes too long for them is answered by a handle, words that tell a model how to
//! go on, and three tools of our own do what the task methods do for others.

mod built_in;
mod words;

use std::sync::{Arc, Once};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{Object, TaskId, misfit, plain};
use tokio::time::Instant;

use crate::bridge::{BridgeError, Tool, Watch};
use crate::mcp::Mcp;
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::inbound::Caller;
use crate::mcp::protocol::outgoing::Addressable;
use crate::mcp::protocol::progress::ProgressTeller;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire;
use crate::mcp::wait::{Awaits, Deadline, Finish, Follow, Late, OnDisconnect, OnQuestion, Write};
pub(super) use built_in::BuiltIn;
use words::unfinished;
pub(super) use words::{handle, status};

/// A `task_status` waits no longer than this, below the 60 s after which many clients give a call up.
const LONGEST_WAIT: Duration = Duration::from_secs(45);

/// The feature, where it is on.
#[derive(Debug)]
pub(super) struct Handles {
    after: Duration,
    tools: Vec<(BuiltIn, Arc<Tool>)>,
    shadowed: Once,
}

impl Handles {
    /// Hands calls out after a wait.
    pub(super) fn new(after: Duration) -> Self {
        let tool = |built_in: BuiltIn| {
            let tool = Tool::new(built_in.definition()).expect("a schema of our own");
            (built_in, Arc::new(tool))
        };
        Self {
            after,
            tools: BuiltIn::ALL.into_iter().map(tool).collect(),
            shadowed: Once::new(),
        }
    }
}

/// A tool that is called, and which of our own it is if it is one.
pub(super) struct Called {
    pub(super) tool: Arc<Tool>,
    pub(super) built_in: Option<BuiltIn>,
}

/// How an era writes what is said here.
#[derive(Debug)]
pub(super) struct Voice {
    /// The answer to a plain call whose job ended.
    pub(super) result: Finish,
    /// The status of a job that ended, as the result of a tool.
    pub(super) status: Finish,
    /// The result of a tool.
    pub(super) write: Write,
}

/// A call of a tool of our own.
pub(super) struct Order<'a> {
    pub(super) built_in: BuiltIn,
    /// A JSON object that fits the tool's schema.
    pub(super) arguments: &'a str,
    pub(super) request: &'a RawValue,
    pub(super) progress: Option<ProgressTeller>,
    pub(super) on_question: OnQuestion,
    /// What the client may be sent on the way.
    pub(super) client: Addressable,
    /// The job, if the call brought answers for it.
    pub(super) resumed: Option<Watch>,
    pub(super) voice: &'static Voice,
}

#[derive(Deserialize)]
struct Arguments {
    task_id: String,
    #[serde(default)]
    wait_seconds: f64,
}

impl Mcp {
    /// Our own tools as a client sees them, after the workers': a worker's tool of the same name goes before ours.
    pub(super) fn built_ins(&self, knows_tasks: bool) -> Vec<(BuiltIn, Arc<Tool>)> {
        let Some(handles) = self.handles.as_ref().filter(|_| !knows_tasks) else {
            return Vec::new();
        };
        let catalog = self.bridge.catalog();
        let (shadowed, ours): (Vec<_>, Vec<_>) = handles
            .tools
            .iter()
            .cloned()
            .partition(|(built_in, _)| catalog.knows(built_in.name()));
        if let Some((built_in, _)) = shadowed.first() {
            let tool = built_in.name();
            handles.shadowed.call_once(|| {
                tracing::warn!(%tool, "a worker registered a tool of this name; it goes before our own, and calls get no handles");
            });
        }
        ours
    }

    /// The tool of a name, as a client sees it.
    pub(super) async fn called(&self, name: &str, knows_tasks: bool) -> Result<Called, Refusal> {
        let ours = self.built_ins(knows_tasks);
        if let Some((built_in, tool)) = ours.into_iter().find(|(ours, _)| ours.name() == name) {
            return Ok(Called {
                tool,
                built_in: Some(built_in),
            });
        }
        let found = self.bridge.catalog().find(name).await;
        let tool = found
            .map_err(BridgeError::from)?
            .ok_or_else(|| RpcError::invalid_params(format!("unknown tool: {}", plain(name))))?;
        Ok(Called {
            tool,
            built_in: None,
        })
    }

    /// When a plain call of `tool` is handed out: never to a client that knows tasks, nor without the tools for it.
    pub(super) fn hand_out_after(
        &self,
        tool: &Tool,
        knows_tasks: bool,
        voice: &Voice,
    ) -> Option<Deadline> {
        let handles = self.handles.as_ref()?;
        let late = Late::HandOut {
            keep: Duration::from_millis(tool.definition.keep_ms),
            typed: tool.definition.output_schema.is_some(),
        };
        (self.built_ins(knows_tasks).len() == BuiltIn::ALL.len()).then(|| Deadline {
            at: Instant::now() + handles.after,
            late,
            write: voice.write,
        })
    }

    /// Serves a tool of our own.
    pub(super) async fn order(&self, caller: &Caller, order: Order<'_>) -> Result<Reply, Refusal> {
        let (request, voice) = (order.request, order.voice);
        let Object(arguments): Object<Arguments> = serde_json::from_str(order.arguments)
            .map_err(|error| RpcError::invalid_params(misfit(&error)))?;
        let served = match arguments.task_id.parse() {
            Ok(id) => {
                self.serve(caller, (id, arguments.wait_seconds), order)
                    .await
            }
            Err(_unreadable) => Err(BridgeError::NotFound),
        };
        match served {
            // A model can read this, and a JSON-RPC error it may never see.
            Err(BridgeError::NotFound) => {
                let text = BridgeError::NotFound.to_string();
                Ok(Reply::Json((voice.write)(request, wire::tool_error(&text))))
            }
            served => Ok(served?),
        }
    }

    async fn serve(
        &self,
        caller: &Caller,
        (id, wait_seconds): (TaskId, f64),
        order: Order<'_>,
    ) -> Result<Reply, BridgeError> {
        let (request, voice) = (order.request, order.voice);
        match order.built_in {
            BuiltIn::Status => {
                let watch = match order.resumed {
                    Some(watch) => watch,
                    None => self.bridge.watch(id, &caller.owner).await?,
                };
                let longest = LONGEST_WAIT.as_secs_f64();
                let wait = Duration::from_secs_f64(wait_seconds.clamp(0.0, longest));
                let follow = Follow {
                    request: request.to_owned(),
                    watch,
                    progress: order.progress,
                    log: None,
                    on_disconnect: OnDisconnect::Leave,
                    on_question: order.on_question,
                    client: order.client,
                    finish: voice.status,
                    awaits: Awaits::Status(voice.write),
                    trail: None,
                    deadline: Some(Deadline {
                        at: Instant::now() + wait,
                        late: Late::Status,
                        write: voice.write,
                    }),
                    as_task: None,
                };
                Ok(self.follow(follow))
            }
            BuiltIn::Result => {
                let view = self.bridge.poll_with_outcome(id, &caller.owner).await?;
                let answer = (voice.result)(request, &view);
                Ok(Reply::Json(answer.unwrap_or_else(|| {
                    (voice.write)(request, unfinished(&view))
                })))
            }
            BuiltIn::Cancel => {
                let (Ok(view) | Err(view)) = self.bridge.cancel(id, &caller.owner).await?;
                Ok(Reply::Json((voice.write)(request, status(&view))))
            }
        }
    }
}
