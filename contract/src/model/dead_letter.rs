//! Dead letters: jobs that will not be attempted again, and entries that are no job. To *bury* is to write one.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::model::arguments::Arguments;
use crate::model::ids::TaskId;
use crate::model::names::Owner;
use crate::model::shard::Shard;
use crate::model::tool::ToolDefinition;

/// The id of a dead letter, written `<shard>:<entry>`. Ids are ordered by the time of burial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    ms: u64,
    sequence: u64,
    shard: Shard,
}

impl LetterId {
    pub(crate) fn new(shard: Shard, entry: &str) -> Option<Self> {
        let (ms, sequence) = entry.split_once('-')?;
        Some(Self {
            ms: ms.parse().ok()?,
            sequence: sequence.parse().ok()?,
            shard,
        })
    }

    pub(crate) fn shard(self) -> Shard {
        self.shard
    }

    /// The entry of the stream.
    pub(crate) fn entry(self) -> String {
        format!("{}-{}", self.ms, self.sequence)
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shard, self.entry())
    }
}

/// The text is not the id of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dead letter's id is <shard>:<entry>, as in 0:1795405088549-0")]
pub struct InvalidLetterId;

impl FromStr for LetterId {
    type Err = InvalidLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidLetterId> {
        let read = || {
            let (shard, entry) = text.split_once(':')?;
            Self::new(Shard::numbered(shard.parse().ok()?)?, entry)
        };
        read().ok_or(InvalidLetterId)
    }
}

/// A job that no worker will attempt again, or an entry that could not be read as a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The shard and the entry of the stream of dead letters.
    pub id: LetterId,
    /// The job. `None` if the entry named none that can be read.
    pub task: Option<TaskId>,
    /// The text in the entry's field `id`, also if it is no task id.
    pub id_text: String,
    /// The tool; empty if the entry named none.
    pub tool: String,
    /// The queue. `None` if an old version of Taskferry wrote the letter, which did not store it.
    pub queue: Option<String>,
    /// Why no worker will attempt it again.
    pub reason: String,
    /// How many attempts were started. 1 if the letter has a number that cannot be read.
    pub attempts: u64,
    /// The tool's `attempts` when the job was submitted. `None` if the letter does not say.
    pub max_attempts: Option<u64>,
    /// The task for which the work was first asked, if this job itself came from a dead letter.
    pub origin: Option<TaskId>,
    /// Whose task it is. `None` if the letter does not say.
    pub owner: Option<Owner>,
    /// How long the task was to live, ms. `None` if the letter does not say.
    pub ttl_ms: Option<u64>,
    /// The arguments. `None` if arguments and capabilities together are longer than 4 KiB (`LETTER_BYTES` in the prelude).
    pub arguments: Option<String>,
    /// The client's capabilities, a JSON object. `None` if it declared none, and as for the arguments.
    pub capabilities: Option<String>,
    /// The worker of its last attempt. `None` if none began, or the letter does not say.
    pub worker: Option<String>,
    /// When its last attempt began, ms since the epoch.
    pub started_ms: Option<u64>,
    /// How many jobs of the owner and tool were to be ready at once. `None` if the letter does not say.
    pub share: Option<u64>,
    /// Whether the job's record still exists. The store fills this in after it has read the letter.
    pub record_exists: bool,
}

impl DeadLetter {
    pub(crate) fn from_entry(
        shard: Shard,
        entry: &str,
        fields: Vec<(String, String)>,
    ) -> Option<Self> {
        let mut fields: HashMap<String, String> = fields.into_iter().collect();
        let mut take = |name: &str| fields.remove(name);
        let id_text = take("id").unwrap_or_default();
        Some(Self {
            id: LetterId::new(shard, entry)?,
            // A job's letter is in the job's own shard. So an id of another shard is wrong.
            task: id_text
                .parse()
                .ok()
                .filter(|id: &TaskId| id.shard() == shard),
            id_text,
            tool: take("tool").unwrap_or_default(),
            queue: take("queue").filter(|queue| !queue.is_empty()),
            reason: take("reason").unwrap_or_default(),
            // A number that cannot be read counts as one attempt: the job may have run.
            attempts: take("attempts").map_or(0, |count| count.parse().unwrap_or(1)),
            max_attempts: take("max_attempts").and_then(|n| n.parse().ok()),
            origin: take("origin").and_then(|id| id.parse().ok()),
            owner: take("owner").and_then(|name| Owner::stored(&name)),
            ttl_ms: take("ttl_ms").and_then(|ms| ms.parse().ok()),
            arguments: take("arguments"),
            capabilities: take("capabilities"),
            worker: take("worker").filter(|worker| !worker.is_empty()),
            started_ms: take("started_ms").and_then(|ms| ms.parse().ok()),
            share: take("share").and_then(|jobs| jobs.parse().ok()),
            record_exists: false,
        })
    }

    /// When it was buried, ms since the epoch.
    #[must_use]
    pub fn buried_ms(&self) -> u64 {
        self.id.ms
    }
}

/// Which letters to list. With no field set, all.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// Only letters of this tool.
    pub tool: Option<String>,
    /// Only letters whose reason contains this text; upper and lower case count the same.
    pub reason: Option<String>,
    /// Only letters older than this one.
    pub before_id: Option<LetterId>,
    /// Only letters that were buried before this time, ms since the epoch.
    pub before_ms: Option<u64>,
}

impl LetterFilter {
    /// Whether a letter has the tool, reason and time. `before_id` is not checked here: reading begins behind it (`upper_bound`).
    pub(crate) fn fits(&self, letter: &DeadLetter) -> bool {
        let tool = self.tool.as_ref().is_none_or(|tool| *tool == letter.tool);
        let reason = self
            .reason
            .as_ref()
            .is_none_or(|part| letter.reason.to_lowercase().contains(&part.to_lowercase()));
        let time = self
            .before_ms
            .is_none_or(|before| letter.buried_ms() < before);
        tool && reason && time
    }

    /// The upper bound for `XREVRANGE` on a shard. Letters are listed newest first; of letters with the same entry id, the
    /// one of the highest shard first. So a lower shard may still have a letter with the id of `before_id` itself.
    pub(crate) fn upper_bound(&self, shard: Shard) -> String {
        match &self.before_id {
            None => "+".to_owned(),
            Some(before) if shard >= before.shard() => format!("({}", before.entry()),
            Some(before) => before.entry(),
        }
    }
}

/// What it takes to queue the job of a dead letter again, from its record or else from the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revivable {
    /// Whose task it was.
    pub owner: Owner,
    /// The arguments.
    pub arguments: Arguments,
    /// The task for which the work was first asked: the job's own, unless the job itself came from a dead letter.
    pub origin: TaskId,
    /// How many attempts were started.
    pub attempts: u64,
    /// The tool's `attempts` when the job was submitted. `None` if neither record nor letter says.
    pub max_attempts: Option<u64>,
    pub(crate) capabilities: Option<String>,
    pub(crate) answers: Vec<(String, String)>,
}

impl Revivable {
    /// Whether reviving the job may do work twice that must be done once. True if an attempt was begun and only one attempt
    /// was allowed, then or by the tool as it is `registered` now. An unknown limit counts as one.
    #[must_use]
    pub fn may_repeat_work(&self, registered: &ToolDefinition) -> bool {
        let once = self.max_attempts.is_none_or(|attempts| attempts <= 1);
        self.attempts > 0 && (once || registered.attempts <= 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_count_of_attempts_counts_as_one() {
        let attempts = |fields: &[(&str, &str)]| {
            let fields = fields
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let letter =
                DeadLetter::from_entry(Shard::numbered(0).unwrap(), "17-0", fields.collect());
            letter.unwrap().attempts
        };
        assert_eq!(attempts(&[]), 0);
        assert_eq!(attempts(&[("attempts", "0")]), 0);
        assert_eq!(attempts(&[("attempts", "3")]), 3);
        for unreadable in ["", "one", "-1"] {
            assert_eq!(attempts(&[("attempts", unreadable)]), 1, "{unreadable}");
        }
    }

    #[test]
    fn an_id_reads_back_and_orders_by_time() {
        let id = |text: &str| text.parse::<LetterId>().unwrap();
        assert_eq!(id("3:17-2").to_string(), "3:17-2");
        assert!(id("9:17-2") < id("0:18-0") && id("0:9-0") < id("0:17-0"));
        for wrong in ["", "17-2", "0:17", "1024:17-0", "0:a-0", "0:1-2-3"] {
            assert_eq!(wrong.parse::<LetterId>(), Err(InvalidLetterId), "{wrong}");
        }
    }
}
