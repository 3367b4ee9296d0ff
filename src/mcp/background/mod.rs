//! Agents that know no tasks: a call that takes too long for them goes on in the background, as a task. It is answered by
//! words that tell a model how to go on, and three tools of our own do what the task methods do for others.

mod built_in;
mod words;

use std::sync::{Arc, Once};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{Arguments, Object, TaskId, misfit, plain};
use tokio::time::Instant;

use crate::bridge::{BridgeError, Cancelled, Tool, Watch};
use crate::mcp::edge::Edge;
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::inbound::Caller;
use crate::mcp::protocol::outgoing::Addressable;
use crate::mcp::protocol::progress::ProgressTeller;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire;
use crate::mcp::wait::Wait;
use crate::mcp::wait::answers::{Deadline, OnDeadline, ResultFormat};
use crate::mcp::wait::delivery::Delivery;
pub(super) use built_in::BuiltIn;
use built_in::LONGEST_WAIT;
pub(super) use words::status;
use words::{promoted, promoted_typed, unfinished};

/// Calls that go on in the background: what they are promoted by, and the tools that they are looked after with.
#[derive(Debug)]
pub(super) struct Background {
    edge: Edge,
    promotion: Option<Promotion>,
}

/// Where calls are promoted at all.
#[derive(Debug)]
struct Promotion {
    /// After this wait.
    after: Duration,
    tools: Vec<(BuiltIn, Arc<Tool>)>,
    /// Says once that a worker has a tool of the name of one of these.
    shadowed: Once,
}

impl Promotion {
    fn new(after: Duration) -> Self {
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

/// A call of a tool of our own.
pub(super) struct BuiltInCall<'a, D> {
    pub(super) built_in: BuiltIn,
    /// Those of the call, which fit the tool's schema.
    pub(super) arguments: &'a Arguments,
    pub(super) request: &'a RawValue,
    pub(super) progress: Option<ProgressTeller>,
    pub(super) delivery: D,
    /// What the client may be sent on the way.
    pub(super) client: Addressable,
    /// The job, if the call brought answers for it.
    pub(super) resumed: Option<Watch>,
    pub(super) format: &'static ResultFormat,
}

/// What the tools of our own take.
#[derive(Deserialize)]
struct Wish {
    task_id: String,
    #[serde(default)]
    wait_seconds: f64,
}

impl Background {
    pub(super) fn new(edge: Edge) -> Self {
        Self {
            promotion: edge.settings.handle_after.map(Promotion::new),
            edge,
        }
    }

    /// Whether there are tools of our own for some clients, and none for others.
    pub(super) fn depends_on_the_client(&self) -> bool {
        self.promotion.is_some()
    }

    /// Our own tools as a client sees them, after the workers': a worker's tool of the same name goes before ours.
    pub(super) fn built_ins(&self, knows_tasks: bool) -> Vec<(BuiltIn, Arc<Tool>)> {
        let Some(promotion) = self.promotion.as_ref().filter(|_| !knows_tasks) else {
            return Vec::new();
        };
        let catalog = self.edge.bridge.catalog();
        let (shadowed, ours): (Vec<_>, Vec<_>) = promotion
            .tools
            .iter()
            .cloned()
            .partition(|(built_in, _)| catalog.knows(built_in.name()));
        if let Some((built_in, _)) = shadowed.first() {
            let tool = built_in.name();
            promotion.shadowed.call_once(|| {
                tracing::warn!(%tool, "a worker registered a tool of this name; it goes before our own, and calls get no handles");
            });
        }
        ours
    }

    /// The tool of a name, as a client sees it.
    pub(super) async fn find(&self, name: &str, knows_tasks: bool) -> Result<Called, Refusal> {
        let ours = self.built_ins(knows_tasks);
        if let Some((built_in, tool)) = ours.into_iter().find(|(ours, _)| ours.name() == name) {
            return Ok(Called {
                tool,
                built_in: Some(built_in),
            });
        }
        let found = self.edge.bridge.catalog().find(name).await?;
        let tool = found
            .ok_or_else(|| RpcError::invalid_params(format!("unknown tool: {}", plain(name))))?;
        Ok(Called {
            tool,
            built_in: None,
        })
    }

    /// When a plain call of `tool` is promoted to a task: never for a client that knows tasks, nor without the tools for it.
    pub(super) fn promotes(&self, tool: &Tool, knows_tasks: bool) -> Option<Deadline> {
        let promotion = self.promotion.as_ref()?;
        let definition = &tool.definition;
        (self.built_ins(knows_tasks).len() == BuiltIn::ALL.len()).then(|| Deadline {
            at: Instant::now() + promotion.after,
            then: OnDeadline::Promote {
                keep: Duration::from_millis(definition.keep_ms),
            },
            tell: match definition.output_schema {
                Some(_) => promoted_typed,
                None => promoted,
            },
        })
    }

    /// Serves a tool of our own.
    pub(super) async fn call<D: Delivery>(
        &self,
        caller: &Caller,
        call: BuiltInCall<'_, D>,
    ) -> Result<Reply, Refusal> {
        let (request, format) = (call.request, call.format);
        let Object(wish): Object<Wish> = serde_json::from_str(call.arguments.as_str())
            .map_err(|error| RpcError::invalid_params(misfit(&error)))?;
        let served = match wish.task_id.parse() {
            Ok(id) => self.serve(caller, (id, wish.wait_seconds), call).await,
            Err(_unreadable) => Err(BridgeError::NotFound),
        };
        match served {
            // A model can read this, and a JSON-RPC error it may never see.
            Err(BridgeError::NotFound) => {
                let text = BridgeError::NotFound.to_string();
                Ok(Reply::Json((format.write)(
                    request,
                    wire::tool_error(&text),
                )))
            }
            served => Ok(served?),
        }
    }

    async fn serve<D: Delivery>(
        &self,
        caller: &Caller,
        (id, wait_seconds): (TaskId, f64),
        call: BuiltInCall<'_, D>,
    ) -> Result<Reply, BridgeError> {
        let (request, format, bridge) = (call.request, call.format, &self.edge.bridge);
        match call.built_in {
            BuiltIn::Status => {
                let watch = match call.resumed {
                    Some(watch) => watch,
                    None => bridge.tasks().watch(id, &caller.owner).await?,
                };
                let longest = LONGEST_WAIT.as_secs_f64();
                let longest = Duration::from_secs_f64(wait_seconds.clamp(0.0, longest));
                let deadline = Deadline {
                    at: Instant::now() + longest,
                    then: OnDeadline::Leave,
                    tell: status,
                };
                let to = (call.client, call.delivery);
                let wait = Wait::new(request, watch, format.of_status(), to)
                    .telling(call.progress, None)
                    .until(Some(deadline));
                Ok(wait.reply(&self.edge))
            }
            BuiltIn::Result => {
                let view = bridge.tasks().poll_with_outcome(id, &caller.owner).await?;
                let answer = (format.result)(request, &view);
                Ok(Reply::Json(answer.unwrap_or_else(|| {
                    (format.write)(request, unfinished(&view))
                })))
            }
            BuiltIn::Cancel => {
                let (Cancelled::Now(view) | Cancelled::EndedBefore(view)) =
                    bridge.tasks().cancel(id, &caller.owner).await?;
                Ok(Reply::Json((format.write)(request, status(&view))))
            }
        }
    }
}
