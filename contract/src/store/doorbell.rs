//! Doorbells: published messages that say "read this again". They carry no truth: whoever waits also reads by itself every
//! few seconds, because a message published while a connection is down is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::connection::Connections;
use crate::error::Error;
use crate::keys::Keys;
use crate::model::ids::TaskId;
use crate::model::names::{FrontEndId, ToolName, WorkerId};
use crate::model::shard::Shards;

/// The pause before a lost connection is opened again, at first and at most.
const SHORTEST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// A connection that lasted for so long was a good one: the next is opened without much waiting.
const LASTED: Duration = Duration::from_secs(5);

/// Why a bell rang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ring {
    /// Something about this task changed.
    Task(TaskId),
    /// The registered tools changed.
    Tools,
    /// Somebody removed this tool from the registry.
    ToolRemoved(ToolName),
    /// The connection is (again) in place; anything may have happened before.
    Connected,
}

/// A subscription that mends itself.
#[derive(Debug, Clone)]
pub struct Doorbell {
    connections: Connections,
    channels: Vec<String>,
    tools_channel: String,
    is_heard: Arc<AtomicBool>,
}

impl Doorbell {
    pub(crate) fn for_front_end(
        connections: &Connections,
        keys: &Keys,
        shards: Shards,
        front_end: &FrontEndId,
    ) -> Self {
        let mut channels: Vec<String> = shards.all().map(|s| keys.bell(s, front_end)).collect();
        channels.push(keys.tools_bell());
        Self {
            connections: connections.clone(),
            channels,
            tools_channel: keys.tools_bell(),
            is_heard: Arc::default(),
        }
    }

    pub(crate) fn for_worker(
        connections: &Connections,
        keys: &Keys,
        shards: Shards,
        worker: &WorkerId,
    ) -> Self {
        Self {
            connections: connections.clone(),
            channels: shards.all().map(|s| keys.inbox(s, worker)).collect(),
            tools_channel: keys.tools_bell(),
            is_heard: Arc::default(),
        }
    }

    /// Whether it is connected, as far as is known.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// Calls `on_ring` for each ring until `stop`. Reconnects with a delay of 50 ms to 2 s. Meanwhile also checks that the
    /// process is still connected to the primary.
    pub async fn listen(&self, stop: &CancellationToken, on_ring: impl FnMut(Ring) + Send) {
        tokio::select! {
            () = self.listen_on(stop, on_ring) => {}
            () = Box::pin(self.connections.keep_checking_the_primary()) => {}
        }
    }

    async fn listen_on(&self, stop: &CancellationToken, mut on_ring: impl FnMut(Ring) + Send) {
        let mut delay = SHORTEST_DELAY;
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.listen_once(&mut on_ring) => outcome,
            };
            // After each new connection everyone reads again what they wait for: a Redis that is too slow for its load must
            // not get more of that.
            if begun.elapsed() > LASTED {
                delay = SHORTEST_DELAY;
            }
            match outcome {
                Ok(()) => tracing::debug!("the doorbell connection ended; reconnecting"),
                Err(error) => {
                    tracing::warn!(%error, "the doorbell connection failed; reconnecting")
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(LONGEST_DELAY),
            }
        }
    }

    async fn listen_once(&self, on_ring: &mut (impl FnMut(Ring) + Send)) -> Result<(), Error> {
        let (messages, given_up) = self.connections.subscribe(&self.channels).await?.split();
        let _heard = Heard::new(&self.is_heard);
        on_ring(Ring::Connected);
        tokio::pin!(messages, given_up);
        loop {
            let message = tokio::select! {
                () = &mut given_up => return Ok(()),
                message = messages.next() => message,
            };
            let Some(message) = message else {
                return Ok(());
            };
            if message.get_channel_name() == self.tools_channel {
                on_ring(tools_ring(
                    &message.get_payload::<String>().unwrap_or_default(),
                ));
                continue;
            }
            match message.get_payload::<String>().map(|text| text.parse()) {
                Ok(Ok(id)) => on_ring(Ring::Task(id)),
                _ => tracing::warn!("a doorbell message names no task"),
            }
        }
    }
}

/// That a bell is connected, for as long as this lives.
struct Heard<'a>(&'a AtomicBool);

impl<'a> Heard<'a> {
    fn new(is_heard: &'a AtomicBool) -> Self {
        is_heard.store(true, Ordering::Relaxed);
        Self(is_heard)
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What the registry's channel says when a tool was removed, before its name.
const REMOVED: &str = "remove ";

/// The message by which front ends learn of a removed tool.
pub(crate) fn removal(name: &str) -> String {
    format!("{REMOVED}{name}")
}

fn tools_ring(message: &str) -> Ring {
    let removed = message.strip_prefix(REMOVED).map(str::parse);
    match removed {
        Some(Ok(name)) => Ring::ToolRemoved(name),
        _ => Ring::Tools,
    }
}
