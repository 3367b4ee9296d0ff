//! Several messages in one body: a client of revision 2025-03-26 may send them (2025-03-26, Sending Messages to the Server),
//! clients of others may not.

use tokio::sync::mpsc;

use crate::audit;
use crate::identity::Caller;
use crate::mcp::jsonrpc::{self, Malformed, Message, RpcError};
use crate::mcp::legacy::exchange::{Exchange, Legacy};
use crate::mcp::legacy::session::Opened;
use crate::mcp::legacy::{cancel, methods, response};
use crate::mcp::protocol::answer::{Answer, RefusalKind};
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::era::Era;
use crate::mcp::protocol::event_queue::EventQueue;
use crate::mcp::protocol::inbound::Inbound;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::{Event, Reply, Says};

/// The revision that has batches.
const LEGACY_WITH_BATCHES: &str = "2025-03-26";

/// The results of the messages so far.
#[derive(Debug, Default)]
struct Served {
    /// The answers that are there.
    answers: Vec<Answer>,
    /// The answers to come, with what comes before them.
    open: Vec<(mpsc::Receiver<Event>, CallLine)>,
    /// Whether there was a request.
    requests: bool,
    /// Why a message that is no request was not taken; the first of them.
    refused: Option<Reply>,
}

/// Serves the messages of a batch.
pub(super) async fn serve(
    era: &Legacy,
    inbound: &Inbound<'_>,
    text: &str,
) -> Result<Reply, Refusal> {
    let session = era.session(inbound).await?;
    if session.session.revision != LEGACY_WITH_BATCHES {
        let text = "batches are part of revision 2025-03-26 alone; send one message a request";
        return Err(RpcError::invalid_request(text).into());
    }
    let messages = jsonrpc::read_batch(text).map_err(|malformed| malformed.error)?;
    // Each of them counts, the first did already.
    let more = u32::try_from(messages.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let rates = era.edge.bridge.rates();
    rates.owe(&inbound.caller.owner, more).await;
    let batch = Batch {
        era,
        caller: inbound.caller,
        session: &session,
    };
    let mut served = Served::default();
    // In their order, so that a message may be about one before it.
    for message in messages {
        batch.take(message, &mut served).await;
    }
    Ok(answered(era, served))
}

/// What the messages of a batch share: caller and session.
struct Batch<'a> {
    era: &'a Legacy,
    caller: &'a Caller,
    session: &'a Opened,
}

impl Batch<'_> {
    async fn take(&self, message: Result<Message<'_>, Malformed<'_>>, served: &mut Served) {
        let (caller, session, bridge) = (self.caller, self.session, &self.era.edge.bridge);
        let taken = match message {
            Err(malformed) => {
                let malformed_answer =
                    |id| Answer::error(RefusalKind::Malformed, id, &malformed.error);
                served.answers.push(malformed_answer(malformed.id));
                served.requests |= malformed.id.is_some();
                let refused = Reply::Json(malformed_answer(None));
                served.refused.get_or_insert(refused);
                return;
            }
            Ok(Message::Request(request)) => {
                served.requests = true;
                let line = CallLine::of(Era::Legacy, &request);
                let reply = if request.method == "initialize" {
                    let error = RpcError::invalid_request("initialize must be alone in its body");
                    Reply::malformed(Some(request.id), &error)
                } else {
                    let exchange = Exchange {
                        era: self.era,
                        caller,
                        session,
                        request: &request,
                    };
                    let id = Some(request.id.get());
                    audit::about(id, methods::request(&exchange)).await
                };
                match reply.with_log_line(line) {
                    Reply::Json(answer) => served.answers.push(answer),
                    Reply::Soon { rest, line, .. } | Reply::Stream { rest, line, .. } => {
                        served.open.push((rest, line));
                    }
                    _without_an_answer => {}
                }
                return;
            }
            Ok(Message::Notification(notification)) => {
                let notified = cancel::notified(bridge, caller, session.id, &notification);
                notified.await.map_err(Refusal::from)
            }
            Ok(Message::Response(response)) => {
                response::take(&self.era.edge, caller, session, &response).await
            }
        };
        if let Err(error) = taken {
            served
                .refused
                .get_or_insert(Reply::Json(error.of_no_request()));
        }
    }
}

/// One array if all answers are there soon, else a stream of them.
fn answered(era: &Legacy, served: Served) -> Reply {
    if !served.requests {
        return served.refused.unwrap_or(Reply::Accepted);
    }
    let (events, rest) = EventQueue::new(16, &era.edge.event_memory);
    for open in served.open {
        era.edge.tracker.spawn(forward(open, events.clone()));
    }
    Reply::Batch {
        answers: served.answers,
        rest,
        within: era.edge.settings.stream_after,
    }
}

/// Forwards the events of one request. They lose their ids: a client that resumed after one would miss the other requests.
async fn forward((mut open, line): (mpsc::Receiver<Event>, CallLine), events: EventQueue) {
    let mut line = Some(line);
    loop {
        let event = tokio::select! {
            () = events.closed() => return,
            event = open.recv() => event,
        };
        let Some(Event { says, .. }) = event else {
            return line.into_iter().for_each(CallLine::unanswered);
        };
        let says = match says {
            Says::Nothing => continue,
            Says::Last(answer) => Says::One(answer.with_log_line(line.take().unwrap_or_default())),
            says => says,
        };
        if events.send(Event::without_id(says)).await.is_err() {
            return;
        }
    }
}
