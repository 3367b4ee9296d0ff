//! Streams that a client finds again, on any replica, after its connection broke (2025-11-25, transports, Resumability and
//! Redelivery). Nothing is stored for that: the id of an event says how far its stream was told, the record the rest.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;
use taskferry_contract::{SessionId, TaskId};
use tokio::sync::mpsc;

use super::call::{VOICE, call_answer};
use super::question::Carrier;
use super::session::Opened;
use super::task::result_answer;
use crate::bridge::{Bridge, BridgeError};
use crate::mcp::Mcp;
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::inbound::{Caller, Stated};
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::progress::ProgressTeller;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::{Event, Reply};
use crate::mcp::wait::{Awaits, Follow, OnDisconnect, OnQuestion};

/// A stream whose client went on elsewhere learns that within this time, or never needs to.
const TAKEN_OVER_FOR: Duration = Duration::from_secs(60);

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Awaited {
    /// The result of a plain call.
    Call,
    /// The result of a task.
    Result,
}

/// How far a stream was told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    task: String,
    awaited: Awaited,
    /// The id of the request that opened the stream, verbatim.
    request: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// Tells this connection from all others.
    stream: u64,
    /// Counts its events.
    event: u32,
    /// Whether the event holds the answer, after which nothing comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    answers: bool,
}

/// Numbers the events of one stream, so that it can be resumed after any of them.
#[derive(Debug)]
pub(in crate::mcp) struct Trail {
    session: SessionId,
    /// Clients before 2025-11-25 read every event as a message, also an empty one.
    primes: bool,
    place: Place,
}

impl Trail {
    pub(super) fn new(
        session: &Opened,
        request: &RawValue,
        (task, awaited): (TaskId, Awaited),
    ) -> Self {
        let place = Place {
            task: task.to_string(),
            awaited,
            request: request.to_owned(),
            progress: None,
            log: None,
            stream: rand::random(),
            event: 0,
            answers: false,
        };
        Self::at(session, place)
    }

    fn at(session: &Opened, place: Place) -> Self {
        Self {
            session: session.id,
            primes: session.has_tasks(),
            place,
        }
    }

    /// The event that comes before all others, if this client knows it.
    pub(in crate::mcp) fn primer(&mut self) -> Option<Event> {
        self.primes.then(|| Event::primer(self.next_id()))
    }

    /// The id of the next event.
    pub(in crate::mcp) fn next_id(&mut self) -> String {
        self.place.event += 1;
        self.place.write(self.session)
    }

    /// The id of the event that holds the answer.
    pub(in crate::mcp) fn last_id(&mut self) -> String {
        self.place.answers = true;
        self.next_id()
    }

    /// Notes what the next event tells of progress.
    pub(in crate::mcp) fn tells_progress(&mut self, progress: f64) {
        self.place.progress = Some(progress.to_string());
    }

    /// Notes the place of the log line that the next event tells.
    pub(in crate::mcp) fn tells_line(&mut self, place: String) {
        self.place.log = Some(place);
    }

    /// Whether the client went on with this stream over another connection.
    pub(in crate::mcp) async fn is_taken_over(&self, bridge: &Bridge) -> Result<bool, BridgeError> {
        let note = taken_over(self.place.stream);
        let noted = bridge.store().session_call(self.session, &note).await?;
        Ok(noted.is_some())
    }
}

impl Place {
    /// `<place>.<tag>`: the tag binds it to the session. A client could make one up for itself, which shows it nothing
    /// that its requests do not.
    fn write(&self, session: SessionId) -> String {
        let place = serde_json::to_vec(self).unwrap_or_default();
        let tag = sign(session, &place).finalize().into_bytes();
        let [place, tag] = [place.as_slice(), &tag].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{place}.{tag}")
    }

    fn read(session: SessionId, id: &str) -> Option<Self> {
        let (place, tag) = id.split_once('.')?;
        let [place, tag] = [place, tag].map(|part| URL_SAFE_NO_PAD.decode(part));
        let (place, tag) = (place.ok()?, tag.ok()?);
        sign(session, &place).verify_slice(&tag).ok()?;
        serde_json::from_slice(&place).ok()
    }
}

fn sign(session: SessionId, place: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(session.to_string().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(place);
    mac
}

/// Under which name the session notes that a connection's stream goes on elsewhere.
fn taken_over(stream: u64) -> String {
    format!("resumed-{stream:016x}")
}

impl Mcp {
    /// Goes on with the stream of a request after an event.
    pub(super) async fn legacy_resume(
        &self,
        caller: &Caller,
        session: &Opened,
        last: Stated<'_>,
    ) -> Result<Reply, Refusal> {
        let read = || {
            let place = Place::read(session.id, last.first()?)?;
            let task: TaskId = place.task.parse().ok()?;
            Some((place, task))
        };
        let (place, task) = read().ok_or_else(|| {
            let text = "Last-Event-ID is not the id of an event of this session; leave it out to open the session's own stream";
            Refusal::malformed(RpcError::invalid_params(text))
        })?;
        // Clients come back after the last event too, some for ever; this tells them to stop.
        if place.answers {
            return Ok(Reply::Nothing);
        }
        let mut over = Trail::at(session, place.clone());
        let request = place.request.clone();
        match self.resumed(caller, session, (place, task)).await {
            Ok(Some(follow)) => Ok(self.follow_as_stream(follow)),
            Ok(None) => Ok(Reply::Nothing),
            Err(BridgeError::NotFound) => Ok(gone(&request, over.last_id())),
            Err(error) => Err(error.into()),
        }
    }

    /// What is to be followed; nothing if the client took the request back.
    async fn resumed(
        &self,
        caller: &Caller,
        session: &Opened,
        (mut place, task): (Place, TaskId),
    ) -> Result<Option<Follow>, BridgeError> {
        let carrier = Carrier::of_request(&self.bridge, session, &place.request);
        if carrier.is_cancelled(&self.bridge).await? {
            return Ok(None);
        }
        let store = self.bridge.store();
        let note = taken_over(place.stream);
        store
            .note_session_call(session.id, &note, task, TAKEN_OVER_FOR)
            .await?;
        (place.stream, place.event) = (rand::random(), 0);
        let follow = Follow {
            request: place.request.clone(),
            watch: match place.awaited {
                Awaited::Call => self.bridge.resume(task, &caller.owner, &[]).await?,
                Awaited::Result => self.bridge.watch(task, &caller.owner).await?,
            },
            progress: None,
            log: None,
            on_disconnect: OnDisconnect::Leave,
            on_question: OnQuestion::send(carrier, place.awaited == Awaited::Result),
            client: session.client(),
            finish: match place.awaited {
                Awaited::Call => call_answer,
                Awaited::Result => result_answer,
            },
            awaits: match place.awaited {
                Awaited::Call => Awaits::Call,
                Awaited::Result => Awaits::Task,
            },
            trail: None,
            deadline: None,
            as_task: None,
        };
        let follow = match place.awaited {
            Awaited::Call => self.resumed_call(session, follow, &place).await?,
            Awaited::Result => follow,
        };
        Ok(Some(Follow {
            trail: Some(Trail::at(session, place)),
            ..follow
        }))
    }

    /// Adds what a plain call tells on the way; it is its session's alone.
    async fn resumed_call(
        &self,
        session: &Opened,
        mut follow: Follow,
        place: &Place,
    ) -> Result<Follow, BridgeError> {
        let asker = self.bridge.store().asker(follow.watch.id()).await?;
        let asker = asker
            .filter(|asker| asker.session == session.id)
            .ok_or(BridgeError::NotFound)?;
        let token = asker.progress_token.map(RawValue::from_string);
        let told = place.progress.as_deref().and_then(|told| told.parse().ok());
        let now = follow.watch.next().await?;
        let log = session.session.log_level;
        follow.progress = token
            .and_then(Result::ok)
            .map(|token| ProgressTeller::new(token).after(told));
        follow.log = log.map(|least| {
            let log = LogTeller::new(&now.tool, least).of_session(session.id);
            log.after(place.log.clone())
        });
        if let Some(tool) = self.bridge.catalog().find(&now.tool).await? {
            follow.deadline = self.hand_out_after(&tool, session.knows_tasks(), &VOICE);
        }
        follow.watch.seed(now);
        Ok(follow)
    }
}

/// The answer to a request whose job left nothing behind. A 404 would say that the session ended.
fn gone(request: &RawValue, id: String) -> Reply {
    let text = "this request cannot be resumed: its job is gone, or its result is no longer kept";
    let answer = Refusal::from(RpcError::invalid_params(text)).answer(request);
    let (_nothing_more, rest) = mpsc::channel(1);
    Reply::Stream {
        first: vec![Event {
            id: Some(id),
            ..Event::last(answer)
        }],
        rest,
        line: CallLine::default(),
    }
}

#[cfg(test)]
mod tests {
    use taskferry_contract::Shards;

    use super::*;

    #[test]
    fn an_id_reads_back_in_its_session_alone() {
        let (session, other) = (SessionId::random(), SessionId::random());
        let task = TaskId::random(Shards::default().all().next().unwrap());
        let place = Place {
            task: task.to_string(),
            awaited: Awaited::Call,
            request: RawValue::from_string("\"a b\\n/é\"".to_owned()).unwrap(),
            progress: Some("0.1".to_owned()),
            log: Some("1-2".to_owned()),
            stream: u64::MAX,
            event: 3,
            answers: false,
        };
        let id = place.write(session);
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        let read = Place::read(session, &id).unwrap();
        assert_eq!(read.request.get(), place.request.get());
        assert_eq!((read.progress, read.log), (place.progress, place.log));
        assert!(Place::read(other, &id).is_none());
        for wrong in ["", ".", "1", &id[1..], &id[..id.len() - 4]] {
            assert!(Place::read(session, wrong).is_none(), "{wrong}");
        }
    }
}
