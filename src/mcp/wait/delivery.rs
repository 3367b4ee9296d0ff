//! How messages of a waiting request reach its client. Each era has its own way. This has nothing to do with entries of
//! streams, which the contract calls deliveries.

use std::convert::Infallible;
use std::fmt::Debug;

use serde_json::value::RawValue;
use taskferry_contract::{Owner, TaskId, TaskView};

use crate::bridge::{Bridge, BridgeError, Watch};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::outgoing::Outgoing;
use crate::mcp::protocol::reply::Event;
use crate::mcp::wait::answers::Waiting;

/// A request whose job asks its client.
#[derive(Debug, Clone, Copy)]
pub(in crate::mcp) struct Asked<'a> {
    /// The id of the request.
    pub(in crate::mcp) request: &'a RawValue,
    pub(in crate::mcp) view: &'a TaskView,
    pub(in crate::mcp) watch: &'a Watch,
    /// The place of the log line that was sent to the client last.
    pub(in crate::mcp) log: Option<&'a str>,
}

/// How questions go out.
#[derive(Debug)]
pub(in crate::mcp) enum Delivered {
    /// As these messages, or none for now: the request goes on waiting.
    ByMessages(Vec<Outgoing>),
    /// As the answer to the request, which ends with it.
    ByAnswer(Answer),
}

/// The way to the client of one request. The methods given here are for an era in which a request is its connection, and in
/// which nothing but its job is known of it.
pub(in crate::mcp) trait Delivery: Debug + Send + Sync + 'static {
    /// Sends the job's questions.
    fn ask(
        &mut self,
        bridge: &Bridge,
        asked: Asked<'_>,
    ) -> impl Future<Output = Result<Delivered, BridgeError>> + Send;

    /// The event after which the client comes back for the rest, if it can.
    fn primer(&mut self) -> Option<Event> {
        None
    }

    /// An event on the way (progress, a log line, a question), as it goes out.
    fn numbered(&mut self, event: Event) -> Event {
        event
    }

    /// The event that holds the answer, as it goes out.
    fn last(&mut self, answer: Answer) -> Event {
        Event::last(answer)
    }

    /// The answer went out.
    fn answered(&self, _bridge: &Bridge) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// The next event has this progress.
    fn tells_progress(&mut self, _progress: f64) {}

    /// The next event has the log line at this place.
    fn tells_line(&mut self, _place: String) {}

    /// Keeps the client's session alive, if it has one, while the caller awaits this. Never returns: the client may have no
    /// other request to make until this one is answered.
    fn keep_session(
        &self,
        _bridge: &Bridge,
    ) -> impl Future<Output = Infallible> + Send + use<Self> {
        std::future::pending()
    }

    /// Whether the client resumed this request over another connection, or cancelled it. False if that cannot be read: it
    /// is checked again with the next state of the job.
    fn is_over(&self, _bridge: &Bridge) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    /// Whether a job was cancelled because the client cancelled its request: then there is no answer.
    fn must_not_answer(
        &self,
        _bridge: &Bridge,
        _job: TaskId,
        _waiting: Waiting,
    ) -> impl Future<Output = Result<bool, BridgeError>> + Send {
        std::future::ready(Ok(false))
    }

    /// Waits until a message is due that no new state of the job brings.
    fn due(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The wait now sends what was due: it is due no more.
    fn clear_due(&mut self, _job: TaskId) {}

    /// Cancels the client's own tasks that were to answer questions of the job, if nothing waits for them any more.
    fn cancellations(
        &mut self,
        _bridge: &Bridge,
        _job: (TaskId, &Owner),
    ) -> impl Future<Output = Result<Vec<Outgoing>, BridgeError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }

    /// The same for a job that is gone.
    fn forget(&mut self, _job: TaskId) -> Vec<Outgoing> {
        Vec::new()
    }

    /// Lets other connections send again what was sent here and has no response.
    fn recall(&self, _bridge: &Bridge, _job: (TaskId, &Owner)) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}
