//! Who serves the queues, for those who tell callers what their jobs wait for.

use std::collections::HashMap;

use crate::error::Error;
use crate::registry::{HELD, WorkerInfo};
use crate::store::{Store, millis};

/// So many workers are asked about at once.
const AT_ONCE: usize = 500;

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
    /// How many of these had a free slot at their last beat.
    pub free: u64,
}

impl Fleet {
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
        }
    }

    fn add(&mut self, [tools, queues, doing, busy, slots]: [Option<String>; 5]) {
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

impl Store {
    /// Who serves the queues: workers that were heard of within three beats (15 s) and that are not told to stop.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn fleet(&self) -> Result<Fleet, Error> {
        let now_ms = self.now_ms().await?;
        let mut beats = redis::cmd("ZRANGE");
        beats
            .arg(self.keys.workers())
            .arg(now_ms.saturating_sub(millis(HELD)))
            .arg("+inf")
            .arg("BYSCORE");
        let workers: Vec<String> = self.connections.command("fleet", &beats).await?;
        let workers: Vec<_> = workers.iter().filter_map(|id| id.parse().ok()).collect();
        let mut fleet = Fleet {
            now_ms: i64::try_from(now_ms).unwrap_or(i64::MAX),
            queues: HashMap::new(),
        };
        for some in workers.chunks(AT_ONCE) {
            let mut read = redis::pipe();
            for worker in some {
                read.cmd("HMGET")
                    .arg(self.keys.worker(worker))
                    .arg(&["tools", "queues", "doing", "busy", "slots"]);
            }
            let told: Vec<[Option<String>; 5]> = self.connections.pipeline("fleet", &read).await?;
            told.into_iter().for_each(|one| fleet.add(one));
        }
        Ok(fleet)
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
}
