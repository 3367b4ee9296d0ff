//! Tools that vanished from the registry although nobody removed them.
//!
//! A Redis that lost its data has no tools until their workers register them again, which takes seconds. Until then a front
//! end goes on with the definitions it knows: a call is queued and waits for its worker, as with any tool whose workers are
//! away. Only what stays away is believed to be gone.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use taskferry_contract::{ToolDefinition, ToolName};

/// How long a tool is kept that vanished. Workers register again what the registry lacks every 10 s.
const KEPT: Duration = Duration::from_secs(15);

/// What became of tools that are not in the registry any more.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    vanished: Mutex<HashMap<ToolName, Vanished>>,
}

#[derive(Debug)]
struct Vanished {
    since: Instant,
    /// Somebody removed it: that is believed.
    removed: bool,
}

impl Doubt {
    /// Notes that a tool was removed on purpose.
    pub(super) fn removed(&self, name: ToolName, now: Instant) {
        let removed = Vanished {
            since: now,
            removed: true,
        };
        self.lock().insert(name, removed);
    }

    /// Whether a tool vanished a while ago, or was removed.
    pub(super) fn has_any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// The tools to go on with: those that were just read, and of the `known` ones those that vanished a moment ago.
    pub(super) fn keep<'a>(
        &self,
        mut read: Vec<ToolDefinition>,
        known: impl Iterator<Item = &'a ToolDefinition>,
        now: Instant,
    ) -> Vec<ToolDefinition> {
        let mut vanished = self.lock();
        vanished.retain(|name, one| {
            let is_back = read.iter().any(|tool| tool.name == *name);
            // One that was removed may be in what was read a moment before.
            (one.removed || !is_back) && now < one.since + KEPT * 2
        });
        let lost = known.filter(|tool| {
            if read.iter().any(|other| other.name == tool.name) {
                return false;
            }
            let one = vanished.entry(tool.name.clone()).or_insert_with(|| {
                tracing::warn!(tool = %tool.name, "a tool vanished from the registry; it is kept for a moment");
                Vanished { since: now, removed: false }
            });
            !one.removed && now < one.since + KEPT
        });
        let lost: Vec<ToolDefinition> = lost.cloned().collect();
        if !lost.is_empty() {
            read.extend(lost);
            read.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        }
        read
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ToolName, Vanished>> {
        self.vanished
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(names: &[&str]) -> Vec<ToolDefinition> {
        let tool = |name: &&str| {
            let schema = serde_json::value::RawValue::from_string("{}".to_owned()).unwrap();
            ToolDefinition::new(name.parse().unwrap(), schema)
        };
        names.iter().map(tool).collect()
    }

    fn kept(doubt: &Doubt, read: &[&str], known: &[&str], now: Instant) -> Vec<String> {
        let kept = doubt.keep(tools(read), tools(known).iter(), now);
        kept.iter().map(|tool| tool.name.to_string()).collect()
    }

    #[test]
    fn what_vanished_is_kept_for_a_while_and_in_its_order() {
        let (doubt, now) = (Doubt::default(), Instant::now());
        assert_eq!(kept(&doubt, &[], &["a", "b"], now), ["a", "b"]);
        assert_eq!(kept(&doubt, &["b"], &["a", "b"], now), ["a", "b"]);
        let nearly = now + KEPT - Duration::from_millis(1);
        assert_eq!(kept(&doubt, &["b"], &["a", "b"], nearly), ["a", "b"]);
        assert_eq!(kept(&doubt, &["b"], &["a", "b"], now + KEPT), ["b"]);
    }

    #[test]
    fn that_a_tool_was_removed_is_remembered_twice_as_long_as_one_is_kept() {
        let (doubt, now) = (Doubt::default(), Instant::now());
        doubt.removed("a".parse().unwrap(), now);
        let over = now + KEPT * 2;
        let nearly = over - Duration::from_millis(1);
        assert!(kept(&doubt, &[], &["a"], nearly).is_empty());
        // By then it was registered and vanished, which is no removal.
        assert_eq!(kept(&doubt, &[], &["a"], over), ["a"]);
    }

    #[test]
    fn what_came_back_and_vanishes_again_is_kept_as_long() {
        let (doubt, now) = (Doubt::default(), Instant::now());
        assert_eq!(kept(&doubt, &[], &["a"], now), ["a"]);
        assert_eq!(kept(&doubt, &["a"], &["a"], now + KEPT), ["a"]);
        assert_eq!(kept(&doubt, &[], &["a"], now + KEPT), ["a"]);
    }

    #[test]
    fn what_was_removed_is_gone_at_once_and_may_come_back() {
        let (doubt, now) = (Doubt::default(), Instant::now());
        doubt.removed("a".parse().unwrap(), now);
        assert_eq!(kept(&doubt, &["a", "b"], &["a", "b"], now), ["a", "b"]);
        assert_eq!(kept(&doubt, &["b"], &["a", "b"], now), ["b"]);
        assert_eq!(kept(&doubt, &["a", "b"], &["b"], now), ["a", "b"]);
    }
}
