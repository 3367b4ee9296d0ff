//! `subscriptions/listen`: a stream of changes that the client asked for (2026-07-28, Subscriptions; the tasks
//! extension, Task Status Notifications).

use std::collections::{BTreeSet, HashSet};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{Object, Status, TaskId, TaskView};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::bridge::{Bridge, BridgeError, Watch};
use crate::identity::Validity;
use crate::mcp::jsonrpc::{self, RpcError};
use crate::mcp::modern::exchange::Exchange;
use crate::mcp::modern::questions::{InputRequests, input_requests};
use crate::mcp::modern::task::{self, ModernTask};
use crate::mcp::protocol::answer::Answer;
use crate::mcp::protocol::call_line::CallLine;
use crate::mcp::protocol::event_queue::EventQueue;
use crate::mcp::protocol::outgoing::{Addressable, Method, Outgoing};
use crate::mcp::protocol::refusal::Refusal;
use crate::mcp::protocol::reply::{Event, Reply};
use crate::mcp::protocol::standing;
use crate::mcp::protocol::wire::{self, SERVER_INFO, ServerInfo};

/// The most tasks that one stream follows.
const TASKS_FOLLOWED: usize = 1000;
/// How many events may wait for a slow client. Each may be as large as a task's result.
const EVENTS_WAITING: usize = 4;

#[derive(Deserialize)]
struct ListenParams {
    notifications: Object<Filter>,
}

/// What the client wants to hear of, and what of it was granted; types this server has nothing of are left out.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tools_list_changed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_ids: Option<Vec<String>>,
}

/// Which subscription a message belongs to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct SubscriptionMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/subscriptionId")]
    id: &'a RawValue,
}

/// Serves `subscriptions/listen`.
pub(super) async fn listen(exchange: &Exchange<'_>) -> Result<Reply, Refusal> {
    let (request, envelope) = (exchange.request, exchange.envelope);
    let Object(wanted) = request.params::<ListenParams>()?.notifications;
    if wanted.task_ids.is_some() {
        envelope.require_tasks()?;
    }
    let (task_ids, watches) = watch_tasks(exchange, wanted.task_ids).await?;
    let granted = Filter {
        tools_list_changed: wanted.tools_list_changed.filter(|wanted| *wanted),
        task_ids,
    };
    let id = request.id.to_owned();
    let acknowledged = Outgoing::notification(
        Method::SubscriptionAcknowledged,
        &json!({ "notifications": granted, "_meta": SubscriptionMeta { id: &id } }),
    );
    let (client, edge) = (envelope.client(), &exchange.era.edge);
    let (events, rest) = EventQueue::new(EVENTS_WAITING, &edge.event_memory);
    let changes = edge.bridge.catalog().changes();
    let subscription = Subscription {
        id,
        client,
        capabilities: envelope.capabilities.clone().into_owned(),
        bridge: edge.bridge.clone(),
        changes: granted.tools_list_changed.map(|_wanted| changes),
        events,
        outcome: Mutex::new(()),
    };
    let ends = (
        edge.stopping.begun.clone(),
        exchange.caller.validity.clone(),
    );
    edge.tracker
        .spawn(audit::carried(subscription.run(watches, ends)));
    Ok(Reply::Stream {
        first: client
            .admit(acknowledged)
            .map(Event::message)
            .into_iter()
            .collect(),
        rest,
        line: CallLine::default(),
    })
}

/// Watches the caller's tasks among `wanted`; the others are simply not granted.
async fn watch_tasks(
    exchange: &Exchange<'_>,
    wanted: Option<Vec<String>>,
) -> Result<(Option<Vec<String>>, Vec<Watch>), Refusal> {
    let Some(wanted) = wanted else {
        return Ok((None, Vec::new()));
    };
    // Each once, however often it is named, in the order of their first mention.
    let mut named = HashSet::new();
    let wanted: Vec<TaskId> = wanted
        .iter()
        .filter_map(|id| wire::task_id(id).ok())
        .filter(|id| named.insert(*id))
        .collect();
    if wanted.len() > TASKS_FOLLOWED {
        let text = format!("a stream follows at most {TASKS_FOLLOWED} tasks; open several");
        return Err(RpcError::invalid_params(text).into());
    }
    let (bridge, owner) = (exchange.bridge(), &exchange.caller.owner);
    let (mut granted, mut watches, mut missed) = (Vec::new(), Vec::new(), 0_u32);
    let mut needs = BTreeSet::new();
    for task in &wanted {
        match exchange
            .era
            .edge
            .lacks_for_task(exchange.caller, *task)
            .await
        {
            Ok(lacking) => needs.extend(lacking.into_iter().flatten()),
            Err(BridgeError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !needs.is_empty() {
        return Err(Refusal::lacks_scopes(needs.into_iter().collect()));
    }
    for task in wanted {
        match bridge.tasks().watch(task, owner).await {
            Ok(watch) => {
                granted.push(task.to_string());
                watches.push(watch);
            }
            Err(BridgeError::NotFound) => missed = missed.saturating_add(1),
            Err(error) => return Err(error.into()),
        }
    }
    bridge.rates().failed(owner, missed).await;
    Ok((Some(granted), watches))
}

/// One open stream.
struct Subscription {
    id: Box<RawValue>,
    client: Addressable,
    /// What its client can be asked.
    capabilities: Box<RawValue>,
    bridge: Bridge,
    changes: Option<watch::Receiver<u64>>,
    events: EventQueue,
    /// Locked while a task's outcome is read and sent: one at a time.
    outcome: Mutex<()>,
}

impl Subscription {
    async fn run(mut self, watches: Vec<Watch>, (stop, validity): (CancellationToken, Validity)) {
        let mut changes = self.changes.take();
        let gone = self.events.clone();
        tokio::select! {
            () = gone.closed() => {}
            () = stop.cancelled() => self.end().await,
            () = validity.ended() => self.end().await,
            () = self.tell_tasks(watches) => {}
            () = self.tell_changes(changes.as_mut()) => {}
        }
    }

    async fn tell_changes(&self, changes: Option<&mut watch::Receiver<u64>>) {
        if let Some(changes) = changes {
            while changes.changed().await.is_ok() {
                let params = json!({ "_meta": self.meta() });
                self.tell(Method::ToolsChanged, &params).await;
            }
        }
        std::future::pending().await
    }

    /// Shows each task as it is now and whenever what [`Shown`] has of it changes, until it ended or expired.
    async fn tell_tasks(&self, watches: Vec<Watch>) {
        let mut following: FuturesUnordered<_> = watches
            .into_iter()
            .map(|watch| self.tell_task(watch))
            .collect();
        while following.next().await.is_some() {}
        std::future::pending().await
    }

    async fn tell_task(&self, mut watch: Watch) {
        let mut told = None;
        while let Ok(view) = watch.next_state().await {
            let asks = view.status == Status::InputRequired;
            let questions = if asks {
                self.bridge.questions().open(view.id).await
            } else {
                Ok(Vec::new())
            };
            // If the store cannot be read now, the next turn reads it again.
            let Ok(questions) = questions else { continue };
            let questions = input_requests(questions, self.capabilities.get());
            let state = Shown::of(&view, &questions);
            if told.as_ref() == Some(&state) {
                continue;
            }
            if view.status.is_terminal() {
                match self.tell_end(&watch).await {
                    Ok(()) | Err(BridgeError::NotFound) => return,
                    // As above.
                    Err(_) => continue,
                }
            }
            let task = ModernTask::notified(&view, questions, self.meta());
            self.tell(Method::Task, &task).await;
            told = Some(state);
        }
    }

    /// Shows how a task ended. One outcome at a time is read, and only once there is room for it.
    async fn tell_end(&self, watch: &Watch) -> Result<(), BridgeError> {
        let _one = self.outcome.lock().await;
        let Ok(room) = self.events.reserve().await else {
            return Ok(());
        };
        let view = self
            .bridge
            .tasks()
            .poll_with_outcome(watch.id(), watch.owner())
            .await?;
        let task = ModernTask::notified(&view, InputRequests::new(), self.meta());
        let message = match task::outcome(&view) {
            Some(outcome) => Outgoing::notification_with(Method::Task, &task, outcome),
            None => Outgoing::notification(Method::Task, &task),
        };
        if let Some(message) = self.client.admit(message) {
            // If the client left, `run` sees that.
            let _client_left = room.send(Event::message(message)).await;
        }
        Ok(())
    }

    async fn tell(&self, method: Method, params: &impl Serialize) {
        let message = Outgoing::notification(method, params);
        if let Some(message) = self.client.admit(message) {
            // If the client left, `run` sees that.
            let _client_left = self.events.send(Event::message(message)).await;
        }
    }

    /// Says that the stream ends on purpose: the answer to the request that opened it.
    async fn end(&self) {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Ended<'a> {
            result_type: &'static str,
            #[serde(rename = "_meta")]
            meta: EndedMeta<'a>,
        }
        #[derive(Serialize)]
        struct EndedMeta<'a> {
            #[serde(flatten)]
            subscription: SubscriptionMeta<'a>,
            #[serde(rename = "io.modelcontextprotocol/serverInfo")]
            server: ServerInfo,
        }
        let ended = Ended {
            result_type: "complete",
            meta: EndedMeta {
                subscription: self.meta(),
                server: SERVER_INFO,
            },
        };
        let answer = Answer::ok(jsonrpc::success(&self.id, &ended));
        let _client_left = self.events.send(Event::last(answer)).await;
    }

    fn meta(&self) -> SubscriptionMeta<'_> {
        SubscriptionMeta { id: &self.id }
    }
}

/// The fields whose change is sent to a subscriber: progress alone is not.
#[derive(PartialEq)]
struct Shown {
    status: Status,
    message: Option<String>,
    keys: Vec<String>,
}

impl Shown {
    fn of(view: &TaskView, questions: &InputRequests) -> Self {
        // The client sees `Queued` as working; what a queued job waits for shows in `message`.
        let status = match view.status {
            Status::Queued => Status::Working,
            status => status,
        };
        Self {
            status,
            message: standing::news(view),
            keys: questions.keys().cloned().collect(),
        }
    }
}
