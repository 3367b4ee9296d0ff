//! Runs the checks, several at a time, and turns what they panic with into verdicts.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use crate::checks::Check;
use crate::system::{Lacks, Under};

/// What a run does.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The worker under test, program and arguments.
    pub(crate) command: Vec<String>,
    /// What is checked, in order.
    pub(crate) checks: Vec<Check>,
    /// What the worker is known not to do.
    pub(crate) cannot: Vec<String>,
    /// How many checks run at a time.
    pub(crate) at_once: usize,
    pub(crate) json: bool,
}

/// What a check found.
#[derive(Debug)]
pub(crate) enum Verdict {
    Passed,
    /// The worker does not claim to do this.
    Cannot(String),
    Failed(String),
}

/// A check and what it found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) check: Check,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

/// Runs all of a plan; the reports are in its order.
pub(crate) async fn all(plan: &Plan) -> Vec<Report> {
    let command = Arc::new(plan.command.clone());
    let reports = plan.checks.iter().map(|check| {
        let (check, command) = (*check, Arc::clone(&command));
        let known = plan.cannot.iter().any(|name| name == check.name);
        async move {
            let began = Instant::now();
            let verdict = if known {
                Verdict::Cannot("as --cannot says".to_owned())
            } else {
                match tokio::task::spawn_blocking(move || on_its_own(check, command)).await {
                    Ok(()) => Verdict::Passed,
                    Err(ended) => verdict_of(ended.into_panic()),
                }
            };
            Report {
                check,
                verdict,
                took: began.elapsed(),
            }
        }
    });
    futures_util::stream::iter(reports)
        .buffered(plan.at_once)
        .collect()
        .await
}

/// Runs a check on a thread of its own: what it waits with is of one thread.
fn on_its_own(check: Check, under: Under) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    runtime.unwrap().block_on((check.run)(under));
}

fn verdict_of(panic: Box<dyn Any + Send>) -> Verdict {
    if let Some(Lacks(tool)) = panic.downcast_ref::<Lacks>() {
        return Verdict::Cannot(format!("it registers no tool {tool}"));
    }
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Verdict::Failed(text.unwrap_or_else(|| "it panicked".to_owned()))
}
