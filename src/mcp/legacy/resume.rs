//! Going on with a stream whose connection broke, at any front end, from the id of an event.

use serde_json::value::RawValue;
use taskferry_contract::TaskId;
use tokio::sync::mpsc;

use crate::bridge::{BridgeError, Watch};
use crate::identity::Caller;
use crate::mcp::jsonrpc::RpcError;
use crate::mcp::legacy::call::FORMAT;
use crate::mcp::legacy::delivery::SessionDelivery;
use crate::mcp::legacy::event_ids::{EventIds, ResumePoint};
use crate::mcp::legacy::exchange::Legacy;
use crate::mcp::legacy::sender::QuestionSender;
use crate::mcp::legacy::session::Opened;
use crate::mcp::legacy::task::result_answer;
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::inbound::Stated;
use crate::mcp::protocol::log::LogTeller;
use crate::mcp::protocol::progress::ProgressTeller;
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::{Event, Reply};
use crate::mcp::wait::Wait;
use crate::mcp::wait::answers::Waiting;

/// The session and the caller that come back.
#[derive(Clone, Copy)]
struct Returned<'a> {
    era: &'a Legacy,
    caller: &'a Caller,
    session: &'a Opened,
}

impl Legacy {
    /// Goes on with the stream of a request after an event.
    pub(super) async fn resume(
        &self,
        caller: &Caller,
        session: &Opened,
        last: Stated<'_>,
    ) -> Result<Reply, Refusal> {
        let read = || {
            let point = ResumePoint::read(session.id, last.first()?)?;
            let task = point.task()?;
            Some((point, task))
        };
        let (point, task) = read().ok_or_else(|| {
            let text = "Last-Event-ID is not the id of an event of this session; leave it out to open the session's own stream";
            Refusal::malformed(RpcError::invalid_params(text))
        })?;
        // Clients come back after the last event too, some for ever; this makes them stop.
        if point.answers {
            return Ok(Reply::Nothing);
        }
        match point.waiting {
            Waiting::Task | Waiting::Status => self.edge.allow_if_task(caller, task).await?,
            Waiting::Call => self.edge.allow_call(caller, task).await?,
        }
        let mut over = EventIds::at(session, point.clone());
        let request = point.request.clone();
        let returned = Returned {
            era: self,
            caller,
            session,
        };
        match returned.wait((point, task)).await {
            Ok(Some(wait)) => Ok(wait.reply_as_stream(&self.edge)),
            Ok(None) => Ok(Reply::Nothing),
            Err(BridgeError::NotFound) => Ok(gone(&request, over.last_id())),
            Err(error) => Err(error.into()),
        }
    }
}

impl Returned<'_> {
    /// What waits from here on. `None` if the client cancelled the request.
    async fn wait(
        self,
        (point, task): (ResumePoint, TaskId),
    ) -> Result<Option<Wait<SessionDelivery>>, BridgeError> {
        let Self {
            era,
            caller,
            session,
        } = self;
        let bridge = &era.edge.bridge;
        let sender = QuestionSender::of_request(bridge, session, &point.request);
        if sender.request_was_cancelled(bridge).await? {
            return Ok(None);
        }
        let requests = bridge.session_requests();
        requests.take_over(session.id, point.stream, task).await?;
        let point = point.on_a_new_connection();
        let ids = Some(EventIds::at(session, point.clone()));
        let wait = match point.waiting {
            Waiting::Task => {
                let watch = bridge.tasks().watch(task, &caller.owner).await?;
                let delivery = SessionDelivery::for_task(era, sender, ids);
                let (awaited, to) = (FORMAT.of_task(result_answer), (session.client(), delivery));
                Wait::new(&point.request, watch, awaited, to, caller)
            }
            Waiting::Call | Waiting::Status => {
                let watch = bridge.calls().resume(task, &caller.owner, &[]).await?;
                let delivery = SessionDelivery::for_call(era, sender, ids);
                self.wait_for_call(&point, watch, delivery).await?
            }
        };
        Ok(Some(wait))
    }

    /// A plain call sends more on the way; it belongs to its session alone.
    async fn wait_for_call(
        self,
        point: &ResumePoint,
        mut watch: Watch,
        delivery: SessionDelivery,
    ) -> Result<Wait<SessionDelivery>, BridgeError> {
        let (session, bridge) = (self.session, &self.era.edge.bridge);
        let requestor = bridge.tasks().requestor(watch.id()).await?;
        let requestor = requestor
            .filter(|requestor| requestor.session == session.id)
            .ok_or(BridgeError::NotFound)?;
        let now = watch.next().await?;
        let token = requestor.progress_token.map(RawValue::from_string);
        let told = point.progress.as_deref().and_then(|told| told.parse().ok());
        let progress = token
            .and_then(Result::ok)
            .map(|token| ProgressTeller::new(token).after(told));
        let log = session.session.log_level.map(|least| {
            let log = LogTeller::new(&now.tool, least).of_session(session.id);
            log.after(point.log.clone())
        });
        let tool = bridge.catalog().find(&now.tool).await?;
        let background = &self.era.background;
        let deadline = tool.and_then(|tool| {
            background.promotion_deadline(self.caller, &tool, session.knows_tasks())
        });
        watch.seed(now);
        let to = (session.client(), delivery);
        Ok(
            Wait::new(&point.request, watch, FORMAT.of_call(), to, self.caller)
                .telling(progress, log)
                .until(deadline),
        )
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
