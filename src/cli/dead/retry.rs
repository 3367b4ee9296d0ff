//! Queueing dead jobs again.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use taskferry_contract::{DeadLetter, Error, Remains, ReviveReply, Store, TaskId};

use super::super::logging::{print, say};
use super::super::operator;
use crate::bridge::Tool;

/// A call that failed in passing is repeated so often.
const REPEATS: u32 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(300);

/// Retries letters one by one.
pub(super) struct Retry<'a> {
    store: &'a Store,
    /// The tools as they are registered now; their limits hold for what is retried.
    tools: HashMap<String, Tool>,
    as_json: bool,
}

impl<'a> Retry<'a> {
    pub(super) async fn new(store: &'a Store, as_json: bool) -> anyhow::Result<Self> {
        let tools = store.tools().await?.into_iter();
        let tools = tools.filter_map(|definition| {
            let name = definition.name.to_string();
            Some((name, Tool::new(definition).ok()?))
        });
        Ok(Self {
            store,
            tools: tools.collect(),
            as_json,
        })
    }

    /// Queues the job of a letter again and tells its new id. False if it cannot be, which is told.
    ///
    /// Errors are those of Redis, with which the others would fail too.
    pub(super) async fn retry(&mut self, letter: &DeadLetter) -> anyhow::Result<bool> {
        let remains = self.store.remains(letter).await?;
        let (tool, remains, task) = match self.fit(letter, remains) {
            Ok(fit) => fit,
            Err(reason) => {
                say(&format!(
                    "taskferry: {} cannot be retried: {}",
                    letter.id,
                    operator::plain(&reason)
                ));
                return Ok(false);
            }
        };
        let id = TaskId::random(task.shard());
        let reply = self.revive(letter, &remains, tool, id).await;
        let reply =
            reply.with_context(|| format!("it is unknown whether {id} was queued for {task}"))?;
        match reply {
            ReviveReply::Queued if self.as_json => {
                let told = json!({
                    "letter": letter.id.to_string(), "task": task.to_string(), "new_task": id.to_string(),
                });
                print(&told.to_string());
            }
            ReviveReply::Queued => print(&format!("{task} -> {id}")),
            ReviveReply::Gone => {
                let letter = letter.id;
                say(&format!(
                    "taskferry: {letter} is gone: it was retried or purged meanwhile"
                ));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What it takes to run the job again, or why it cannot be.
    fn fit(
        &self,
        letter: &DeadLetter,
        remains: Option<Remains>,
    ) -> Result<(&Tool, Remains, TaskId), String> {
        let task = letter
            .task
            .ok_or("it was an entry that names no job, which somebody else wrote to the stream")?;
        let remains = remains.ok_or(
            "its record has expired, and its arguments were too long to be kept in the letter",
        )?;
        let name = &letter.tool;
        let tool = self.tools.get(name).ok_or_else(|| {
            format!("tool {name} is not registered; start a worker that has it, or register it with: taskferry tools add FILE")
        })?;
        tool.check(&remains.arguments)
            .map_err(|reason| format!("its tool has changed: {reason}"))?;
        Ok((tool, remains, task))
    }

    async fn revive(
        &self,
        letter: &DeadLetter,
        remains: &Remains,
        tool: &Tool,
        id: TaskId,
    ) -> Result<ReviveReply, Error> {
        let mut repeats = 0;
        loop {
            let reply = self
                .store
                .revive(letter, remains, &tool.definition, id)
                .await;
            match reply {
                Err(error) if error.is_transient() && repeats < REPEATS => repeats += 1,
                reply => return reply,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
