//! The ids of a stream's events, by which a client finds the stream again, at any front end, after its connection broke
//! (2025-11-25, transports, Resumability and Redelivery). Nothing is stored for that: an id says how far its stream got,
//! the record of the job the rest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;
use taskferry_contract::{SessionId, TaskId};

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::legacy::session::Opened;
use crate::mcp::protocol::reply::Event;
use crate::mcp::wait::answers::Waiting;

/// How far a stream got: progress and log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ResumePoint {
    task: String,
    /// What the stream waits for.
    #[serde(rename = "awaited")]
    pub(super) waiting: Waiting,
    /// The id of the request that opened the stream, verbatim.
    pub(super) request: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<String>,
    /// Different for each connection.
    pub(super) stream: u64,
    /// Counts its events.
    event: u32,
    /// Whether the event holds the answer, after which nothing comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) answers: bool,
}

/// Numbers the events of one stream, so that it can be resumed after any of them.
#[derive(Debug)]
pub(super) struct EventIds {
    session: SessionId,
    /// Clients before 2025-11-25 read every event as a message, also an empty one.
    primes: bool,
    point: ResumePoint,
}

impl EventIds {
    pub(super) fn new(
        session: &Opened,
        request: &RawValue,
        (task, waiting): (TaskId, Waiting),
    ) -> Self {
        let point = ResumePoint {
            task: task.to_string(),
            waiting,
            request: request.to_owned(),
            progress: None,
            log: None,
            stream: rand::random(),
            event: 0,
            answers: false,
        };
        Self::at(session, point)
    }

    pub(super) fn at(session: &Opened, point: ResumePoint) -> Self {
        Self {
            session: session.id,
            primes: session.has_tasks(),
            point,
        }
    }

    /// The empty event that begins a stream, if this client can take it.
    pub(super) fn primer(&mut self) -> Option<Event> {
        self.primes.then(|| Event::primer(self.next_id()))
    }

    /// The id of the next event.
    pub(super) fn next_id(&mut self) -> String {
        self.point.event += 1;
        self.point.write(self.session)
    }

    /// The id of the event that holds the answer.
    pub(super) fn last_id(&mut self) -> String {
        self.point.answers = true;
        self.next_id()
    }

    /// Notes the progress that the next event has.
    pub(super) fn tells_progress(&mut self, progress: f64) {
        self.point.progress = Some(progress.to_string());
    }

    /// Notes the place of the log line that the next event has.
    pub(super) fn tells_line(&mut self, place: String) {
        self.point.log = Some(place);
    }

    /// Whether the client went on with this stream over another connection.
    pub(super) async fn is_taken_over(&self, bridge: &Bridge) -> Result<bool, BridgeError> {
        let requests = bridge.session_requests();
        requests
            .is_taken_over(self.session, self.point.stream)
            .await
    }
}

impl ResumePoint {
    /// The task that the stream waits for.
    pub(super) fn task(&self) -> Option<TaskId> {
        self.task.parse().ok()
    }

    /// The same point on a connection that goes on from it.
    pub(super) fn on_a_new_connection(self) -> Self {
        Self {
            stream: rand::random(),
            event: 0,
            ..self
        }
    }

    /// `<point>.<tag>`: the tag binds it to the session. A client could make one up for itself, which shows it nothing
    /// that its requests do not.
    pub(super) fn write(&self, session: SessionId) -> String {
        Self::sealed(session, &serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn sealed(session: SessionId, point: &[u8]) -> String {
        let tag = sign(session, point).finalize().into_bytes();
        let [point, tag] = [point, &tag].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{point}.{tag}")
    }

    pub(super) fn read(session: SessionId, id: &str) -> Option<Self> {
        let (point, tag) = id.split_once('.')?;
        let [point, tag] = [point, tag].map(|part| URL_SAFE_NO_PAD.decode(part));
        let (point, tag) = (point.ok()?, tag.ok()?);
        sign(session, &point).verify_slice(&tag).ok()?;
        serde_json::from_slice(&point).ok()
    }
}

fn sign(session: SessionId, point: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(session.to_string().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(point);
    mac
}

#[cfg(test)]
mod tests {
    use taskferry_contract::Shards;

    use super::*;

    #[test]
    fn an_id_reads_back_in_its_session_alone() {
        let (session, other) = (SessionId::random(), SessionId::random());
        let task = TaskId::random(Shards::default().all().next().unwrap());
        let point = ResumePoint {
            task: task.to_string(),
            waiting: Waiting::Call,
            request: RawValue::from_string("\"a b\\n/é\"".to_owned()).unwrap(),
            progress: Some("0.1".to_owned()),
            log: Some("1-2".to_owned()),
            stream: u64::MAX,
            event: 3,
            answers: false,
        };
        let id = point.write(session);
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        let read = ResumePoint::read(session, &id).unwrap();
        assert_eq!(read.request.get(), point.request.get());
        assert_eq!((read.progress, read.log), (point.progress, point.log));
        assert!(ResumePoint::read(other, &id).is_none());
        for wrong in ["", ".", "1", &id[1..], &id[..id.len() - 4]] {
            assert!(ResumePoint::read(session, wrong).is_none(), "{wrong}");
        }
    }
}
