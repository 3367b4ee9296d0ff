//! Sessions: opened by `initialize`, kept in Redis, ended by their client or by silence.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{Object, Owner, Session, SessionId, plain};

use crate::identity::Caller;
use crate::mcp::jsonrpc::{self, Request, RpcError};
use crate::mcp::legacy::exchange::Legacy;
use crate::mcp::legacy::session::Opened;
use crate::mcp::protocol::answer::{Answer, RefusalKind};
use crate::mcp::protocol::capabilities;
use crate::mcp::protocol::inbound::{Inbound, Stated};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::wire::SERVER_INFO;
use crate::mcp::protocol::{LEGACY, LEGACY_WITH_TASKS};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InitializeParams<'a> {
    #[serde(borrow)]
    protocol_version: Cow<'a, str>,
    #[serde(borrow)]
    capabilities: &'a RawValue,
    #[serde(borrow, default)]
    client_info: Option<Object<ClientInfo<'a>>>,
}

#[derive(Deserialize, Default)]
struct ClientInfo<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    version: Option<Cow<'a, str>>,
}

impl Legacy {
    /// Opens a session.
    pub(super) async fn initialize(
        &self,
        inbound: &Inbound<'_>,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let caller = inbound.caller;
        let params: InitializeParams<'_> = request.params()?;
        capabilities::check(params.capabilities)
            .map_err(|rule| RpcError::invalid_params(format!("capabilities {rule}")))?;
        // A client that asks for a revision we do not speak is offered our newest, and decides.
        let revision = LEGACY
            .into_iter()
            .find(|revision| *revision == params.protocol_version)
            .unwrap_or(LEGACY_WITH_TASKS);
        let session = Session {
            revision: revision.to_owned(),
            owner: caller.owner.clone(),
            capabilities: capabilities::in_revision(revision, params.capabilities.get())
                .into_owned(),
            log_level: None,
            client: client_name(params.client_info),
        };
        let (sessions, idle) = (self.edge.bridge.sessions(), self.edge.settings.session_idle);
        let id = sessions.open(&session, inbound.address, idle).await?;
        tracing::info!(session = %id.digest(), client = %session.client, revision, "session opened");
        let mut result = json!({
            "protocolVersion": revision,
            "capabilities": offered(caller, revision),
            "serverInfo": SERVER_INFO,
        });
        if let (Some(text), Some(object)) =
            (&self.edge.settings.instructions, result.as_object_mut())
        {
            object.insert("instructions".to_owned(), json!(text));
        }
        Ok(Answer {
            session: Some(id),
            ..Answer::ok(jsonrpc::success(request.id, &result))
        })
    }

    /// The live session that a request names, with its expiry moved on.
    pub(super) async fn session(&self, inbound: &Inbound<'_>) -> Result<Opened, Refusal> {
        check_version(inbound.facts.revision)?;
        let id = named(inbound.facts.session)?;
        let sessions = self.edge.bridge.sessions();
        let session = sessions.find(id).await?;
        let session = session
            .filter(|session| session.owner == inbound.caller.owner)
            .ok_or_else(ended)?;
        if self.sessions.is_due(id, Instant::now()) {
            let (from, idle) = (by(inbound), self.edge.settings.session_idle);
            sessions.use_again(id, from, idle).await?;
        }
        Ok(Opened { id, session })
    }

    /// Ends the session that a message names.
    pub(super) async fn end(&self, inbound: &Inbound<'_>) -> Result<(), Refusal> {
        let opened = self.session(inbound).await?;
        let sessions = self.edge.bridge.sessions();
        Ok(sessions.end(opened.id, by(inbound)).await?)
    }
}

/// Whose session it is that a message names, and where the message comes from.
fn by<'a>(inbound: &Inbound<'a>) -> (&'a Owner, Option<IpAddr>) {
    (&inbound.caller.owner, inbound.address)
}

/// Name and version, as far as they are given.
fn client_name(info: Option<Object<ClientInfo<'_>>>) -> String {
    let Object(ClientInfo { name, version }) = info.unwrap_or_default();
    let words = [name, version].map(Option::unwrap_or_default);
    words.map(|word| plain(&word)).join(" ")
}

/// What this server offers a legacy client.
fn offered(caller: &Caller, revision: &str) -> serde_json::Value {
    let mut capabilities = json!({ "tools": { "listChanged": true }, "logging": {} });
    if revision == LEGACY_WITH_TASKS {
        let mut tasks = json!({ "cancel": {}, "requests": { "tools": { "call": {} } } });
        // Callers that cannot be told apart must not see each other's tasks.
        if let (false, Some(tasks)) = (caller.owner.is_anonymous(), tasks.as_object_mut()) {
            tasks.insert("list".to_owned(), json!({}));
        }
        if let Some(all) = capabilities.as_object_mut() {
            all.insert("tasks".to_owned(), tasks);
        }
    }
    capabilities
}

fn check_version(revision: Stated<'_>) -> Result<(), Refusal> {
    match revision {
        Stated::Absent => return Ok(()),
        Stated::Once(revision) if LEGACY.contains(&revision) => return Ok(()),
        Stated::Once(_) | Stated::Unreadable | Stated::Several(_) => {}
    }
    let text = format!(
        "MCP-Protocol-Version must be there once and be one of {}, as initialize settled it",
        LEGACY.join(", ")
    );
    Err(Refusal::malformed(RpcError::invalid_request(text)))
}

fn named(session: Stated<'_>) -> Result<SessionId, Refusal> {
    let text = match session {
        Stated::Once(id) => return id.parse().map_err(|_unreadable| ended()),
        Stated::Unreadable => return Err(ended()),
        Stated::Absent => {
            "this request names no session: send initialize first and repeat its Mcp-Session-Id header, or send the header MCP-Protocol-Version: 2026-07-28 with params._meta"
        }
        Stated::Several(_) => "the header Mcp-Session-Id is there more than once",
    };
    Err(Refusal::malformed(RpcError::invalid_request(text)))
}

fn ended() -> Refusal {
    let text = "this session ended, as one does that is not used for session_idle (a setting of the front end), or never was; send initialize to open another";
    Refusal::new(RefusalKind::NoSession, RpcError::invalid_request(text))
}
