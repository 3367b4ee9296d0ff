//! Tool calls of the modern era: the server decides whether a call becomes a task.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{TaskSupport, TaskView};

use super::envelope::Envelope;
use super::input::{Brought, Retry};
use super::repeated::{self, Presence};
use super::task::ModernTask;
use super::{RESULT_META, complete};
use crate::bridge::{Call, Wanted, Watch, digest};
use crate::mcp::Mcp;
use crate::mcp::background::{self, Called, Order, Voice};
use crate::mcp::jsonrpc::{self, Request, RpcError};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::inbound::Inbound;
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::object::RawObject;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire::{self, Outcome};
use crate::mcp::wait::{AsTask, Awaits, Follow, OnDisconnect, OnQuestion};

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// This era's way to say it.
const VOICE: Voice = Voice {
    result: call_answer,
    status: status_answer,
    write: |id, result| Answer::ok(jsonrpc::success(id, &complete(result))),
};

impl Mcp {
    pub(super) async fn modern_call(
        &self,
        inbound: &Inbound<'_>,
        envelope: &Envelope<'_>,
        request: &Request<'_>,
    ) -> Result<Reply, Refusal> {
        let params: CallParams<'_> = request.params()?;
        let retry: Retry<'_> = request.params()?;
        let (caller, facts) = (inbound.caller, inbound.facts);
        repeated::expect_name(facts, &params.name, Presence::Required)?;
        let Called { tool, built_in } = self.called(&params.name, envelope.takes_tasks).await?;
        envelope.require_for(&tool)?;
        let arguments = params.arguments.map_or("{}", RawValue::get);
        repeated::expect_parameters(facts, &tool.mirrored, arguments)?;
        if let Err(faults) = self.bridge.check(&tool, arguments).await {
            // An execution error, not a protocol error: a model can read it and mend its call.
            let result = complete(wire::tool_error(&faults));
            return Ok(Reply::Json(Answer::ok(jsonrpc::success(
                request.id, &result,
            ))));
        }
        let key = envelope.idempotency_key.read(caller.owner.is_anonymous())?;
        let call_digest = digest(&params.name, arguments);
        let mut brought = retry.take(&self.bridge, caller, &call_digest).await?;
        let job = brought.job.take();
        if let Some(built_in) = built_in {
            let order = Order {
                built_in,
                arguments,
                request: request.id,
                progress: envelope.progress_teller(),
                on_question: OnQuestion::Return {
                    call: call_digest,
                    capabilities: envelope.capabilities.clone().into_owned(),
                },
                client: envelope.client(),
                resumed: job,
                voice: &VOICE,
            };
            return self.order(caller, order).await;
        }
        let call = Call {
            tool: &tool,
            arguments,
            owner: &caller.owner,
            idempotency_key: key.as_deref(),
            capabilities: envelope.capabilities.get(),
            trace: envelope.trace.as_deref(),
            log_level: envelope.log_level,
            answers: &brought.answers,
            asks: &[],
        };
        let brought = (job, &brought, call_digest);
        self.modern_carry(request, envelope, &call, brought).await
    }

    /// Has the call carried out: by the job that waits for its answers, or by a new one.
    async fn modern_carry(
        &self,
        request: &Request<'_>,
        envelope: &Envelope<'_>,
        call: &Call<'_>,
        (job, brought, digest): (Option<Watch>, &Brought, String),
    ) -> Result<Reply, Refusal> {
        let definition = &call.tool.definition;
        let watch = match job {
            Some(watch) => watch,
            None => {
                let asked = brought
                    .ask_first(&self.bridge, request.id, call, &digest)
                    .await?;
                if let Some(answer) = asked {
                    return Ok(Reply::Json(answer));
                }
                if envelope.takes_tasks && definition.task_support != TaskSupport::Forbidden {
                    return self.modern_start(request, call).await;
                }
                self.bridge.call(call, None).await?
            }
        };
        let follow = Follow {
            request: request.id.to_owned(),
            watch,
            progress: envelope.progress_teller(),
            log: call.log_level.map(|least| {
                LogTeller::new(definition.name.as_str(), least).after(brought.log.clone())
            }),
            on_disconnect: OnDisconnect::Cancel,
            on_question: OnQuestion::Return {
                call: digest,
                capabilities: envelope.capabilities.clone().into_owned(),
            },
            client: envelope.client(),
            finish: call_answer,
            awaits: Awaits::Call,
            trail: None,
            deadline: self.hand_out_after(call.tool, envelope.takes_tasks, &VOICE),
            as_task: envelope.takes_tasks.then(|| AsTask {
                keep: Duration::from_millis(definition.keep_ms),
                write: task_answer,
            }),
        };
        Ok(self.follow(follow))
    }

    /// Makes the call a task.
    async fn modern_start(&self, request: &Request<'_>, call: &Call<'_>) -> Result<Reply, Refusal> {
        let wanted = Wanted {
            ttl_ms: None,
            keep: Duration::from_millis(call.tool.definition.keep_ms),
            asker: None,
        };
        let view = self.bridge.start(call, &wanted).await?;
        Ok(Reply::Json(task_answer(request.id, &view)))
    }
}

/// The answer to a call that became a task.
fn task_answer(id: &RawValue, view: &TaskView) -> Answer {
    Answer::ok(jsonrpc::success(id, &ModernTask::created(view))).of_task(view.id)
}

/// The answer to `task_status` once the job ended.
fn status_answer(id: &RawValue, view: &TaskView) -> Option<Answer> {
    let ended = view.status.is_terminal();
    ended.then(|| (VOICE.write)(id, background::status(view)))
}

/// The answer to a plain call.
fn call_answer(id: &RawValue, view: &TaskView) -> Option<Answer> {
    let body = match Outcome::of(view)? {
        Outcome::Result(result) => match RawObject::parse(result) {
            Ok(mut object) => {
                object.set("resultType", &"complete");
                object.set_meta("io.modelcontextprotocol/serverInfo", &RESULT_META.server);
                jsonrpc::success(id, &object)
            }
            Err(_unreadable) => jsonrpc::failure(
                Some(id),
                &RpcError::internal("the stored result is not an object"),
            ),
        },
        Outcome::Stored(error) => jsonrpc::failure(Some(id), &error),
        Outcome::Missing(error) => jsonrpc::failure(Some(id), &error),
    };
    Some(Answer::ok(body))
}
