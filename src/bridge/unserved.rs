//! Tools that no living worker has: since when, as far as this front end has seen, and what is told of those that are called.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskferry_contract::Fleet;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When no worker has had a tool for so long, that is told.
pub(super) const A_WHILE: Duration = Duration::from_secs(15);
/// A tool for which nobody has asked for so long is not looked after any more.
const ASKED_FOR: Duration = Duration::from_secs(600);

/// The tools that are looked after.
#[derive(Debug, Default)]
pub(super) struct Unserved {
    /// By queue and name.
    tools: Mutex<HashMap<(String, String), Lack>>,
    /// Rung when there is one more to look after.
    more: Notify,
}

/// Why a tool is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// It is called, or a task of it waits.
    Called,
    /// All tools are.
    Listed,
}

/// What is known of one.
#[derive(Debug)]
struct Lack {
    /// Since when no worker has it. `None` until the workers were read.
    since: Option<Instant>,
    /// When it was last asked for.
    asked: Instant,
    is_called: bool,
    is_told: bool,
}

/// What there is to tell of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    queue: String,
    tool: String,
    /// Whether a worker has it again; else none has had it for a while.
    is_served: bool,
}

impl News {
    /// Tells the log.
    pub(super) fn log(&self) {
        let Self { queue, tool, .. } = self;
        if self.is_served {
            tracing::info!(%tool, %queue, "a worker has this tool again");
        } else {
            tracing::warn!(
                %tool,
                %queue,
                "no living worker has had this tool for 15 s or longer"
            );
        }
    }
}

impl Unserved {
    /// Looks after a tool.
    pub(super) fn watch(&self, of: (&str, &str), because: Because, now: Instant) {
        self.asked(of, because, (now, None));
    }

    /// Notes that somebody asks for a tool which no worker has, as was read at `read`; how long that has been so by now.
    pub(super) fn lacks(&self, of: (&str, &str), read: Instant, now: Instant) -> Duration {
        let since = self.asked(of, Because::Called, (now, Some(read)));
        now.duration_since(since.unwrap_or(read))
    }

    /// Notes who serves the queues, and forgets what has a worker, or nobody asks for; what there is to tell.
    pub(super) fn note(&self, fleet: &Fleet, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        self.lock().retain(|(queue, tool), lack| {
            let is_served = fleet.serving(queue, tool).able > 0;
            let since = *lack.since.get_or_insert(now);
            let is_late = !is_served && now.duration_since(since) >= A_WHILE;
            let is_due = is_late && lack.is_called;
            if (is_served && lack.is_told) || (is_due && !lack.is_told) {
                news.push(News {
                    queue: queue.clone(),
                    tool: tool.clone(),
                    is_served,
                });
            }
            lack.is_told |= is_due;
            !is_served && now.duration_since(lack.asked) < ASKED_FOR
        });
        news
    }

    /// How long no worker has had a tool, as far as was seen. `None` if one has, or nobody knows.
    pub(super) fn lacking_for(
        &self,
        (queue, tool): (&str, &str),
        now: Instant,
    ) -> Option<Duration> {
        let all = self.lock();
        let since = all.get(&(queue.to_owned(), tool.to_owned()))?.since?;
        Some(now.duration_since(since))
    }

    /// Whether no tool is looked after.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whether all that is to be told of those that are looked after was told.
    pub(super) fn is_calm(&self) -> bool {
        let all = self.lock();
        all.values().all(|lack| lack.is_told || !lack.is_called)
    }

    /// Resolves once there is one more to look after. For one who waits.
    pub(super) async fn more(&self) {
        self.more.notified().await;
    }

    fn asked(
        &self,
        (queue, tool): (&str, &str),
        because: Because,
        (now, since): (Instant, Option<Instant>),
    ) -> Option<Instant> {
        let mut all = self.lock();
        let of = (queue.to_owned(), tool.to_owned());
        let lack = all.entry(of).or_insert(Lack {
            since: None,
            asked: now,
            is_called: false,
            is_told: false,
        });
        if because == Because::Called && !lack.is_called {
            lack.is_called = true;
            self.more.notify_one();
        }
        lack.asked = now;
        lack.since = lack.since.or(since);
        lack.since
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Lack>> {
        self.tools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: (&str, &str) = ("slow", "report");

    /// Workers of the queue `slow` that have these tools.
    fn fleet(tools: &[&str]) -> Fleet {
        let mut fleet = Fleet::default();
        for tool in tools {
            let told = [Some(*tool), Some("slow"), None, None, None];
            fleet.add(told.map(|text: Option<&str>| text.map(str::to_owned)));
        }
        fleet
    }

    fn news(is_served: bool) -> Vec<News> {
        let (queue, tool) = REPORT;
        vec![News {
            queue: queue.to_owned(),
            tool: tool.to_owned(),
            is_served,
        }]
    }

    #[test]
    fn that_no_worker_has_a_tool_is_told_after_a_while_once_until_one_has() {
        let (unserved, begin) = (Unserved::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let (none, some) = (fleet(&["other"]), fleet(&["other", "report"]));
        assert!(unserved.note(&none, at(0)).is_empty(), "nobody asked");
        unserved.watch(REPORT, Because::Called, at(0));
        assert_eq!(unserved.lacking_for(REPORT, at(0)), None, "nobody knows");
        assert!(unserved.note(&none, at(1)).is_empty());
        assert!(unserved.note(&none, at(15)).is_empty());
        assert!(!unserved.is_calm());
        assert_eq!(unserved.note(&none, at(16)), news(false));
        assert!(unserved.is_calm() && !unserved.is_empty());
        assert!(unserved.note(&none, at(40)).is_empty(), "it was told");
        let lacking = unserved.lacking_for(REPORT, at(41));
        assert_eq!(lacking, Some(Duration::from_secs(40)));
        assert_eq!(unserved.note(&some, at(50)), news(true));
        assert!(unserved.is_empty());
        assert_eq!(unserved.lacking_for(REPORT, at(50)), None);

        // It begins anew; and one that has a worker soon is nothing to tell.
        unserved.watch(REPORT, Because::Called, at(60));
        assert!(unserved.note(&none, at(60)).is_empty());
        assert!(unserved.note(&some, at(74)).is_empty());
        assert!(unserved.is_empty());
    }

    #[test]
    fn a_poll_counts_from_when_the_workers_were_read_and_keeps_a_tool_looked_after() {
        let (unserved, begin) = (Unserved::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let none = fleet(&[]);
        assert_eq!(unserved.lacks(REPORT, at(0), at(1)), Duration::from_secs(1));
        assert_eq!(
            unserved.lacks(REPORT, at(9), at(10)),
            Duration::from_secs(10)
        );
        assert_eq!(unserved.note(&none, at(20)), news(false));
        assert!(unserved.note(&none, at(609)).is_empty() && !unserved.is_empty());
        unserved.watch(REPORT, Because::Called, at(609));
        assert!(unserved.note(&none, at(611)).is_empty());
        let lacking = unserved.lacking_for(REPORT, at(611));
        assert_eq!(lacking, Some(Duration::from_secs(611)));
        assert!(unserved.note(&none, at(1_209)).is_empty());
        assert!(unserved.is_empty(), "nobody asked for ten minutes");
    }

    #[tokio::test]
    async fn of_a_tool_that_nobody_calls_nothing_is_told_until_it_is_called() {
        let (unserved, begin) = (Unserved::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        unserved.watch(REPORT, Because::Listed, at(0));
        let none = fleet(&[]);
        assert!(unserved.note(&none, at(0)).is_empty());
        assert!(unserved.note(&none, at(100)).is_empty());
        assert!(unserved.is_calm());
        let lacking = unserved.lacking_for(REPORT, at(100));
        assert_eq!(lacking, Some(Duration::from_secs(100)));
        unserved.watch(REPORT, Because::Called, at(100));
        unserved.more().await;
        assert!(!unserved.is_calm());
        assert_eq!(unserved.note(&none, at(101)), news(false));
    }
}
