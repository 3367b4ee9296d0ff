//! What workers report of themselves, and which of them serve which queue.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::names::{QueueName, ToolName, WorkerId};
use crate::model::tool::DefinitionDigest;

/// A worker reports at least this often.
pub const BEAT: Duration = Duration::from_secs(10);

/// A worker that has not reported for this long, three beats, is not counted on: most likely it died. A definition that no
/// worker reported for as long, no live worker has.
pub(crate) const HELD: Duration = Duration::from_secs(30);

/// A worker that has not reported for this long is no longer listed.
pub(crate) const KEPT: Duration = Duration::from_secs(60);

/// What a worker reports that was asked to stop (`draining`).
pub const DRAINING: &str = "draining";

/// What a worker reports of itself, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Its consumer name.
    pub id: WorkerId,
    /// The host it runs on.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// The version of its binary.
    pub version: String,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// How many it runs now.
    pub busy: usize,
    /// The names of its tools, comma-separated.
    pub tools: String,
    /// In one line what it does: `fetching`, `full`, `draining`, or `not fetching: …`; empty if its version does not say.
    pub doing: String,
    /// The names of the queues it reads, comma-separated.
    pub queues: String,
    /// Which definitions of its tools it has, as [`definitions_as_told`] writes them; empty if it does not say.
    pub digests: String,
}

/// How a worker tells which definitions it has: tool and digest with a space between, comma-separated.
#[must_use]
pub fn definitions_as_told(definitions: &[(ToolName, DefinitionDigest)]) -> String {
    let mut told: Vec<String> = definitions
        .iter()
        .map(|(tool, digest)| member(tool, digest))
        .collect();
    told.sort_unstable();
    told.join(",")
}

/// How one definition is named.
pub(crate) fn member(tool: &ToolName, digest: &DefinitionDigest) -> String {
    format!("{tool} {digest}")
}

impl WorkerInfo {
    /// Whether what a worker does means that it begins nothing any more.
    pub(crate) fn ends(doing: &str) -> bool {
        doing == DRAINING
    }

    /// Whether a worker that was heard of so long ago most likely died.
    #[must_use]
    pub fn is_silent(silent: Duration) -> bool {
        silent >= HELD
    }

    /// Whether it may begin jobs, `silent` so long after its last report.
    #[must_use]
    pub fn is_counted_on(&self, silent: Duration) -> bool {
        !Self::is_silent(silent) && !Self::ends(&self.doing)
    }

    /// Whether it reads this queue.
    #[must_use]
    pub fn serves(&self, queue: &QueueName) -> bool {
        self.queues.split(',').any(|own| own == queue.as_str())
    }

    /// Whether it runs a tool of this name.
    #[must_use]
    pub fn runs(&self, tool: &str) -> bool {
        self.tools.split(',').any(|own| own == tool)
    }

    /// Which definition of a tool it has. `None` if it does not say.
    #[must_use]
    pub fn definition_of(&self, tool: &str) -> Option<DefinitionDigest> {
        let told = self.digests.split(',');
        let mut told = told.filter_map(|told| told.split_once(' '));
        let (_, digest) = told.find(|(own, _)| *own == tool)?;
        digest.parse().ok()
    }
}

/// The workers that live and begin jobs, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// When that was, ms since the epoch, by Redis's clock.
    pub now_ms: i64,
    queues: HashMap<String, Serving>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Serving {
    workers: u64,
    by_tool: HashMap<String, Able>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Able {
    workers: u64,
    free: u64,
}

/// The workers of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// How many read the queue.
    pub reading: u64,
    /// How many of them have the tool.
    pub able: u64,
    /// How many of these had a free slot at their last report.
    pub free: u64,
    /// Whether none has had the tool for a while. It takes one who looks again and again to know, so this is false until a
    /// front end says so.
    pub long_unserved: bool,
}

impl Fleet {
    /// Nobody yet, at this moment.
    pub(crate) fn at(now_ms: i64) -> Self {
        Self {
            now_ms,
            queues: HashMap::new(),
        }
    }

    /// The workers that read a queue, and those among them that have a tool.
    #[must_use]
    pub fn serving(&self, queue: &str, tool: &str) -> Served {
        let Some(serving) = self.queues.get(queue) else {
            return Served::default();
        };
        let able = serving.by_tool.get(tool).copied().unwrap_or_default();
        Served {
            reading: serving.workers,
            able: able.workers,
            free: able.free,
            long_unserved: false,
        }
    }

    /// Adds a worker by what it says of itself: its tools, its queues, what it does, and how many of its slots are busy.
    pub fn add(&mut self, [tools, queues, doing, busy, slots]: [Option<String>; 5]) {
        if doing.as_deref().is_some_and(WorkerInfo::ends) {
            return;
        }
        let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
        let free = match (number(busy), number(slots)) {
            (Some(busy), Some(slots)) => u64::from(busy < slots),
            // It does not say.
            _ => 1,
        };
        let (tools, queues) = (tools.unwrap_or_default(), queues.unwrap_or_default());
        for queue in queues.split(',').filter(|name| !name.is_empty()) {
            let serving = self.queues.entry(queue.to_owned()).or_default();
            serving.workers += 1;
            for tool in tools.split(',') {
                let able = serving.by_tool.entry(tool.to_owned()).or_default();
                able.workers += 1;
                able.free += free;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_drain_serve_nothing_and_a_tool_counts_on_each_queue() {
        let mut fleet = Fleet::default();
        for (tools, queues, doing, busy) in [
            ("a,b", "default", "fetching", "1"),
            ("a", "default,slow", "full", "2"),
            ("a,b", "default", "draining", "0"),
        ] {
            fleet.add([tools, queues, doing, busy, "2"].map(|text| Some(text.to_owned())));
        }
        fleet.add([const { None }; 5]);
        let served = |queue, tool| {
            let served = fleet.serving(queue, tool);
            (served.reading, served.able, served.free)
        };
        assert_eq!(served("default", "a"), (2, 2, 1));
        assert_eq!(served("default", "b"), (2, 1, 1));
        assert_eq!(served("slow", "a"), (1, 1, 0));
        assert_eq!(served("slow", "b"), (1, 0, 0));
        assert_eq!(served("other", "a"), (0, 0, 0));
    }

    #[test]
    fn a_worker_tells_which_definitions_it_has() {
        let definitions = [("b", "1-2"), ("a.b", "1-1")]
            .map(|(tool, digest)| (tool.parse().unwrap(), digest.parse().unwrap()));
        let mut info = WorkerInfo {
            id: "w".parse().unwrap(),
            host: String::new(),
            pid: 1,
            version: String::new(),
            slots: 1,
            busy: 0,
            tools: "a.b,b,c".to_owned(),
            doing: String::new(),
            queues: String::new(),
            digests: definitions_as_told(&definitions),
        };
        assert_eq!(info.digests, "a.b 1-1,b 1-2");
        let told = |tool| info.definition_of(tool).map(|digest| digest.to_string());
        assert_eq!(told("b").as_deref(), Some("1-2"));
        assert_eq!(told("a.b").as_deref(), Some("1-1"));
        assert_eq!((told("a"), told("c"), told("")), (None, None, None));
        for nothing in ["", "a", "a ", "a ?", ",", " "] {
            nothing.clone_into(&mut info.digests);
            assert_eq!(info.definition_of("a"), None, "{nothing:?}");
        }
    }
}
