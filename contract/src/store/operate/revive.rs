//! A dead letter becomes a new job.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Error;
use crate::model::dead_letter::{DeadLetter, Revivable};
use crate::model::ids::TaskId;
use crate::model::names::Owner;
use crate::model::submission::Submission;
use crate::model::tool::{DefinitionDigest, ToolDefinition};
use crate::script::TRANSITIONS;
use crate::store::record::record_fields;
use crate::store::{Store, millis};

/// What became of a revival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviveReply {
    /// The new job is queued; the letter is gone.
    Queued,
    /// The letter was revived or purged meanwhile.
    Gone,
}

impl Store {
    /// What it takes to queue the job of a dead letter again: read from its record, or else from the letter. `None` if the
    /// letter names no job, or the record is gone and the arguments were too long for the letter.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn revivable(&self, letter: &DeadLetter) -> Result<Option<Revivable>, Error> {
        let Some(task) = letter.task else {
            return Ok(None);
        };
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.record(task));
        let record: Vec<(String, String)> = self.connections.command("revivable", &read).await?;
        if record.is_empty() {
            return Ok(repeated(letter, task));
        }
        let field = |name: &str| {
            let found = record.iter().find(|(field, _)| field == name);
            found.map(|(_, value)| value.clone())
        };
        let number = |text: String| text.parse::<u64>().ok();
        let origin = field("origin").and_then(|id| id.parse().ok());
        // A number that cannot be read counts as one attempt: the job may have run.
        let attempts = field("attempt").map_or(0, |text| number(text).unwrap_or(1));
        let revivable = |owner| Revivable {
            owner,
            origin: origin.or(letter.origin).unwrap_or(task),
            attempts: attempts.max(letter.attempts),
            max_attempts: field("max_attempts")
                .and_then(number)
                .or(letter.max_attempts),
            arguments: field("arguments").map(Into::into).unwrap_or_default(),
            capabilities: field("capabilities"),
            answers: record
                .iter()
                .filter_map(|(field, value)| {
                    Some((field.strip_prefix("answer:")?.to_owned(), value.clone()))
                })
                .collect(),
        };
        Ok(Owner::stored(&field("owner").unwrap_or_default()).map(revivable))
    }

    /// Queues the job `id` in place of `letter`, with the limits that `tool` has now. The caller has checked that the
    /// arguments fit the definition of `tool`, and makes the id, in the shard of the letter's job, so that a repeated call
    /// is the same revival.
    ///
    /// # Errors
    ///
    /// If Redis fails; then the job may have been queued, and the same call again is safe.
    pub async fn revive(
        &self,
        letter: &DeadLetter,
        revivable: &Revivable,
        tool: &ToolDefinition,
        id: TaskId,
    ) -> Result<ReviveReply, Error> {
        let shard = id.shard();
        // The caller has just checked them against this one.
        let digest = DefinitionDigest::of(tool);
        let job = Submission {
            definition: Some(&digest),
            ..submission(letter, revivable, tool, id)
        };
        let mut args: Vec<Cow<'_, str>> = vec![
            self.keys.base(shard).into(),
            id.to_string().into(),
            tool.name.as_str().into(),
            tool.queue.as_str().into(),
            revivable.owner.as_str().into(),
            letter.id.entry().into(),
            millis(job.ttl).to_string().into(),
        ];
        args.extend(record_fields(&job));
        args.extend(["origin".into(), revivable.origin.to_string().into()]);
        let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
        let keys = [
            self.keys.record(id),
            self.keys.queue(shard, &tool.queue),
            self.keys.dead(shard),
        ];
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let reply = self.call(&TRANSITIONS.revive, &keys, &args).await?;
        match reply.tag.as_str() {
            "OK" => Ok(ReviveReply::Queued),
            "GONE" => Ok(ReviveReply::Gone),
            _ => Err(reply.unknown()),
        }
    }
}

fn repeated(letter: &DeadLetter, task: TaskId) -> Option<Revivable> {
    Some(Revivable {
        origin: letter.origin.unwrap_or(task),
        attempts: letter.attempts,
        max_attempts: letter.max_attempts,
        owner: letter.owner.clone()?,
        arguments: letter.arguments.clone()?.into(),
        capabilities: letter.capabilities.clone(),
        answers: Vec::new(),
    })
}

/// The job as its caller would submit it today, as a task: nobody waits for the answer to a plain call any more.
fn submission<'a>(
    letter: &DeadLetter,
    revivable: &'a Revivable,
    tool: &'a ToolDefinition,
    id: TaskId,
) -> Submission<'a> {
    Submission {
        ttl: Duration::from_millis(tool.ttl.choose(letter.ttl_ms)),
        keep: Duration::from_millis(tool.keep_ms),
        capabilities: revivable.capabilities.as_deref(),
        answers: &revivable.answers,
        owner_share: letter.share.unwrap_or(0),
        ..Submission::new(tool, id, &revivable.owner, revivable.arguments.clone())
    }
}
