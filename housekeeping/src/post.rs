//! The post of housekeeper of a shard, or of one queue of it: who has it, and when to ask again.

use std::time::Duration;

use taskferry_contract::{Error, HousekeepingReply, QueueName, Shard};
use tokio::time::Instant;

use crate::Housekeeping;

/// Who says nothing for so long has the post no more.
const VALID: Duration = Duration::from_millis(1_200);
/// Who has it says so again after this.
const AGAIN: Duration = Duration::from_millis(400);
/// Those who have not look again when the time of the one who has is over, and, so that a large fleet does not ask in step, a
/// random part of this for each process later. So about as many ask in a second however many there are.
const SPREAD_OF_EACH: Duration = Duration::from_millis(50);
/// No more than this.
const MOST_SPREAD: Duration = Duration::from_secs(20);

/// One post, as this process knows it.
#[derive(Debug)]
pub(crate) struct Post {
    shard: Shard,
    /// The queue it is for; `None` for all of the shard.
    pub(crate) queue: Option<QueueName>,
    is_held: bool,
    /// For how long nobody had it before this process.
    unheld: Duration,
    ask_at: Instant,
}

impl Post {
    pub(crate) fn new(shard: Shard, queue: Option<QueueName>) -> Self {
        Self {
            shard,
            queue,
            is_held: false,
            unheld: Duration::ZERO,
            ask_at: Instant::now(),
        }
    }

    /// Whether this process has the post. Asks for it, or says that it still has it, if that is due.
    pub(crate) async fn hold(&mut self, of: &Housekeeping, processes: u32) -> Result<bool, Error> {
        if Instant::now() < self.ask_at {
            return Ok(self.is_held);
        }
        let what = (self.shard, self.queue.as_ref());
        let asked = of
            .store
            .hold_housekeeping(what, &of.holder, VALID, processes);
        let reply = asked.await;
        // Until Redis says so, another may have it.
        self.is_held = false;
        let pause = match reply? {
            HousekeepingReply::Held { unheld } => {
                self.is_held = true;
                self.unheld = unheld;
                AGAIN
            }
            HousekeepingReply::Taken { left, processes } => left.min(VALID) + spread(processes),
        };
        self.ask_at = Instant::now() + pause;
        Ok(self.is_held)
    }

    /// Whether nobody had the post for a while before this process took it, or took it again. Then Redis may have been away,
    /// and leases that are over may be those of workers that live.
    pub(crate) fn was_idle(&self) -> bool {
        self.unheld > VALID
    }

    /// That was seen.
    pub(crate) fn note_idle(&mut self) {
        self.unheld = Duration::ZERO;
    }

    /// When to ask again.
    pub(crate) fn ask_at(&self) -> Instant {
        self.ask_at
    }

    /// Gives the post up, if this process has it.
    pub(crate) async fn leave(&mut self, of: &Housekeeping) {
        if !std::mem::take(&mut self.is_held) {
            return;
        }
        let what = (self.shard, self.queue.as_ref());
        if let Err(error) = of.store.drop_housekeeping(what, &of.holder).await {
            tracing::debug!(%error, shard = %self.shard, "another process begins to keep house in a moment");
        }
    }
}

fn spread(processes: u32) -> Duration {
    let most = (SPREAD_OF_EACH * processes.max(2)).min(MOST_SPREAD);
    most.mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ask_soon_and_many_do_not_ask_in_step() {
        assert!((0..100).all(|_| spread(0) <= Duration::from_millis(100)));
        let of_many: Vec<Duration> = (0..1_000).map(|_| spread(1_000)).collect();
        assert!(of_many.iter().all(|one| *one <= MOST_SPREAD));
        let soon = of_many.iter().filter(|one| **one < Duration::from_secs(1));
        assert!(
            (10..150).contains(&soon.count()),
            "50 in a second are meant"
        );
    }
}
