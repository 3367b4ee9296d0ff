//! Queueing dead jobs again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches};
use serde_json::json;
use taskferry_contract::{DeadLetter, Error, Remains, ReviveReply, Store, TaskId};

use crate::bridge::Tool;
use crate::cli::logging::{print, say};
use crate::cli::operator;

/// A call that failed in passing is repeated so often.
const REPEATS: u32 = 3;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(300);

/// The flag that takes the risk of [`Remains::may_run_once`].
const SECOND_RUN: &str = "risk-second-run";

/// What comes before the decision about a job that may run once: a command goes on when its worker is killed alone.
const FIRST: &str = "First make sure that nothing of it runs any more (the command of a killed worker runs on), and see what it did";

pub(super) fn second_run() -> Arg {
    Arg::new(SECOND_RUN)
        .long(SECOND_RUN)
        .action(ArgAction::SetTrue)
        .help(
            "Also jobs that may run once (attempts = 1) and were begun: their work may be done twice",
        )
}

/// Retries letters one by one.
pub(super) struct Retry<'a> {
    store: &'a Store,
    /// The tools as they are registered now; their limits hold for what is retried.
    tools: HashMap<String, Arc<Tool>>,
    as_json: bool,
    /// Whether what may run once is run again.
    second_run: bool,
    /// Whether letters are not named one by one.
    all: bool,
    /// Of `all`, how many were kept since they may run once, by tool.
    kept: BTreeMap<String, usize>,
}

impl<'a> Retry<'a> {
    pub(super) async fn new(store: &'a Store, args: &ArgMatches) -> anyhow::Result<Self> {
        let tools = store.tools().await?.into_iter();
        let tools = tools.filter_map(|definition| {
            let name = definition.name.to_string();
            Some((name, Arc::new(Tool::new(definition).ok()?)))
        });
        Ok(Self {
            store,
            tools: tools.collect(),
            as_json: args.get_flag("json"),
            second_run: args.get_flag(SECOND_RUN),
            all: args.get_flag("all"),
            kept: BTreeMap::new(),
        })
    }

    /// Tells what of all letters was kept, since its job may run once. True if nothing was.
    pub(super) fn tell_kept(&self) -> bool {
        let count: usize = self.kept.values().sum();
        if count == 0 {
            return true;
        }
        let tools = self.kept.iter();
        let tools: Vec<String> = tools.map(|(tool, n)| format!("{tool}: {n}")).collect();
        say(&format!(
            "taskferry: {count} not retried, since these jobs may run once (attempts = 1) and were begun, so their work may \
             be done twice ({}). {FIRST}; then purge those whose work was done, and retry the others by their ids with --{SECOND_RUN}",
            operator::plain(&tools.join(", "))
        ));
        false
    }

    /// Whether a letter is kept since its job may run once, which is told or counted.
    fn keep(&mut self, letter: &DeadLetter, remains: &Remains, once: bool) -> bool {
        if !once || self.second_run {
            return false;
        }
        if self.all {
            *self.kept.entry(letter.tool.clone()).or_default() += 1;
            return true;
        }
        let known = match remains.max_attempts {
            Some(_) => "may run once (attempts = 1)",
            None => "may be one that runs once (nobody knows its attempts any more)",
        };
        say(&format!(
            "taskferry: {} is not retried: its job {known} and was begun, so its work may be done twice. {FIRST}: {}; then \
             purge it if its work was done, or add --{SECOND_RUN} to run it again",
            letter.id, remains.origin
        ));
        true
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
        let once = remains.may_run_once(&tool.definition);
        if self.keep(letter, &remains, once) {
            // One by one it is a failure at once; of all, `tell_kept` says so at the end.
            return Ok(self.all);
        }
        let id = TaskId::random(task.shard());
        let reply = self.revive(letter, &remains, &tool, id).await;
        let reply =
            reply.with_context(|| format!("it is unknown whether {id} was queued for {task}"))?;
        match reply {
            ReviveReply::Queued if self.as_json => {
                let told = json!({
                    "letter": letter.id.to_string(), "task": task.to_string(), "new_task": id.to_string(),
                    "origin_task": remains.origin.to_string(),
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
    ) -> Result<(Arc<Tool>, Remains, TaskId), String> {
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
        Ok((Arc::clone(tool), remains, task))
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
