//! Several messages in one body: a client of revision 2025-03-26 may send them (2025-03-26, Sending Messages to the Server),
//! clients of others may not.

use tokio::sync::mpsc;

use super::session::Opened;
use super::{cancel, question};
use crate::mcp::Mcp;
use crate::mcp::dispatch::era_by;
use crate::mcp::jsonrpc::{self, Malformed, Message, RpcError};
use crate::mcp::protocol::answer::{Answer, RefusalKind};
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::era::Era;
use crate::mcp::protocol::inbound::{Caller, Inbound};
use crate::mcp::protocol::reply::{Event, Reply, Says};

/// The revision that has batches.
const LEGACY_WITH_BATCHES: &str = "2025-03-26";

/// What came of the messages so far.
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

impl Mcp {
    pub(in crate::mcp) async fn legacy_batch(&self, inbound: &Inbound<'_>, text: &str) -> Reply {
        let refused = |text: &str| Reply::malformed(None, &RpcError::invalid_request(text));
        if era_by(inbound.facts) == Era::Modern {
            return refused("batches are not part of this revision; send one message a request");
        }
        let session = match self.legacy_session(inbound).await {
            Ok(session) => session,
            Err(refusal) => return super::refused(refusal),
        };
        if session.session.revision != LEGACY_WITH_BATCHES {
            return refused(
                "batches are part of revision 2025-03-26 alone; send one message a request",
            );
        }
        let messages = match jsonrpc::read_batch(text) {
            Ok(messages) => messages,
            Err(malformed) => return Reply::malformed(None, &malformed.error),
        };
        let mut served = Served::default();
        // In their order, so that a message may be about one before it.
        for message in messages {
            self.legacy_batched(inbound.caller, &session, message, &mut served)
                .await;
        }
        self.answered(served)
    }

    async fn legacy_batched(
        &self,
        caller: &Caller,
        session: &Opened,
        message: Result<Message<'_>, Malformed<'_>>,
        served: &mut Served,
    ) {
        let taken = match message {
            Err(malformed) => {
                let kind = RefusalKind::Malformed;
                let answer = Answer::error(kind, malformed.id, &malformed.error);
                served.answers.push(answer);
                served.requests |= malformed.id.is_some();
                let refused = Reply::malformed(None, &malformed.error);
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
                    self.legacy_request(caller, session, &request).await
                };
                match reply.told_by(line) {
                    Reply::Json(answer) => served.answers.push(answer),
                    Reply::Soon { rest, line, .. } | Reply::Stream { rest, line, .. } => {
                        served.open.push((rest, line));
                    }
                    _without_an_answer => {}
                }
                return;
            }
            Ok(Message::Notification(notification)) => {
                cancel::notified(&self.bridge, caller, session.id, &notification).await
            }
            Ok(Message::Response(response)) => {
                question::answered(&self.bridge, caller, session, &response).await
            }
        };
        if let Err(error) = taken {
            let refused = super::refused(error.into());
            served.refused.get_or_insert(refused);
        }
    }

    /// One array if all answers are there soon, else a stream of them.
    fn answered(&self, served: Served) -> Reply {
        if !served.requests {
            return served.refused.unwrap_or(Reply::Accepted);
        }
        let (events, rest) = mpsc::channel(16);
        for open in served.open {
            self.tracker.spawn(forward(open, events.clone()));
        }
        Reply::Batch {
            answers: served.answers,
            rest,
            within: self.settings.stream_after,
        }
    }
}

/// Passes the events of one request on. They lose their ids: whoever went on after one would miss the other requests.
async fn forward((mut open, line): (mpsc::Receiver<Event>, CallLine), events: mpsc::Sender<Event>) {
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
            Says::Last(answer) => Says::One(answer.told_by(line.take().unwrap_or_default())),
            says => says,
        };
        if events.send(Event { id: None, says }).await.is_err() {
            return;
        }
    }
}
