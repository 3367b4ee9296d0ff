//! Who serves the queues, for those who tell callers what their jobs wait for.

use std::collections::HashMap;

use crate::error::Error;
use crate::registry::HELD;
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
    by_tool: HashMap<String, u64>,
}

/// The workers of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// How many read the queue.
    pub reading: u64,
    /// How many of them have the tool.
    pub able: u64,
}

impl Fleet {
    /// The workers that read a queue, and those among them that have a tool.
    #[must_use]
    pub fn serving(&self, queue: &str, tool: &str) -> Served {
        let Some(serving) = self.queues.get(queue) else {
            return Served::default();
        };
        Served {
            reading: serving.workers,
            able: serving.by_tool.get(tool).copied().unwrap_or(0),
        }
    }

    fn add(&mut self, [tools, queues, doing]: [Option<String>; 3]) {
        // One that drains begins nothing any more.
        if doing.as_deref() == Some("draining") {
            return;
        }
        let (tools, queues) = (tools.unwrap_or_default(), queues.unwrap_or_default());
        for queue in queues.split(',').filter(|name| !name.is_empty()) {
            let serving = self.queues.entry(queue.to_owned()).or_default();
            serving.workers += 1;
            for tool in tools.split(',') {
                *serving.by_tool.entry(tool.to_owned()).or_default() += 1;
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
                    .arg(&["tools", "queues", "doing"]);
            }
            let told: Vec<[Option<String>; 3]> = self.connections.pipeline("fleet", &read).await?;
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
        for (tools, queues, doing) in [
            ("a,b", "default", "fetching"),
            ("a", "default,slow", "full"),
            ("a,b", "default", "draining"),
        ] {
            fleet.add([tools, queues, doing].map(|text| Some(text.to_owned())));
        }
        fleet.add([None, None, None]);
        let served = |queue, tool| {
            let Served { reading, able } = fleet.serving(queue, tool);
            (reading, able)
        };
        assert_eq!(served("default", "a"), (2, 2));
        assert_eq!(served("default", "b"), (2, 1));
        assert_eq!(served("slow", "b"), (1, 0));
        assert_eq!(served("other", "a"), (0, 0));
    }
}
