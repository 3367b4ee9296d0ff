//! For clients that do not know MCP tasks. A call that takes too long is promoted to a task and goes on. Its answer is a
//! text that tells the model how to get the result, with three built-in tools: `task_status`, `task_result`, `task_cancel`.

mod built_in;
mod words;

use std::sync::{Arc, Once};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{Arguments, Object, TaskId, misfit, plain};
use tokio::time::Instant;

use crate::bridge::{BridgeError, Cancelled, Tool, Watch};
use crate::identity::{Caller, Needs};
use crate::mcp::edge::Edge;
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::answer::Answer;
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

/// Promotes slow calls to tasks, and serves the built-in tools for them.
#[derive(Debug)]
pub(super) struct Background {
    edge: Edge,
    promotion: Option<Promotion>,
}

/// How calls are promoted. Absent if `handle_after` is off.
#[derive(Debug)]
struct Promotion {
    /// How long a call may take before it is promoted (`handle_after`).
    after: Duration,
    tools: Vec<(BuiltIn, Arc<Tool>)>,
    /// Limits the warning about a worker's tool with the name of a built-in one to one.
    shadowed: Once,
}

impl Promotion {
    fn new(after: Duration) -> Self {
        let tool = |built_in: BuiltIn| {
            let tool = Tool::new(built_in.definition()).expect("the schema of a built-in tool");
            (built_in, Arc::new(tool))
        };
        Self {
            after,
            tools: BuiltIn::ALL.into_iter().map(tool).collect(),
            shadowed: Once::new(),
        }
    }
}

/// The tool that a call names, and which built-in tool it is, if any.
pub(super) struct Called {
    pub(super) tool: Arc<Tool>,
    pub(super) built_in: Option<BuiltIn>,
}

/// A call of a built-in tool.
pub(super) struct BuiltInCall<'a, D> {
    pub(super) built_in: BuiltIn,
    /// Those of the call, which fit the tool's schema.
    pub(super) arguments: &'a Arguments,
    pub(super) request: &'a RawValue,
    pub(super) progress: Option<ProgressTeller>,
    pub(super) delivery: D,
    /// Which messages the client can take before the answer.
    pub(super) client: Addressable,
    /// The watched job, if this call continues an earlier one and brings answers to its questions. `None` in the legacy
    /// era.
    pub(super) watch: Option<Watch>,
    pub(super) format: &'static ResultFormat,
}

/// The arguments of the built-in tools.
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

    /// Whether the list of tools depends on what the client knows.
    pub(super) fn depends_on_the_client(&self) -> bool {
        self.promotion.is_some()
    }

    /// The built-in tools that a client can call. None for a client that knows tasks. A worker's tool of the same name
    /// hides the built-in one.
    pub(super) fn built_ins(&self, knows_tasks: bool) -> Vec<(BuiltIn, Arc<Tool>)> {
        let Some(promotion) = self.promotion.as_ref().filter(|_| !knows_tasks) else {
            return Vec::new();
        };
        let catalog = self.edge.bridge.catalog();
        let (hidden, visible): (Vec<_>, Vec<_>) = promotion
            .tools
            .iter()
            .cloned()
            .partition(|(built_in, _)| catalog.knows(built_in.name()));
        if let Some((built_in, _)) = hidden.first() {
            let tool = built_in.name();
            promotion.shadowed.call_once(|| {
                tracing::warn!(%tool, "a worker registered a tool with the name of a built-in one, which it hides: slow calls are not promoted to tasks");
            });
        }
        visible
    }

    /// The tool of a name, as a client sees it.
    pub(super) async fn find(&self, name: &str, knows_tasks: bool) -> Result<Called, Refusal> {
        let built_ins = self.built_ins(knows_tasks);
        if let Some((built_in, tool)) = built_ins
            .into_iter()
            .find(|(built_in, _)| built_in.name() == name)
        {
            return Ok(Called {
                tool,
                built_in: Some(built_in),
            });
        }
        let catalog = self.edge.bridge.catalog();
        let tool = catalog.find(name).await?.ok_or_else(|| {
            let name = plain(name);
            let text = match catalog.why_unusable(&name) {
                Some(reason) => format!(
                    "the tool {name} cannot be called, since its definition cannot be used: {reason}"
                ),
                None => format!("unknown tool: {name}"),
            };
            RpcError::invalid_params(text)
        })?;
        Ok(Called {
            tool,
            built_in: None,
        })
    }

    /// When a plain call of `tool` is promoted to a task. `None` for a client that knows tasks, and while a worker's tool
    /// hides one of the built-in tools, or for a caller who could do nothing with the task.
    pub(super) fn promotion_deadline(
        &self,
        caller: &Caller,
        tool: &Tool,
        knows_tasks: bool,
    ) -> Option<Deadline> {
        let promotion = self.promotion.as_ref()?;
        let definition = &tool.definition;
        let needs = Needs::of_tasks(&definition.task_scopes);
        if caller.scopes.lacks(needs).is_some() {
            return None;
        }
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

    /// Answers a call of a built-in tool. An unknown task is a tool error, which the model can read.
    pub(super) async fn call<D: Delivery>(
        &self,
        caller: &Caller,
        call: BuiltInCall<'_, D>,
    ) -> Result<Reply, Refusal> {
        let (request, format) = (call.request, call.format);
        let Object(wish): Object<Wish> = serde_json::from_str(call.arguments.as_str())
            .map_err(|error| RpcError::invalid_params(misfit(&error)))?;
        let answered = match wish.task_id.parse() {
            Ok(id) => match self.edge.lacks_for_task(caller, id).await {
                Ok(Some(needs)) => return Err(Refusal::lacks_scopes(needs)),
                Ok(None) => self.answer(caller, (id, wish.wait_seconds), call).await,
                Err(error) => Err(error),
            },
            Err(_unreadable) => Err(BridgeError::NotFound),
        };
        match answered {
            // A tool error: the model sees it. Many clients do not show it a JSON-RPC error.
            Err(BridgeError::NotFound) => {
                let text = BridgeError::NotFound.to_string();
                let answer = (format.write)(request, wire::tool_error(&text));
                Ok(Reply::Json(Answer {
                    not_there: 1,
                    ..answer
                }))
            }
            answered => Ok(answered?),
        }
    }

    async fn answer<D: Delivery>(
        &self,
        caller: &Caller,
        (id, wait_seconds): (TaskId, f64),
        call: BuiltInCall<'_, D>,
    ) -> Result<Reply, BridgeError> {
        let (request, format, bridge) = (call.request, call.format, &self.edge.bridge);
        match call.built_in {
            BuiltIn::Status => {
                let watch = match call.watch {
                    Some(watch) => watch,
                    None => bridge.tasks().watch(id, &caller.owner).await?,
                };
                let longest = LONGEST_WAIT.as_secs_f64();
                let wait = Duration::from_secs_f64(wait_seconds.clamp(0.0, longest));
                let deadline = Deadline {
                    at: Instant::now() + wait,
                    then: OnDeadline::Leave,
                    tell: status,
                };
                let to = (call.client, call.delivery);
                let waiting = Wait::new(request, watch, format.of_status(), to, caller)
                    .telling(call.progress, None)
                    .until(Some(deadline));
                Ok(waiting.reply(&self.edge))
            }
            BuiltIn::Result => {
                let view = bridge.tasks().poll_with_outcome(id, &caller.owner).await?;
                let result = (format.result)(request, &view);
                Ok(Reply::Json(result.unwrap_or_else(|| {
                    (format.write)(request, unfinished(&view))
                })))
            }
            BuiltIn::Cancel => {
                // The status says whether it was cancelled or had ended before.
                let (Cancelled::Now(view) | Cancelled::EndedBefore(view)) =
                    bridge.tasks().cancel(id, &caller.owner).await?;
                Ok(Reply::Json((format.write)(request, status(&view))))
            }
        }
    }
}
