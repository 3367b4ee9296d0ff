//! Reads what every modern request states in its `_meta`, and checks it against its headers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_contract::{
    LogLevel, Object, TaskSupport, UnknownLevel, cut, misfit, missing_capabilities, quoted,
};

use crate::audit;
use crate::bridge::Tool;
use crate::mcp::jsonrpc::{Request, RpcError, code};
use crate::mcp::modern::repeated;
use crate::mcp::protocol::capabilities;
use crate::mcp::protocol::idempotency::GivenKey;
use crate::mcp::protocol::inbound::Facts;
use crate::mcp::protocol::not_before::NotBefore;
use crate::mcp::protocol::outgoing::Addressable;
use crate::mcp::protocol::progress::{self, ProgressTeller};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::trace::Trace;
use crate::mcp::protocol::{LEGACY, MODERN, TASKS_EXTENSION};

/// What a request states in its `_meta`.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// The client's capabilities: an object without nulls.
    pub(super) capabilities: Cow<'a, RawValue>,
    /// Whether it takes tasks.
    pub(super) takes_tasks: bool,
    /// Its progress token: a string or an integer, verbatim.
    pub(super) progress_token: Option<&'a RawValue>,
    /// W3C trace context.
    pub(super) trace: Trace<'a>,
    /// From which level on it gets the job's log lines. `None` for none.
    pub(super) log_level: Option<LogLevel>,
    /// Its idempotency key; only calls have one.
    pub(super) idempotency_key: GivenKey<'a>,
    /// When it may run at the earliest; only calls say that.
    pub(super) not_before: NotBefore<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta", default)]
    meta: Option<Object<Meta<'a>>>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion", default)]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities", default)]
    capabilities: Option<&'a RawValue>,
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
    #[serde(borrow, rename = "io.modelcontextprotocol/logLevel", default)]
    log_level: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "taskferry/idempotencyKey", default)]
    idempotency_key: GivenKey<'a>,
    #[serde(borrow, rename = "taskferry/notBefore", default)]
    not_before: NotBefore<'a>,
}

#[derive(Deserialize)]
struct Capabilities<'a> {
    #[serde(borrow, default)]
    extensions: Option<HashMap<Cow<'a, str>, &'a RawValue>>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of `request` and checks its headers.
    pub(super) fn read(facts: &Facts<'_>, request: &Request<'a>) -> Result<Self, Refusal> {
        let params: Params<'a> = request.params().map_err(Refusal::malformed)?;
        let Object(meta) = params.meta.unwrap_or_default();
        check_version(facts, meta.version.as_deref())?;
        repeated::expect_method(facts, &request.method)?;
        let capabilities = meta
            .capabilities
            .ok_or_else(|| missing("clientCapabilities"))?;
        let unfit = |reason: &dyn fmt::Display| {
            let text = format!("io.modelcontextprotocol/clientCapabilities does not fit: {reason}");
            Refusal::malformed(RpcError::invalid_params(text))
        };
        capabilities::check(capabilities).map_err(|rule| unfit(&format!("it {rule}")))?;
        let Object(declared): Object<Capabilities<'a>> =
            serde_json::from_str(capabilities.get()).map_err(|error| unfit(&misfit(&error)))?;
        let extensions = declared.extensions.unwrap_or_default();
        let trace = Trace::of([meta.traceparent, meta.tracestate, meta.baggage]);
        trace
            .context()
            .parent
            .inspect(|parent| audit::traced(parent));
        Ok(Self {
            capabilities: without_nulls(capabilities),
            takes_tasks: extensions
                .get(TASKS_EXTENSION)
                .is_some_and(|settings| settings.get().starts_with('{')),
            progress_token: progress::bounded(meta.progress_token).map_err(Refusal::malformed)?,
            trace,
            log_level: meta.log_level.as_deref().map(read_level).transpose()?,
            idempotency_key: meta.idempotency_key,
            not_before: meta.not_before,
        })
    }

    /// The methods by which the client may be addressed.
    pub(super) fn client(&self) -> Addressable {
        Addressable::new(MODERN, self.capabilities.get())
    }

    /// Makes the progress notifications that it wants, if it wants any.
    pub(super) fn progress_teller(&self) -> Option<ProgressTeller> {
        self.progress_token
            .map(|token| ProgressTeller::new(token.to_owned()))
    }

    /// Refuses a request that does not take tasks.
    pub(super) fn require_tasks(&self) -> Result<(), Refusal> {
        if self.takes_tasks {
            return Ok(());
        }
        let text = format!("this needs the client capability extensions[{TASKS_EXTENSION:?}]");
        let missing = json!({ "extensions": { TASKS_EXTENSION: {} } });
        Err(lacking(text, &missing))
    }

    /// Refuses a call of a tool that needs what this client does not declare, and says all that is missing.
    pub(super) fn require_for(&self, tool: &Tool) -> Result<(), Refusal> {
        let mut missing =
            missing_capabilities(&tool.required_capabilities, self.capabilities.get());
        if tool.definition.task_support == TaskSupport::Required && !self.takes_tasks {
            let extensions = missing.entry("extensions").or_insert_with(|| json!({}));
            if let Some(extensions) = extensions.as_object_mut() {
                extensions.insert(TASKS_EXTENSION.to_owned(), json!({}));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let text = capabilities::text(tool.definition.name.as_str(), &missing);
        Err(lacking(text, &missing.into()))
    }
}

/// Refuses a request for what its client does not declare.
pub(super) fn lacking(text: String, missing: &Value) -> Refusal {
    let data = json!({ "requiredCapabilities": missing });
    Refusal::malformed(RpcError::new(code::MISSING_CLIENT_CAPABILITY, text).with_data(data))
}

/// Capabilities without what counts as absent.
fn without_nulls(capabilities: &RawValue) -> Cow<'_, RawValue> {
    match capabilities::in_revision(MODERN, capabilities.get()) {
        Cow::Owned(declared) => {
            RawValue::from_string(declared).map_or(Cow::Borrowed(capabilities), Cow::Owned)
        }
        Cow::Borrowed(_) => Cow::Borrowed(capabilities),
    }
}

fn read_level(level: &str) -> Result<LogLevel, Refusal> {
    level.parse().map_err(|unknown: UnknownLevel| {
        Refusal::malformed(RpcError::invalid_params(unknown.to_string()))
    })
}

fn check_version(facts: &Facts<'_>, version: Option<&str>) -> Result<(), Refusal> {
    let version = version.ok_or_else(|| missing("protocolVersion"))?;
    repeated::expect_revision(facts, version)?;
    if version == MODERN {
        return Ok(());
    }
    let supported: Vec<&str> = std::iter::once(MODERN).chain(LEGACY).collect();
    let text = format!(
        "protocol version {} is not supported for a request without a session",
        quoted(version)
    );
    let data = json!({ "supported": supported, "requested": cut(version, 64) });
    Err(Refusal::malformed(
        RpcError::new(code::UNSUPPORTED_VERSION, text).with_data(data),
    ))
}

fn missing(field: &str) -> Refusal {
    let text = format!("params._meta must have io.modelcontextprotocol/{field}");
    Refusal::malformed(RpcError::invalid_params(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::jsonrpc::{self, Body, Message};
    use crate::mcp::protocol::answer::RefusalKind;
    use crate::mcp::protocol::inbound::{Repeated, Stated};

    fn read(version: &str, body: &str) -> Result<bool, i64> {
        let facts = Facts {
            revision: Stated::of((!version.is_empty()).then_some(Some(version))),
            repeated: Some(Repeated {
                method: Stated::Once("tools/list"),
                ..Repeated::default()
            }),
            ..Facts::default()
        };
        match jsonrpc::parse(body.as_bytes()) {
            Ok(Body::One(Message::Request(request))) => Envelope::read(&facts, &request)
                .map(|envelope| envelope.takes_tasks)
                .map_err(|refusal| {
                    assert_eq!(refusal.kind, RefusalKind::Malformed);
                    refusal.error.code
                }),
            other => panic!("{other:?}"),
        }
    }

    fn body(meta: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{{meta}}}}}}}"#
        )
    }

    #[test]
    fn every_request_must_say_its_version_and_capabilities() {
        let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
        let plain = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
        let tasks = r#""io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        assert_eq!(
            read(MODERN, &body(&format!("{version},{plain}"))),
            Ok(false)
        );
        assert_eq!(read(MODERN, &body(&format!("{version},{tasks}"))), Ok(true));
        assert_eq!(read(MODERN, &body(version)), Err(code::INVALID_PARAMS));
        assert_eq!(read(MODERN, &body(plain)), Err(code::INVALID_PARAMS));
        assert_eq!(
            read("", &body(&format!("{version},{plain}"))),
            Err(code::HEADER_MISMATCH)
        );
        assert_eq!(
            read("2025-11-25", &body(&format!("{version},{plain}"))),
            Err(code::HEADER_MISMATCH)
        );
    }

    #[test]
    fn an_unknown_version_is_told_the_known_ones() {
        let meta = r#""io.modelcontextprotocol/protocolVersion":"1900-01-01","io.modelcontextprotocol/clientCapabilities":{}"#;
        assert_eq!(
            read("1900-01-01", &body(meta)),
            Err(code::UNSUPPORTED_VERSION)
        );
    }
}
