//! The post of housekeeper of a shard, or of one queue of it: who has it, and when to ask again.

use std::time::Duration;

use taskferry_contract::{Error, HousekeepingReply, QueueName, Shard};
use tokio::time::Instant;

use crate::Housekeeping;

/// Who says nothing for so long has the post no more.
const VALID: Duration = Duration::from_millis(1_200);
/// Who has it says so again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Its deputies ask when its time is over, and a random part of this later, so that they do not ask in step.
const OF_DEPUTIES: Duration = Duration::from_millis(100);
/// The others ask so seldom that about two of all processes do in a second, however many there are: should the deputies be gone,
/// too, one of these comes.
const OF_EACH: Duration = Duration::from_millis(500);
/// Some process of a few comes by so often.
const OF_FEW: Duration = Duration::from_secs(2);
/// And of very many each: their number may have been counted long ago.
const OF_MANY: Duration = Duration::from_secs(60);

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
            HousekeepingReply::Taken {
                left,
                processes,
                is_deputy,
            } => left.min(VALID) + patience(is_deputy, processes),
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

/// How long to wait beyond the time of the one who has the post.
fn patience(is_deputy: bool, processes: u32) -> Duration {
    if is_deputy {
        return OF_DEPUTIES.mul_f64(rand::random());
    }
    let usual = OF_EACH.saturating_mul(processes).clamp(OF_FEW, OF_MANY);
    usual.mul_f64(rand::random_range(0.5..=1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deputies_ask_soon_and_others_seldom_and_not_in_step() {
        let deputies = (0..100).map(|_| patience(true, 1_000));
        assert!(deputies.max().unwrap() <= OF_DEPUTIES);
        let longest = |processes| (0..100).map(|_| patience(false, processes)).max().unwrap();
        assert!(longest(0) <= Duration::from_secs(3), "few wait for nobody");
        let of_forty: Vec<Duration> = (0..1_000).map(|_| patience(false, 40)).collect();
        let mean = of_forty.iter().sum::<Duration>() / 1_000;
        let two_a_second = Duration::from_secs(18)..Duration::from_secs(22);
        assert!(two_a_second.contains(&mean), "{mean:?}");
        let (first, last) = (
            of_forty.iter().min().unwrap(),
            of_forty.iter().max().unwrap(),
        );
        assert!(*last - *first > mean / 2, "{first:?} to {last:?}");
        assert!(longest(u32::MAX) <= OF_MANY * 3 / 2);
    }
}
