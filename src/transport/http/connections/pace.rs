//! How a connection gets on: whether a client that began something goes on with it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use taskferry_process::Budget;
use tokio::sync::Notify;

/// How long a client may take for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the head of a request, from its first byte; for the first one, from the connection.
    pub(super) head: Duration,
    /// Between two requests. A balancer must be the first to close an idle connection, or it sends a request into one that
    /// closes: nginx does after a minute, Google's after ten.
    pub(super) idle: Duration,
    /// Over this time, a client that keeps the server waiting must have taken, of what is sent to it, the bytes that
    /// `least_rate` makes of it.
    pub(super) reader: Duration,
    /// Bytes a second.
    pub(super) least_rate: u64,
    /// The same while others wait for memory that answers on their way hold, those of all callers or its own.
    pub(super) short_reader: Duration,
    pub(super) short_rate: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(11 * 60),
            reader: Duration::from_secs(30),
            least_rate: 16 << 10,
            short_reader: Duration::from_secs(1),
            short_rate: 1 << 20,
        }
    }
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request came.
    Idle,
    /// The head of a request did not come in time.
    Head,
    /// What is sent is not read.
    Reader,
}

/// Milliseconds of a clock that only runs forward; never 0, which stands for "not now".
fn now() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    millis(BEGAN.elapsed()).saturating_add(1)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is known of one connection. Its own task writes it, the sweep reads it.
#[derive(Debug)]
pub(super) struct Pace {
    /// The requests that are served on it, until the last of their answers was taken: one, or none.
    requests: AtomicU32,
    /// How many requests began.
    begun: AtomicU64,
    /// Since when there has been no request.
    quiet_since: AtomicU64,
    /// When the head of a request began; 0 if none is on its way.
    head_since: AtomicU64,
    /// Since when the client has kept the server waiting with what it sends; 0 if it does not.
    unread_since: AtomicU64,
    /// What the client took since then, bytes.
    taken: AtomicU64,
    /// What the last answer that began takes its memory from.
    memory: Mutex<Option<Budget>>,
    /// Set before `ending` is rung: the connection is dropped, not closed in good order.
    is_cut: AtomicBool,
    ending: Notify,
}

impl Pace {
    pub(super) fn begun() -> Self {
        Self {
            requests: AtomicU32::new(0),
            begun: AtomicU64::new(0),
            quiet_since: AtomicU64::new(now()),
            head_since: AtomicU64::new(0),
            unread_since: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            memory: Mutex::new(None),
            is_cut: AtomicBool::new(false),
            ending: Notify::new(),
        }
    }

    /// Whether a request is served, or the rest of its answer is still to be read.
    pub(super) fn is_serving(&self) -> bool {
        self.requests.load(Relaxed) > 0 || self.unread_since.load(Relaxed) != 0
    }

    /// How many requests began: whoever counts the bytes of a head begins anew with each.
    pub(super) fn requests_begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// A request is here whole, but for its body.
    pub(super) fn request_begins(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
    }

    pub(super) fn request_goes_on(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn request_ends(&self) {
        if self.requests.fetch_sub(1, Relaxed) == 1 {
            self.quiet_since.store(now(), Relaxed);
        }
    }

    /// An answer begins that takes its memory from there: its client is not waited for while others wait for that.
    pub(super) fn draws_on(&self, memory: Budget) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory);
    }

    fn is_short(&self) -> bool {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.as_ref().is_some_and(Budget::is_short)
    }

    /// Some of the head of a request came.
    pub(super) fn head_comes(&self) {
        if self.head_since.load(Relaxed) == 0 {
            self.head_since.store(now(), Relaxed);
        }
    }

    /// Of `offered` bytes the client's side took so many.
    pub(super) fn took(&self, offered: usize, taken: usize) {
        let is_waiting = self.unread_since.load(Relaxed) != 0;
        if taken >= offered {
            if is_waiting {
                self.unread_since.store(0, Relaxed);
            }
            return;
        }
        if is_waiting {
            self.taken.fetch_add(taken as u64, Relaxed);
        } else {
            self.taken.store(taken as u64, Relaxed);
            self.unread_since.store(now(), Relaxed);
        }
    }

    /// How long there has been no request, if there is none now.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        let since = self.quiet_since.load(Relaxed);
        (!self.is_serving()).then(|| Duration::from_millis(now().saturating_sub(since)))
    }

    /// What the client is behind with, if it is.
    pub(super) fn overdue(&self, patience: &Patience, is_short: bool) -> Option<Overdue> {
        let now = now();
        let is_over =
            |since: u64, most: Duration| since != 0 && now - since.min(now) > millis(most);
        let unread_since = self.unread_since.load(Relaxed);
        if is_over(unread_since, patience.short_reader) && (is_short || self.is_short()) {
            let waited = Duration::from_millis(now - unread_since.min(now));
            let least = waited.as_secs_f64() * patience.short_rate as f64;
            if (self.taken.load(Relaxed) as f64) < least {
                return Some(Overdue::Reader);
            }
        }
        if is_over(unread_since, patience.reader) {
            let least = patience.reader.as_secs_f64() * patience.least_rate as f64;
            let taken = self.taken.swap(0, Relaxed);
            if (taken as f64) < least {
                return Some(Overdue::Reader);
            }
            self.unread_since.store(now, Relaxed);
        }
        if self.is_serving() {
            return None;
        }
        let quiet_since = self.quiet_since.load(Relaxed);
        let without_request = self.requests_begun() == 0 && is_over(quiet_since, patience.head);
        if without_request || is_over(self.head_since.load(Relaxed), patience.head) {
            return Some(Overdue::Head);
        }
        is_over(quiet_since, patience.idle).then_some(Overdue::Idle)
    }

    /// Has the connection ended: one that is idle in good order, so that a request which just comes is served still.
    pub(super) fn end(&self, why: Overdue) {
        self.is_cut.store(why != Overdue::Idle, Relaxed);
        self.ending.notify_one();
    }

    /// Resolves when the connection is to end: true if at once.
    pub(super) async fn ending(&self) -> bool {
        self.ending.notified().await;
        self.is_cut.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Patience = Patience {
        head: Duration::from_millis(20),
        idle: Duration::from_millis(200),
        reader: Duration::from_millis(20),
        least_rate: 1000,
        short_reader: Duration::from_millis(10),
        short_rate: 10_000,
    };

    async fn after(milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    #[tokio::test]
    async fn the_first_head_must_come_soon_and_later_ones_when_they_began() {
        let pace = Pace::begun();
        assert_eq!(pace.overdue(&SHORT, false), None);
        after(25).await;
        assert_eq!(pace.overdue(&SHORT, false), Some(Overdue::Head));
        pace.request_begins();
        assert_eq!(pace.overdue(&SHORT, false), None);
        pace.request_ends();
        after(25).await;
        assert_eq!(pace.overdue(&SHORT, false), None, "it may be idle longer");
        pace.head_comes();
        after(25).await;
        pace.head_comes();
        assert_eq!(pace.overdue(&SHORT, false), Some(Overdue::Head));
    }

    #[tokio::test]
    async fn a_request_that_is_served_may_last() {
        let pace = Pace::begun();
        pace.request_begins();
        pace.request_goes_on();
        pace.request_ends();
        after(210).await;
        assert_eq!(
            (pace.overdue(&SHORT, false), pace.quiet_for()),
            (None, None)
        );
        pace.request_ends();
        assert_eq!(pace.overdue(&SHORT, false), None);
        after(210).await;
        assert_eq!(pace.overdue(&SHORT, false), Some(Overdue::Idle));
        assert!(pace.quiet_for().is_some_and(|quiet| quiet >= SHORT.idle));
    }

    #[tokio::test]
    async fn a_reader_must_keep_the_least_rate_while_it_is_waited_for() {
        let pace = Pace::begun();
        pace.request_begins();
        pace.took(100, 100);
        after(25).await;
        assert_eq!(pace.overdue(&SHORT, false), None, "it took all");
        pace.took(1000, 0);
        after(25).await;
        pace.took(1000, 30);
        assert_eq!(
            pace.overdue(&SHORT, false),
            None,
            "30 bytes in 25 ms are enough"
        );
        pace.took(1000, 5);
        after(25).await;
        assert_eq!(pace.overdue(&SHORT, false), Some(Overdue::Reader));
    }

    #[tokio::test]
    async fn a_slow_reader_is_not_waited_for_while_others_wait_for_memory() {
        let patience = Patience {
            reader: Duration::from_secs(600),
            ..SHORT
        };
        let (slow, fast) = (Pace::begun(), Pace::begun());
        for (pace, taken) in [(&slow, 10), (&fast, 10_000_000)] {
            pace.request_begins();
            pace.took(20_000_000, taken);
        }
        after(15).await;
        assert_eq!(slow.overdue(&patience, false), None);
        assert_eq!(slow.overdue(&patience, true), Some(Overdue::Reader));
        assert_eq!(fast.overdue(&patience, true), None);

        // Nor while others wait for the memory of its own caller.
        let whole = Budget::new(2 << 10);
        let mut held = whole.charge();
        assert!(held.grow_to(2 << 10));
        slow.draws_on(whole.clone());
        assert_eq!(slow.overdue(&patience, false), None);
        let mut other = whole.charge();
        let mut waits = std::pin::pin!(other.wait_for(1, Duration::from_secs(600)));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        assert_eq!(slow.overdue(&patience, false), Some(Overdue::Reader));
        assert_eq!(fast.overdue(&patience, false), None);
    }
}
