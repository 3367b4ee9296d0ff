//! Queueing dead jobs again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{DeadLetter, Error, Revivable, ReviveReply, Store, TaskId};

use crate::bridge::Tool;

/// How often a call is repeated that failed for a moment.
const REPEATS: u32 = 3;
/// The pause before it is repeated.
const PAUSE: Duration = Duration::from_millis(300);

/// Revives letters one by one.
#[derive(Debug)]
pub(crate) struct Retrier<'a> {
    store: &'a Store,
    /// The tools as they are registered now; their limits hold for the new jobs.
    tools: HashMap<String, Arc<Tool>>,
}

/// What can be done with a letter.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// Its job can be queued again.
    Ready(Box<Ready>),
    /// Its job cannot be.
    Unfit(Unfit),
}

/// A job that can be queued again.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The task that its job was.
    pub(crate) task: TaskId,
    /// The task that it will be.
    pub(crate) new_task: TaskId,
    /// What it takes to queue it again.
    pub(crate) revivable: Revivable,
    tool: Arc<Tool>,
}

impl Ready {
    /// Whether the job may only run once and was begun, so that its work may be done twice.
    pub(crate) fn risks_second_run(&self) -> bool {
        self.revivable.may_repeat_work(&self.tool.definition)
    }
}

/// What became of a letter whose job was to be queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revival {
    /// The new job is queued; the letter is gone.
    Queued,
    /// The letter was revived or purged by somebody else meanwhile.
    Gone,
}

/// Why a job cannot be queued again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// There never was one.
    #[error("it was an entry that names no job, which somebody else wrote to the stream")]
    NoJob,
    /// It is not kept any more.
    #[error("its record has expired, and its arguments were too long to be kept in the letter")]
    NothingLeft,
    /// Nobody has its tool.
    #[error(
        "tool {0} is not registered; start a worker that has it, or register it with: taskferry tools add FILE"
    )]
    NoTool(String),
    /// Its tool takes other arguments by now.
    #[error("its tool has changed: {0}")]
    ToolChanged(String),
}

impl<'a> Retrier<'a> {
    pub(super) async fn new(store: &'a Store) -> Result<Self, Error> {
        let tools = store.tools().await?.into_iter();
        let tools = tools.filter_map(|definition| {
            let name = definition.name.to_string();
            Some((name, Arc::new(Tool::new(definition).ok()?)))
        });
        Ok(Self {
            store,
            tools: tools.collect(),
        })
    }

    /// Whether the job of a letter can be queued again.
    pub(crate) async fn prepare(&self, letter: &DeadLetter) -> Result<Prepared, Error> {
        let revivable = self.store.revivable(letter).await?;
        Ok(match self.fit(letter, revivable) {
            Ok(ready) => Prepared::Ready(Box::new(ready)),
            Err(unfit) => Prepared::Unfit(unfit),
        })
    }

    fn fit(&self, letter: &DeadLetter, revivable: Option<Revivable>) -> Result<Ready, Unfit> {
        let task = letter.task.ok_or(Unfit::NoJob)?;
        let revivable = revivable.ok_or(Unfit::NothingLeft)?;
        let tool = self.tools.get(&letter.tool);
        let tool = tool.ok_or_else(|| Unfit::NoTool(letter.tool.clone()))?;
        tool.check(&revivable.arguments)
            .map_err(Unfit::ToolChanged)?;
        Ok(Ready {
            task,
            new_task: TaskId::random(task.shard()),
            revivable,
            tool: Arc::clone(tool),
        })
    }

    /// Queues the job of a letter again. If this fails, nobody knows whether it is queued.
    pub(crate) async fn revive(
        &self,
        letter: &DeadLetter,
        ready: &Ready,
    ) -> Result<Revival, Error> {
        let (revivable, tool, id) = (&ready.revivable, &ready.tool.definition, ready.new_task);
        let mut repeats = 0;
        loop {
            match self.store.revive(letter, revivable, tool, id).await {
                Err(error) if error.is_transient() && repeats < REPEATS => repeats += 1,
                Ok(ReviveReply::Queued) => return Ok(Revival::Queued),
                Ok(ReviveReply::Gone) => return Ok(Revival::Gone),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
