//! The housekeeper of one shard.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use taskferry_contract::{Error, QueueName, Shard};
use tokio::time::Instant;

use crate::Housekeeping;
use crate::post::Post;
use crate::queue::Tended;
use crate::rounds::Round;
use crate::wire::Wire;

/// How often the names of all queues are read.
const READ: Duration = Duration::from_secs(1);
/// The pause after Redis failed, at most; half of it at least.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// After Redis was away, workers that live have so long to renew their leases: their pause after failures is two seconds at
/// most.
const GRACE: Duration = Duration::from_millis(2_500);
/// The pause when the user may keep no house at all: an operator may give it the right.
const FORBIDDEN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Keeper<'a> {
    of: &'a Housekeeping,
    shard: Shard,
    /// One for the shard. A user with the right to some queues alone has one for each of its own.
    posts: Vec<Post>,
    tended: BTreeMap<QueueName, Tended>,
    known: Vec<QueueName>,
    read_at: Instant,
    /// Until then nobody is judged by a lease that is over.
    judge_at: Instant,
    wire: Wire,
    /// How many nudges were heeded.
    nudges: u64,
    /// Whether it was logged that the user may keep no house.
    is_forbidden: bool,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(of: &'a Housekeeping, shard: Shard) -> Self {
        Self {
            of,
            shard,
            posts: vec![Post::new(shard, None)],
            tended: BTreeMap::new(),
            known: Vec::new(),
            read_at: Instant::now(),
            judge_at: Instant::now(),
            wire: Wire::new(),
            nudges: 0,
            is_forbidden: false,
        }
    }

    /// Gives up what it holds.
    pub(crate) async fn leave(&mut self) {
        for post in &mut self.posts {
            post.leave(self.of).await;
        }
    }

    /// One round. Returns when the next is due.
    async fn round(&mut self) -> Result<Instant, Error> {
        let (mut queues, mut holds) = (Vec::new(), false);
        let mut next = Instant::now() + FORBIDDEN;
        for at in 0..self.posts.len() {
            let Some(post) = self.posts.get_mut(at) else {
                break;
            };
            if post.hold(self.of, self.wire.present()).await? {
                if post.was_idle() {
                    self.judge_at = Instant::now() + GRACE;
                    self.wire.doubt();
                    post.note_idle();
                }
                holds = true;
                let of = post.queue.clone();
                next = next.min(post.ask_at());
                match of {
                    Some(queue) => queues.push(queue),
                    None => queues.extend(self.queues_of_all().await?),
                }
            } else {
                next = next.min(post.ask_at());
            }
        }
        self.tended.retain(|name, _| queues.contains(name));
        for queue in queues {
            let new = || Tended::new(queue.clone());
            self.tended.entry(queue.clone()).or_insert_with(new);
        }
        let nudges = self.of.nudges.load(Ordering::Relaxed);
        let hurries = std::mem::replace(&mut self.nudges, nudges) != nudges;
        let mut is_somebody_gone = false;
        if holds {
            let is_idle = self.tended.values().all(Tended::is_idle);
            is_somebody_gone = self.wire.look(&self.of.store, self.shard, is_idle).await?;
            next = next.min(self.wire.look_at());
        }
        if hurries {
            self.tended.values_mut().for_each(Tended::hurry);
        }
        self.pass_over_those_where_nothing_waits().await?;
        let mut failed = None;
        for tended in self.tended.values_mut() {
            if is_somebody_gone {
                tended.look_for_lost();
            }
            // One that fails holds up no other.
            let judged = (self.judge_at <= Instant::now()).then(|| self.wire.gone());
            if let Err(error) = tended.tend(&self.of.store, self.shard, judged).await {
                failed.get_or_insert(error);
            }
            next = next.min(tended.due_at());
        }
        failed.map_or(Ok(next), Err)
    }

    /// One question about all queues, where most of the time nothing is due and nothing waits for a slot.
    async fn pass_over_those_where_nothing_waits(&mut self) -> Result<(), Error> {
        if !self.tended.values().any(Tended::looks_for_waiting) {
            return Ok(());
        }
        let all: Vec<QueueName> = self.tended.keys().cloned().collect();
        let wait = self.of.store.queues_that_wait(self.shard, &all).await?;
        for (name, tended) in &mut self.tended {
            if !wait.contains(name) {
                tended.note_nothing_waits();
            }
        }
        Ok(())
    }

    /// All queues that are known, read now and then.
    async fn queues_of_all(&mut self) -> Result<Vec<QueueName>, Error> {
        if Instant::now() >= self.read_at {
            let mut known = self.of.store.queues_with_tools().await?;
            known.extend(self.of.own.iter().cloned());
            known.sort_unstable();
            known.dedup();
            self.known = known;
            self.read_at = Instant::now() + READ;
        }
        Ok(self.known.clone())
    }

    /// What to do when the user may not do this: look after its own queues alone, if it may that.
    fn forbidden(&mut self, error: &Error) -> Duration {
        let of_all = self.posts.iter().any(|post| post.queue.is_none());
        if of_all && !self.of.own.is_empty() {
            let own = self.of.own.iter().cloned();
            self.posts = own
                .map(|queue| Post::new(self.shard, Some(queue)))
                .collect();
            return Duration::ZERO;
        }
        if !std::mem::replace(&mut self.is_forbidden, true) {
            tracing::warn!(%error, "this user of Redis may not keep queues going (taskferry acl has the rights); others must");
        }
        FORBIDDEN
    }
}

impl Round for &mut Keeper<'_> {
    async fn work(&mut self) -> Duration {
        match self.round().await {
            Ok(next) => next.saturating_duration_since(Instant::now()),
            Err(error) if error.is_forbidden() => self.forbidden(&error),
            Err(error) => {
                tracing::debug!(%error, shard = %self.shard, "housekeeping failed; trying again");
                self.judge_at = Instant::now() + GRACE;
                self.wire.doubt();
                AFTER_FAILURE.mul_f64(rand::random_range(0.5..=1.0))
            }
        }
    }
}
