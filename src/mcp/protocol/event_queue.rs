//! The events of a stream that wait to be sent: bounded in number for each stream, and in bytes for all together.

use std::time::Duration;

use taskferry_process::Budget;
use tokio::sync::mpsc;

use crate::mcp::protocol::reply::Event;

/// Whoever waits for memory does so as long as the client is there.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_secs(365 * 86_400);

/// Where events wait for the client of one stream.
#[derive(Debug, Clone)]
pub(crate) struct EventQueue {
    events: mpsc::Sender<Event>,
    /// For the events of all streams.
    memory: Budget,
}

/// The client of a stream is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReaderLeft;

/// A place in a queue, for one event.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    queue: &'a EventQueue,
    permit: mpsc::Permit<'a, Event>,
}

impl EventQueue {
    /// A queue of at most so many events, and where they come out.
    pub(crate) fn new(most: usize, memory: &Budget) -> (Self, mpsc::Receiver<Event>) {
        let (events, rest) = mpsc::channel(most);
        let memory = memory.clone();
        (Self { events, memory }, rest)
    }

    /// Queues an event, once there is a place and memory for it.
    ///
    /// # Errors
    ///
    /// If the client is gone.
    pub(crate) async fn send(&self, event: Event) -> Result<(), ReaderLeft> {
        self.reserve().await?.send(event).await
    }

    /// A place for an event, once there is one.
    ///
    /// # Errors
    ///
    /// If the client is gone.
    pub(crate) async fn reserve(&self) -> Result<Slot<'_>, ReaderLeft> {
        let permit = self.events.reserve().await.map_err(|_closed| ReaderLeft)?;
        Ok(Slot {
            queue: self,
            permit,
        })
    }

    /// Resolves when the client is gone.
    pub(crate) async fn closed(&self) {
        self.events.closed().await;
    }
}

impl Slot<'_> {
    /// Queues an event in this place, once there is memory for it.
    ///
    /// # Errors
    ///
    /// If the client is gone.
    pub(crate) async fn send(self, mut event: Event) -> Result<(), ReaderLeft> {
        let mut charge = self.queue.memory.charge();
        tokio::select! {
            biased;
            () = self.queue.closed() => return Err(ReaderLeft),
            _taken = charge.wait_for(event.bytes(), AS_LONG_AS_IT_TAKES) => {}
        }
        event.charge = Some(charge);
        self.permit.send(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::protocol::answer::Answer;

    fn event() -> Event {
        Event::one(Answer::ok("x".repeat(1000)))
    }

    #[tokio::test]
    async fn events_of_all_streams_share_the_memory_until_they_are_taken() {
        let memory = Budget::new(5 << 10);
        let (one, mut of_one) = EventQueue::new(16, &memory);
        let (other, of_other) = EventQueue::new(16, &memory);
        assert_eq!(one.send(event()).await, Ok(()));
        assert_eq!(one.send(event()).await, Ok(()));
        let third = other.send(event());
        let mut third = std::pin::pin!(third);
        assert!(futures_util::poll!(third.as_mut()).is_pending());
        assert!(memory.is_short());
        drop(of_one.recv().await);
        assert_eq!(third.await, Ok(()));
        let fourth = other.send(event());
        let mut fourth = std::pin::pin!(fourth);
        assert!(futures_util::poll!(fourth.as_mut()).is_pending());
        drop(of_other);
        assert_eq!(fourth.await, Err(ReaderLeft));
    }
}
