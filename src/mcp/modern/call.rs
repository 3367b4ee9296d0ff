//! Tool calls of the modern era: the server decides whether a call becomes a task.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use taskferry_contract::{Arguments, CallDigest, SharedJson, TaskSupport, TaskView};

use crate::bridge::{Call, Wanted, Watch, digest};
use crate::identity::Needs;
use crate::mcp::allow::allow;
use crate::mcp::background::{self, BuiltInCall, Called};
use crate::mcp::jsonrpc::{self, Text};
use crate::mcp::modern::delivery::ReturnDelivery;
use crate::mcp::modern::exchange::Exchange;
use crate::mcp::modern::input::{Brought, Retry};
use crate::mcp::modern::repeated::{self, Presence};
use crate::mcp::modern::result::{COMPLETE, RESULT_META, SERVER_MEMBER, complete};
use crate::mcp::modern::task::ModernTask;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire::{self, Outcome};
use crate::mcp::wait::Wait;
use crate::mcp::wait::answers::{AsTask, ResultFormat};

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

/// This era's way to write results.
const FORMAT: ResultFormat = ResultFormat {
    result: call_answer,
    status: status_answer,
    write: |id, result| Answer::ok(jsonrpc::success(id, &complete(result))),
};

/// Serves `tools/call`.
pub(super) async fn call(exchange: &Exchange<'_>) -> Result<Reply, Refusal> {
    let Exchange {
        era,
        caller,
        facts,
        envelope,
        request,
    } = *exchange;
    let bridge = exchange.bridge();
    let params: CallParams<'_> = request.params()?;
    let retry: Retry<'_> = request.params()?;
    repeated::expect_name(facts, &params.name, Presence::Required)?;
    let background = &era.background;
    let Called { tool, built_in } = background.find(&params.name, envelope.takes_tasks).await?;
    if built_in.is_none() {
        let definition = &tool.definition;
        let may_be_task = envelope.takes_tasks && definition.task_support != TaskSupport::Forbidden;
        let needs = Needs::of_call(&definition.scopes);
        let needs = needs.and_tasks(&definition.task_scopes, may_be_task);
        allow(caller, needs)?;
    }
    envelope.require_for(&tool)?;
    let arguments = &Arguments::of(params.arguments);
    repeated::expect_parameters(facts, &tool.mirrored, arguments)?;
    if let Err(faults) = bridge.check(&tool, arguments).await {
        // An execution error, not a protocol error: a model can read it and mend its call.
        let unfit = wire::tool_error(&faults);
        return Ok(Reply::Json((FORMAT.write)(request.id, unfit)));
    }
    let key = envelope.idempotency_key.read(caller.owner.is_anonymous())?;
    let call_digest = digest(&params.name, arguments);
    let mut brought = retry.take(bridge, caller, &call_digest).await?;
    let job = brought.job.take();
    if let Some(built_in) = built_in {
        let call = BuiltInCall {
            built_in,
            arguments,
            request: request.id,
            progress: envelope.progress_teller(),
            delivery: exchange.delivery(call_digest),
            client: envelope.client(),
            watch: job,
            format: &FORMAT,
        };
        return background.call(caller, call).await;
    }
    let call = Call {
        tool: &tool,
        arguments,
        owner: &caller.owner,
        idempotency_key: key.as_deref(),
        capabilities: envelope.capabilities.get(),
        trace: envelope.trace.context(),
        not_before_ms: envelope.not_before.read()?,
        log_level: envelope.log_level,
        answers: &brought.answers,
        asks: &[],
    };
    carry(exchange, &call, (job, &brought, call_digest)).await
}

impl Exchange<'_> {
    /// The way to its client, for a call that is this one.
    fn delivery(&self, call: CallDigest) -> ReturnDelivery {
        ReturnDelivery {
            call,
            capabilities: self.envelope.capabilities.clone().into_owned(),
        }
    }
}

/// Serves the call: by the job that waits for its answers, or by a new one.
async fn carry(
    exchange: &Exchange<'_>,
    call: &Call<'_>,
    (job, brought, digest): (Option<Watch>, &Brought, CallDigest),
) -> Result<Reply, Refusal> {
    let (bridge, envelope) = (exchange.bridge(), exchange.envelope);
    let (request, definition) = (exchange.request, &call.tool.definition);
    let watch = match job {
        Some(watch) => watch,
        None => {
            let asked = brought.ask_first(bridge, request.id, call, &digest).await?;
            if let Some(answer) = asked {
                return Ok(Reply::Json(answer));
            }
            if envelope.takes_tasks && definition.task_support != TaskSupport::Forbidden {
                return start(exchange, call).await;
            }
            bridge.calls().begin(call, None).await?
        }
    };
    let log = call
        .log_level
        .map(|least| LogTeller::new(definition.name.as_str(), least).after(brought.log.clone()));
    let as_task = envelope.takes_tasks.then(|| AsTask {
        keep: Duration::from_millis(definition.keep_ms),
        write: task_answer,
    });
    let to = (envelope.client(), exchange.delivery(digest));
    let background = &exchange.era.background;
    let wait = Wait::new(request.id, watch, FORMAT.of_call(), to, exchange.caller)
        .telling(envelope.progress_teller(), log)
        .until(background.promotion_deadline(exchange.caller, call.tool, envelope.takes_tasks))
        .cancelled_with_its_client()
        .or_by_a_task(as_task);
    Ok(wait.reply(&exchange.era.edge))
}

/// Makes the call a task.
async fn start(exchange: &Exchange<'_>, call: &Call<'_>) -> Result<Reply, Refusal> {
    let wanted = Wanted {
        ttl_ms: None,
        keep: Duration::from_millis(call.tool.definition.keep_ms),
        requestor: None,
    };
    let view = exchange.bridge().tasks().start(call, &wanted).await?;
    Ok(Reply::Json(task_answer(exchange.request.id, &view)))
}

/// The answer to a call that became a task.
fn task_answer(id: &RawValue, view: &TaskView) -> Answer {
    Answer::ok(jsonrpc::success(id, &ModernTask::created(view))).of_task(view.id)
}

/// The answer to `task_status` once the job ended.
fn status_answer(id: &RawValue, view: &TaskView) -> Option<Answer> {
    let ended = view.status.is_terminal();
    ended.then(|| (FORMAT.write)(id, background::status(view)))
}

/// The answer to a plain call.
fn call_answer(id: &RawValue, view: &TaskView) -> Option<Answer> {
    let server = serde_json::to_string(&RESULT_META.server).ok()?;
    let shown = |result: &SharedJson| {
        let parts = result.with_members(&[COMPLETE], &[(SERVER_MEMBER, &server)])?;
        Some(Text::of_parts(result, parts))
    };
    Some(Outcome::of(view)?.answer(id, shown))
}
