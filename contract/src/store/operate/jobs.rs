//! The jobs of one tool that have not ended, for whoever is about to take it away.

use std::collections::{HashMap, HashSet};

use crate::error::Error;
use crate::model::ids::TaskId;
use crate::model::names::{QueueName, ToolName};
use crate::model::overview::ToolJobs;
use crate::model::shard::Shard;
use crate::model::status::Status;
use crate::store::Store;
use crate::store::operate::overview::or_nothing;

/// So many entries, or ids, are read at once.
const AT_ONCE: usize = 1_000;
/// No more than so many are looked at, those of other tools too.
const MOST: usize = 100_000;

/// An entry of a stream: its id and its fields.
type Entry = (String, HashMap<String, String>);

/// What is looked at, and for which tool.
struct Search<'a> {
    tool: &'a ToolName,
    /// Ids of jobs that may be the tool's.
    found: HashSet<TaskId>,
    /// How many more may be looked at.
    left: usize,
}

impl Store {
    /// The jobs of a tool on these queues: those that are on a stream, due, in the line of their owner, or that wait for their
    /// turn. One that is parked for an answer is not found.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn jobs_of_tool(
        &self,
        tool: &ToolName,
        queues: &[QueueName],
    ) -> Result<ToolJobs, Error> {
        let mut search = Search {
            tool,
            found: HashSet::new(),
            left: MOST,
        };
        for shard in self.shards.all() {
            for queue in queues {
                or_nothing(self.search_stream(shard, queue, &mut search).await)?;
                for key in [
                    self.keys.waiting_jobs(shard, queue, tool),
                    self.keys.due(shard, queue),
                    self.keys.backlog(shard, queue),
                ] {
                    or_nothing(self.search_set(&key, &mut search).await)?;
                }
            }
        }
        let mut jobs = ToolJobs {
            has_more: search.left == 0,
            ..ToolJobs::default()
        };
        let found: Vec<TaskId> = search.found.into_iter().collect();
        for some in found.chunks(AT_ONCE) {
            self.count(tool, some, &mut jobs).await?;
        }
        Ok(jobs)
    }

    async fn search_stream(
        &self,
        shard: Shard,
        queue: &QueueName,
        search: &mut Search<'_>,
    ) -> Result<(), Error> {
        let (key, mut after) = (self.keys.queue(shard, queue), "-".to_owned());
        while search.left > 0 {
            let mut read = redis::cmd("XRANGE");
            read.arg(&key).arg(&after).arg("+").arg("COUNT");
            read.arg(AT_ONCE.min(search.left));
            let entries: Vec<Entry> = self.connections.command("jobs_of_tool", &read).await?;
            let Some((last, _)) = entries.last() else {
                break;
            };
            after = format!("({last}");
            search.left -= entries.len().min(search.left);
            let of_tool = entries.iter().filter(|(_, fields)| {
                fields.get("tool").map(String::as_str) == Some(search.tool.as_str())
            });
            let ids = of_tool.filter_map(|(_, fields)| fields.get("id")?.parse().ok());
            search.found.extend(ids.collect::<Vec<TaskId>>());
        }
        Ok(())
    }

    async fn search_set(&self, key: &str, search: &mut Search<'_>) -> Result<(), Error> {
        let mut from = 0;
        while search.left > 0 {
            let mut read = redis::cmd("ZRANGE");
            let to = from + AT_ONCE.min(search.left) - 1;
            read.arg(key).arg(from).arg(to);
            let ids: Vec<String> = self.connections.command("jobs_of_tool", &read).await?;
            if ids.is_empty() {
                break;
            }
            from += ids.len();
            search.left -= ids.len().min(search.left);
            let ids = ids.iter().filter_map(|id| id.parse().ok());
            search.found.extend(ids.collect::<Vec<TaskId>>());
        }
        Ok(())
    }

    /// Counts those whose record is there and names the tool.
    async fn count(
        &self,
        tool: &ToolName,
        ids: &[TaskId],
        jobs: &mut ToolJobs,
    ) -> Result<(), Error> {
        let mut read = redis::pipe();
        for id in ids {
            let of = read.cmd("HMGET").arg(self.keys.record(*id));
            of.arg(&["tool", "status"]);
        }
        let records: Vec<[Option<String>; 2]> =
            self.connections.pipeline("jobs_of_tool", &read).await?;
        for [of, status] in records {
            let status: Option<Status> = status.and_then(|status| status.parse().ok());
            match status.filter(|_| of.as_deref() == Some(tool.as_str())) {
                Some(Status::Queued) => jobs.queued += 1,
                Some(status) if !status.is_terminal() => jobs.begun += 1,
                _ => {}
            }
        }
        Ok(())
    }
}
