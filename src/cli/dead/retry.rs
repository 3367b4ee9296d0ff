//! `dead retry`: queues the jobs of dead letters again, and prints what became of each.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches};
use serde_json::json;
use taskferry_contract::{DeadLetter, Revivable};

use crate::cli::format::plain;
use crate::cli::output::{print, say};
use crate::operator::{Prepared, Ready, Retrier, Revival};

/// The flag that takes the risk of a second run.
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

/// Revives letters one by one.
pub(super) struct Retry<'a> {
    retrier: Retrier<'a>,
    as_json: bool,
    /// Whether what may run once is run again.
    second_run: bool,
    /// Whether letters are not named one by one.
    all: bool,
    /// Of `all`, how many were kept since they may run once, by tool.
    kept: BTreeMap<String, usize>,
}

impl<'a> Retry<'a> {
    pub(super) fn new(retrier: Retrier<'a>, args: &ArgMatches) -> Self {
        Self {
            retrier,
            as_json: args.get_flag("json"),
            second_run: args.get_flag(SECOND_RUN),
            all: args.get_flag("all"),
            kept: BTreeMap::new(),
        }
    }

    /// Prints which letters were kept, since their jobs may only run once. True if none was.
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
            plain(&tools.join(", "))
        ));
        false
    }

    /// Prints or counts that a letter is kept, since its job may only run once.
    fn keep(&mut self, letter: &DeadLetter, revivable: &Revivable) {
        if self.all {
            *self.kept.entry(letter.tool.clone()).or_default() += 1;
            return;
        }
        let known = match revivable.max_attempts {
            Some(_) => "may run once (attempts = 1)",
            None => "may be one that runs once (nobody knows its attempts any more)",
        };
        say(&format!(
            "taskferry: {} is not retried: its job {known} and was begun, so its work may be done twice. {FIRST}: {}; then \
             purge it if its work was done, or add --{SECOND_RUN} to run it again",
            letter.id, revivable.origin
        ));
    }

    /// Queues the job of a letter again and prints its new id. False if it cannot be; then prints why.
    ///
    /// Errors are those of Redis, with which the others would fail too.
    pub(super) async fn retry(&mut self, letter: &DeadLetter) -> anyhow::Result<bool> {
        let ready = match self.retrier.prepare(letter).await? {
            Prepared::Ready(ready) => ready,
            Prepared::Unfit(unfit) => {
                say(&format!(
                    "taskferry: {} cannot be retried: {}",
                    letter.id,
                    plain(&unfit.to_string())
                ));
                return Ok(false);
            }
        };
        if ready.risks_second_run() && !self.second_run {
            self.keep(letter, &ready.revivable);
            // One by one it is a failure at once; of all, `tell_kept` says so at the end.
            return Ok(self.all);
        }
        let reply = self.retrier.revive(letter, &ready).await;
        let (task, id) = (ready.task, ready.new_task);
        let reply =
            reply.with_context(|| format!("it is unknown whether {id} was queued for {task}"))?;
        match reply {
            Revival::Queued => self.tell_queued(letter, &ready),
            Revival::Gone => {
                let letter = letter.id;
                say(&format!(
                    "taskferry: {letter} is gone: it was retried or purged meanwhile"
                ));
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn tell_queued(&self, letter: &DeadLetter, ready: &Ready) {
        let (task, id) = (ready.task, ready.new_task);
        if !self.as_json {
            return print(&format!("{task} -> {id}"));
        }
        let told = json!({
            "letter": letter.id.to_string(), "task": task.to_string(), "new_task": id.to_string(),
            "origin_task": ready.revivable.origin.to_string(),
        });
        print(&told.to_string());
    }
}
