//! The entries that are in flight: from their delivery to this worker until they are settled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use taskferry_contract::{DeliveredEntry, EntryId, TaskId};
use tokio::sync::Notify;

use super::lock::lock;

/// The entries in flight, each with the bell that its heartbeat listens to.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashMap<(TaskId, EntryId), Arc<Notify>>>);

/// An entry in flight, until this is dropped.
#[derive(Debug)]
pub(crate) struct EntryInFlight {
    pub(crate) claimed: DeliveredEntry,
    pub(crate) bell: Arc<Notify>,
    all: Arc<InFlight>,
}

impl InFlight {
    /// Notes that an entry is in flight. `None` if it already was: it was delivered twice, as by a re-read of what is
    /// pending. Then its heartbeat is rung, which renews the lease or learns that it is lost.
    pub(crate) fn take(self: &Arc<Self>, claimed: DeliveredEntry) -> Option<EntryInFlight> {
        let key = (claimed.id, claimed.entry.clone());
        let mut all = lock(&self.0);
        if let Some(bell) = all.get(&key) {
            bell.notify_one();
            return None;
        }
        let bell = Arc::new(Notify::new());
        all.insert(key, Arc::clone(&bell));
        Some(EntryInFlight {
            claimed,
            bell,
            all: Arc::clone(self),
        })
    }

    /// How many entries are in flight.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Rings the heartbeats of a task.
    pub(crate) fn ring(&self, task: TaskId) {
        let all = lock(&self.0);
        let bells = all.iter().filter(|((id, _), _)| *id == task);
        bells.for_each(|(_, bell)| bell.notify_one());
    }

    /// Rings every heartbeat.
    pub(crate) fn ring_all(&self) {
        lock(&self.0).values().for_each(|bell| bell.notify_one());
    }
}

impl Drop for EntryInFlight {
    fn drop(&mut self) {
        let key = (self.claimed.id, self.claimed.entry.clone());
        lock(&self.all.0).remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taskferry_contract::{QueueName, Shards};

    #[tokio::test]
    async fn an_entry_is_in_flight_once_and_a_second_delivery_rings_it() {
        let shard = Shards::default().all().next().unwrap();
        let (id, queue) = (TaskId::random(shard), QueueName::default_queue());
        let claimed = DeliveredEntry::new(id, queue, "1-1".to_owned().into());
        let all = Arc::new(InFlight::default());
        let first = all.take(claimed.clone()).unwrap();
        assert!(all.take(claimed.clone()).is_none());
        first.bell.notified().await;
        drop(first);
        assert_eq!(all.len(), 0);
        assert!(all.take(claimed).is_some());
    }
}
