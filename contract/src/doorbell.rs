//! Doorbells: published messages that say "look at this". They carry no truth; whoever waits also looks by itself
//! every few seconds, because a message published while a connection is down is gone.

use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::connection::Connections;
use crate::error::Error;
use crate::ids::{ReplicaId, Shards, TaskId, WorkerId};
use crate::keys::Keys;

/// Why a bell rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// Something about this task changed.
    Task(TaskId),
    /// The registered tools changed.
    Tools,
    /// The connection is (again) in place; anything may have happened before.
    Connected,
}

/// A subscription that mends itself.
#[derive(Debug, Clone)]
pub struct Doorbell {
    connections: Connections,
    channels: Vec<String>,
    tools_channel: String,
}

impl Doorbell {
    pub(crate) fn for_replica(
        connections: &Connections,
        keys: &Keys,
        shards: Shards,
        replica: &ReplicaId,
    ) -> Self {
        let mut channels: Vec<String> = shards.all().map(|s| keys.bell(s, replica)).collect();
        channels.push(keys.tools_bell());
        Self {
            connections: connections.clone(),
            channels,
            tools_channel: keys.tools_bell(),
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
        }
    }

    /// Calls `on_ring` for each ring until `stop`. Reconnects with a delay of 50 ms to 2 s.
    pub async fn listen(&self, stop: &CancellationToken, mut on_ring: impl FnMut(Ring) + Send) {
        let mut delay = Duration::from_millis(50);
        while !stop.is_cancelled() {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.listen_once(&mut on_ring, &mut delay) => outcome,
            };
            match outcome {
                Ok(()) => tracing::debug!("the doorbell connection ended; reconnecting"),
                Err(error) => {
                    tracing::warn!(%error, "the doorbell connection failed; reconnecting")
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(Duration::from_secs(2)),
            }
        }
    }

    async fn listen_once(
        &self,
        on_ring: &mut (impl FnMut(Ring) + Send),
        delay: &mut Duration,
    ) -> Result<(), Error> {
        let mut pubsub = self.connections.pubsub().await?;
        pubsub
            .subscribe(&self.channels)
            .await
            .map_err(Error::redis("SUBSCRIBE"))?;
        *delay = Duration::from_millis(50);
        on_ring(Ring::Connected);
        let mut messages = pubsub.into_on_message();
        while let Some(message) = messages.next().await {
            if message.get_channel_name() == self.tools_channel {
                on_ring(Ring::Tools);
                continue;
            }
            match message.get_payload::<String>().map(|text| text.parse()) {
                Ok(Ok(id)) => on_ring(Ring::Task(id)),
                other => tracing::warn!(?other, "a doorbell message names no task"),
            }
        }
        Ok(())
    }
}
