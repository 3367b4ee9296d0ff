//! Tool calls of the legacy era: the client decides whether a call becomes a task.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskferry_contract::{
    Arguments, Object, Requestor, SharedJson, TaskSupport, TaskView, missing_capabilities,
};

use crate::audit;
use crate::bridge::{Call, Tool, Wanted};
use crate::identity::{Caller, Needs};
use crate::mcp::allow::allow;
use crate::mcp::background::{self, BuiltIn, BuiltInCall, Called};
use crate::mcp::jsonrpc::{self, Request, RpcError, Text, code};
use crate::mcp::legacy::cancel;
use crate::mcp::legacy::delivery::SessionDelivery;
use crate::mcp::legacy::event_ids::EventIds;
use crate::mcp::legacy::exchange::Exchange;
use crate::mcp::legacy::sender::QuestionSender;
use crate::mcp::legacy::session::Opened;
use crate::mcp::legacy::shown::LegacyTask;
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::capabilities;
use crate::mcp::protocol::idempotency::GivenKey;
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::not_before::NotBefore;
use crate::mcp::protocol::number::Number;
use crate::mcp::protocol::progress::{self, ProgressTeller};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::trace::Trace;
use crate::mcp::protocol::wire::{self, Outcome};
use crate::mcp::wait::Wait;
use crate::mcp::wait::answers::{ResultFormat, Waiting};

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(default)]
    task: Option<Object<TaskWish>>,
    #[serde(borrow, rename = "_meta", default)]
    meta: Option<Object<Meta<'a>>>,
}

#[derive(Deserialize)]
struct TaskWish {
    /// ms; a number in the schema, so a client may send a fraction.
    #[serde(default)]
    ttl: Option<Number>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(
        borrow,
        rename = "progressToken",
        default,
        deserialize_with = "progress::token"
    )]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, default)]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tracestate: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    baggage: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "taskferry/idempotencyKey", default)]
    idempotency_key: GivenKey<'a>,
    #[serde(borrow, rename = "taskferry/notBefore", default)]
    not_before: NotBefore<'a>,
}

/// This era's way to write results.
pub(super) const FORMAT: ResultFormat = ResultFormat {
    result: call_answer,
    status: status_answer,
    write: |id, result| Answer::ok(jsonrpc::success(id, &result)),
};

/// Serves `tools/call`.
pub(super) async fn call(exchange: &Exchange<'_>) -> Result<Reply, Refusal> {
    let Exchange {
        era,
        caller,
        session,
        request,
    } = *exchange;
    let bridge = exchange.bridge();
    let params: CallParams<'_> = request.params()?;
    let Object(meta) = params.meta.unwrap_or_default();
    let token = progress::bounded(meta.progress_token)?;
    let background = &era.background;
    let Called { tool, built_in } = background.find(&params.name, session.knows_tasks()).await?;
    // Revisions without tasks never heard of `task`, nor of tools that need it.
    let wish = params.task.filter(|_| session.has_tasks());
    if session.has_tasks() {
        check_support(&tool, wish.is_some())?;
    }
    if built_in.is_none() {
        allow_call(caller, &tool, wish.is_some())?;
    }
    let arguments = &Arguments::of(params.arguments);
    if let Err(faults) = bridge.check(&tool, arguments).await {
        return unfit(session, request, wish.is_some(), &faults);
    }
    if let Some(refused) = check_capabilities(&tool, session, request, wish.is_some()) {
        return refused;
    }
    if let Some(built_in) = built_in {
        return call_built_in(exchange, built_in, arguments, token).await;
    }
    // Not `open`: by their session even callers without a name are told apart.
    let key = meta.idempotency_key.read(false)?;
    let asks = wire::asked_first(&tool, &session.session.capabilities);
    let trace = Trace::of([meta.traceparent, meta.tracestate, meta.baggage]);
    trace
        .context()
        .parent
        .inspect(|parent| audit::traced(parent));
    let call = Call {
        tool: &tool,
        arguments,
        owner: &caller.owner,
        idempotency_key: key.as_deref(),
        capabilities: &session.session.capabilities,
        trace: trace.context(),
        not_before_ms: meta.not_before.read()?,
        log_level: session.session.log_level,
        answers: &[],
        asks: &asks,
    };
    match wish {
        Some(Object(wish)) => start(exchange, &call, wish, token).await,
        None => wait(exchange, &call, token).await,
    }
}

async fn call_built_in(
    exchange: &Exchange<'_>,
    built_in: BuiltIn,
    arguments: &Arguments,
    token: Option<&RawValue>,
) -> Result<Reply, Refusal> {
    if built_in == BuiltIn::Status {
        cancel::begin_call(exchange).await;
    }
    let (session, request) = (exchange.session, exchange.request);
    let sender = QuestionSender::of_request(exchange.bridge(), session, request.id);
    let call = BuiltInCall {
        built_in,
        arguments,
        request: request.id,
        progress: token.map(|token| ProgressTeller::new(token.to_owned())),
        delivery: SessionDelivery::for_call(exchange.era, sender, None),
        client: session.client(),
        watch: None,
        format: &FORMAT,
    };
    let background = &exchange.era.background;
    background.call(exchange.caller, call).await
}

/// Refuses a call for which its caller lacks scopes.
fn allow_call(caller: &Caller, tool: &Tool, as_task: bool) -> Result<(), Refusal> {
    let definition = &tool.definition;
    let needs = Needs::of_call(&definition.scopes);
    allow(caller, needs.and_tasks(&definition.task_scopes, as_task))
}

/// Makes the call a task.
async fn start(
    exchange: &Exchange<'_>,
    call: &Call<'_>,
    wish: TaskWish,
    token: Option<&RawValue>,
) -> Result<Reply, Refusal> {
    let requestor = requestor(exchange, token);
    let wanted = Wanted {
        ttl_ms: wish.ttl_ms()?,
        keep: Duration::ZERO,
        requestor: Some(&requestor),
    };
    let view = exchange.bridge().tasks().start(call, &wanted).await?;
    let created = Created {
        task: LegacyTask::new(&view),
        meta: Created::meta(call.tool, &view),
    };
    let answer = Answer::ok(jsonrpc::success(exchange.request.id, &created));
    Ok(Reply::Json(answer.of_task(view.id)))
}

/// Waits for the call's result.
async fn wait(
    exchange: &Exchange<'_>,
    call: &Call<'_>,
    token: Option<&RawValue>,
) -> Result<Reply, Refusal> {
    let (bridge, session, request) = (exchange.bridge(), exchange.session, exchange.request);
    let (requestor, definition) = (requestor(exchange, token), &call.tool.definition);
    let note_request = cancel::begin_call(exchange);
    let ((), watch) = tokio::join!(note_request, bridge.calls().begin(call, Some(&requestor)));
    let watch = watch?;
    let kept = Duration::from_millis(definition.ttl.default_ms);
    match cancel::remember(exchange, &watch, kept).await {
        Ok(false) => {}
        Ok(true) => return Ok(Reply::Unanswered),
        // An error here would have the client make the call again, and the job is queued.
        Err(error) => {
            tracing::warn!(task = %watch.id().digest(), error = error.sentence(), "a call cannot be cancelled by its client");
        }
    }
    // Only the call that queued the job can be resumed: the record has that one's session and token. A client of a joined
    // call makes the call again after a break, and joins again; so its events have no ids.
    let ids = (!watch.has_joined())
        .then(|| EventIds::new(session, request.id, (watch.id(), Waiting::Call)));
    let sender = QuestionSender::of_request(bridge, session, request.id);
    let delivery = SessionDelivery::for_call(exchange.era, sender, ids);
    let progress = token.map(|token| ProgressTeller::new(token.to_owned()));
    let log = call
        .log_level
        .map(|least| LogTeller::new(definition.name.as_str(), least).of_session(session.id));
    let to = (session.client(), delivery);
    let background = &exchange.era.background;
    let wait = Wait::new(request.id, watch, FORMAT.of_call(), to, exchange.caller)
        .telling(progress, log)
        .until(background.promotion_deadline(exchange.caller, call.tool, session.knows_tasks()));
    Ok(wait.reply(&exchange.era.edge))
}

/// The session that gets messages about the job, and its questions.
fn requestor(exchange: &Exchange<'_>, token: Option<&RawValue>) -> Requestor {
    Requestor {
        session: exchange.session.id,
        progress_token: token.map(|token| token.get().to_owned()),
    }
}

/// `CreateTaskResult`.
#[derive(Serialize)]
struct Created<'a> {
    task: LegacyTask<'a>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<CreatedMeta<'a>>,
}

/// A text that a host may show its model at once, so that the model goes on while the task runs (2025-11-25, Creating
/// Tasks).
#[derive(Serialize)]
struct CreatedMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/model-immediate-response")]
    immediate_response: &'a str,
}

impl<'a> Created<'a> {
    /// `None` for a tool that declares none, and for a task that was there before and has ended.
    fn meta(tool: &'a Tool, view: &TaskView) -> Option<CreatedMeta<'a>> {
        let declared = tool.definition.immediate_response.as_deref();
        declared
            .filter(|_| !view.status.is_terminal())
            .map(|immediate_response| CreatedMeta { immediate_response })
    }
}

impl TaskWish {
    fn ttl_ms(&self) -> Result<Option<u64>, Refusal> {
        let Some(Number(ttl)) = self.ttl else {
            return Ok(None);
        };
        if ttl < 0.0 {
            let text = "task.ttl must be a number of milliseconds, 0 or more";
            return Err(RpcError::invalid_params(text).into());
        }
        // However long, the tool's bounds decide.
        let ttl = Duration::try_from_secs_f64(ttl / 1000.0).unwrap_or(Duration::MAX);
        Ok(Some(ttl.as_millis().try_into().unwrap_or(u64::MAX)))
    }
}

/// The answer to arguments that do not fit.
fn unfit(
    session: &Opened,
    request: &Request<'_>,
    as_task: bool,
    faults: &str,
) -> Result<Reply, Refusal> {
    // Before 2025-11-25 the spec had bad arguments as a protocol error.
    if as_task || !session.has_tasks() {
        return Err(RpcError::invalid_params(faults).into());
    }
    // A tool error, not a protocol error: a model can read it and mend its call.
    let body = jsonrpc::success(request.id, &wire::tool_error(faults));
    Ok(Reply::Json(Answer::ok(body)))
}

fn check_support(tool: &Tool, as_task: bool) -> Result<(), Refusal> {
    let name = &tool.definition.name;
    let text = match (tool.definition.task_support, as_task) {
        (TaskSupport::Required, false) => {
            format!("{name} runs only as a task: add \"task\": {{}} to the params")
        }
        (TaskSupport::Forbidden, true) => {
            format!("{name} does not run as a task: leave \"task\" out of the params")
        }
        _ => return Ok(()),
    };
    Err(RpcError::new(code::METHOD_NOT_FOUND, text).into())
}

/// The answer to a call of a tool that needs a capability which this session's client did not declare.
fn check_capabilities(
    tool: &Tool,
    session: &Opened,
    request: &Request<'_>,
    as_task: bool,
) -> Option<Result<Reply, Refusal>> {
    let missing = missing_capabilities(&tool.required_capabilities, &session.session.capabilities);
    if missing.is_empty() {
        return None;
    }
    let text = capabilities::text(tool.definition.name.as_str(), &missing);
    if as_task {
        return Some(Err(RpcError::invalid_params(text).into()));
    }
    let body = jsonrpc::success(request.id, &wire::tool_error(&text));
    Some(Ok(Reply::Json(Answer::ok(body))))
}

/// The answer to `task_status` once the job ended.
fn status_answer(id: &RawValue, view: &TaskView) -> Option<Answer> {
    let ended = view.status.is_terminal();
    ended.then(|| (FORMAT.write)(id, background::status(view)))
}

/// The answer to a plain call: the result as the worker wrote it.
fn call_answer(id: &RawValue, view: &TaskView) -> Option<Answer> {
    let as_it_is = |result: &SharedJson| result.is_json().then(|| Text::of(result));
    Some(Outcome::of(view)?.answer(id, as_it_is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_any_number_that_is_not_negative() {
        let ttl = |json: &str| {
            let Object(wish): Object<TaskWish> = serde_json::from_str(json).unwrap();
            wish.ttl_ms().map_err(|refusal| refusal.error.code)
        };
        for (json, ms) in [
            ("{}", None),
            (r#"{"ttl":null}"#, None),
            (r#"{"ttl":-0}"#, Some(0)),
            (r#"{"ttl":1500.9}"#, Some(1500)),
            (r#"{"ttl":1e400}"#, Some(u64::MAX)),
            (r#"{"ttl":18446744073709551616000}"#, Some(u64::MAX)),
        ] {
            assert_eq!(ttl(json), Ok(ms), "{json}");
        }
        let large = ttl(r#"{"ttl":9007199254740991}"#).unwrap();
        assert!(large > Some(9_000_000_000_000_000), "{large:?}");
        assert_eq!(ttl(r#"{"ttl":-1}"#), Err(code::INVALID_PARAMS));
        for json in [
            r#"{"ttl":"1"}"#,
            r#"{"ttl":true}"#,
            "[5000]",
            r#"{"ttl":[1]}"#,
        ] {
            assert!(
                serde_json::from_str::<Object<TaskWish>>(json).is_err(),
                "{json}"
            );
        }
    }
}
