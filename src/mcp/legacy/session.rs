//! Sessions: opened by `initialize`, kept in Redis, ended by DELETE or by silence.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{Object, Session, SessionId, Store, TaskId, plain};
use tokio::sync::mpsc;

use crate::bridge::BridgeError;
use crate::mcp::Mcp;
use crate::mcp::jsonrpc::{self, Request, RpcError};
use crate::mcp::protocol::answer::{Answer, RefusalKind};
use crate::mcp::protocol::capabilities;
use crate::mcp::protocol::inbound::{Caller, Inbound, Stated};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::Reply;
use crate::mcp::protocol::wire::SERVER_INFO;
use crate::mcp::protocol::{LEGACY, LEGACY_WITH_TASKS};

/// With fewer touched sessions than this, old ones are not looked for.
const SWEPT_FROM: usize = 10_000;

/// A live session and its id.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: SessionId,
    pub(super) session: Session,
}

/// When this replica last told Redis that a session is in use: a request reads its session, but only a few write.
#[derive(Debug)]
pub(crate) struct Sessions {
    idle: Duration,
    touched: Mutex<Touched>,
    /// The GET stream of each session that speaks for it, if that is here.
    streams: Mutex<HashMap<SessionId, OpenStream>>,
}

/// When sessions were touched. Old ones are swept out whenever there are twice as many as the last sweep left, so that the
/// scans cost no more than the entries did.
#[derive(Debug)]
struct Touched {
    at: HashMap<SessionId, Instant>,
    sweep_at: usize,
}

impl Default for Touched {
    fn default() -> Self {
        Self {
            at: HashMap::new(),
            sweep_at: SWEPT_FROM,
        }
    }
}

impl Touched {
    /// Whether a session was not touched within `every` before `now`; it is now.
    fn is_due(&mut self, id: SessionId, now: Instant, every: Duration) -> bool {
        let fresh = |at: &Instant| now.duration_since(*at) < every;
        if self.at.get(&id).is_some_and(fresh) {
            return false;
        }
        if self.at.len() >= self.sweep_at {
            self.at.retain(|_, at| fresh(at));
            self.sweep_at = SWEPT_FROM.max(self.at.len() * 2);
        }
        self.at.insert(id, now);
        true
    }
}

/// A GET stream that speaks for its session.
#[derive(Debug)]
struct OpenStream {
    carrier: String,
    rings: mpsc::Sender<TaskId>,
}

impl Sessions {
    pub(crate) fn new(idle: Duration) -> Self {
        Self {
            idle,
            touched: Mutex::default(),
            streams: Mutex::default(),
        }
    }

    /// Whether the session's expiry should be moved now: at most ten times in its idle time.
    fn is_due(&self, id: SessionId, now: Instant) -> bool {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.is_due(id, now, self.idle / 10)
    }

    /// Keeps a session in use for as long as this is waited for, which never ends.
    pub(crate) async fn keep(&self, store: &Store, id: SessionId) -> Infallible {
        loop {
            tokio::time::sleep(self.idle / 3).await;
            if let Err(error) = store.touch_session(id, self.idle).await {
                tracing::warn!(session = %id, %error, "a session in use could not be kept");
            }
        }
    }

    /// Lets a GET stream, named by its carrier, be rung.
    pub(super) fn open_stream(&self, id: SessionId, carrier: &str, rings: mpsc::Sender<TaskId>) {
        let carrier = carrier.to_owned();
        self.streams().insert(id, OpenStream { carrier, rings });
    }

    /// Whether any GET stream is open here.
    pub(super) fn has_streams(&self) -> bool {
        !self.streams().is_empty()
    }

    /// Tells the session's stream, if it is here, to look at a task. One that is too busy looks by itself soon.
    pub(super) fn ring(&self, id: SessionId, task: TaskId) {
        if let Some(open) = self.streams().get(&id) {
            let _looks_by_itself = open.rings.try_send(task);
        }
    }

    /// Rings a GET stream no longer.
    pub(super) fn close_stream(&self, id: SessionId, carrier: &str) {
        let mut streams = self.streams();
        if streams.get(&id).is_some_and(|open| open.carrier == carrier) {
            streams.remove(&id);
        }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<SessionId, OpenStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

impl Mcp {
    pub(super) async fn legacy_initialize(&self, caller: &Caller, request: &Request<'_>) -> Reply {
        match self.open(caller, request).await {
            Ok(answer) => Reply::Json(answer),
            Err(refusal) => Reply::Json(refusal.answer(request.id)),
        }
    }

    async fn open(&self, caller: &Caller, request: &Request<'_>) -> Result<Answer, Refusal> {
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
        let opened = self
            .bridge
            .store()
            .open_session(&session, self.settings.session_idle)
            .await;
        let id = opened.map_err(BridgeError::from)?;
        tracing::info!(session = %id, client = %session.client, revision, "session opened");
        let mut result = json!({
            "protocolVersion": revision,
            "capabilities": offered(caller, revision),
            "serverInfo": SERVER_INFO,
        });
        if let (Some(text), Some(object)) = (&self.settings.instructions, result.as_object_mut()) {
            object.insert("instructions".to_owned(), json!(text));
        }
        Ok(Answer {
            session: Some(id),
            ..Answer::ok(jsonrpc::success(request.id, &result))
        })
    }

    /// The live session that a request names, with its expiry moved on.
    pub(super) async fn legacy_session(&self, inbound: &Inbound<'_>) -> Result<Opened, Refusal> {
        check_version(inbound.facts.revision)?;
        let id = named(inbound.facts.session)?;
        let store = self.bridge.store();
        let session = store.session(id).await.map_err(BridgeError::from)?;
        let session = session
            .filter(|session| session.owner == inbound.caller.owner)
            .ok_or_else(ended)?;
        if self.sessions.is_due(id, Instant::now()) {
            store
                .touch_session(id, self.settings.session_idle)
                .await
                .map_err(BridgeError::from)?;
        }
        Ok(Opened { id, session })
    }

    pub(in crate::mcp) async fn legacy_end(&self, inbound: &Inbound<'_>) -> Reply {
        let end = async {
            let opened = self.legacy_session(inbound).await?;
            let ended = self.bridge.store().end_session(opened.id).await;
            Ok::<_, Refusal>(ended.map_err(BridgeError::from)?)
        };
        match end.await {
            Ok(_was_there) => Reply::Nothing,
            Err(refusal) => super::refused(refusal),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_in_use_is_kept_by_a_few_of_its_requests() {
        let (sessions, id) = (Sessions::new(Duration::from_secs(60)), SessionId::random());
        let start = Instant::now();
        let due = |seconds| sessions.is_due(id, start + Duration::from_secs(seconds));
        let written: Vec<u64> = (0..=60).filter(|second| due(*second)).collect();
        assert_eq!(written, [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60]);
    }

    #[test]
    fn touched_sessions_are_swept_seldom_and_the_old_ones_go() {
        let (mut touched, every) = (Touched::default(), Duration::from_secs(60));
        let start = Instant::now();
        let mut sweeps = 0;
        for _ in 0..SWEPT_FROM * 5 {
            let before = touched.sweep_at;
            assert!(touched.is_due(SessionId::random(), start, every));
            sweeps += usize::from(touched.sweep_at != before);
        }
        assert_eq!((sweeps, touched.at.len()), (3, SWEPT_FROM * 5));

        let (id, later) = (SessionId::random(), start + every);
        touched.sweep_at = touched.at.len();
        assert!(touched.is_due(id, later, every));
        assert!(!touched.is_due(id, later, every));
        assert_eq!((touched.at.len(), touched.sweep_at), (1, SWEPT_FROM));
    }
}
