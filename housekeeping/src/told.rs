//! The lines that say what was found of jobs without a worker, here or by a worker that was to begin one. They hold neither arguments nor results.

use taskferry_contract::{Found, Lost, QueueName, Requeued, Shard, TaskId};

/// The log target of these lines, as of those of workers.
const ATTEMPT: &str = "attempt";

/// Logs what became of a job that was found with no worker.
pub(crate) fn found(queue: &QueueName, Requeued { id, what }: &Requeued) {
    let Ok(task) = id.parse::<TaskId>() else {
        return;
    };
    match what {
        Found::Queued(of) => lost(task, of, "queued again"),
        Found::Waits(of) => lost(task, of, "waits for its turn"),
        Found::Poison(of) => buried(task, of),
        Found::Unclaimed { tool } => tracing::info!(
            target: ATTEMPT, parent: None, task = %task.digest(), %tool, %queue, outcome = "queued again",
            "a worker was given it and did not begin"
        ),
        Found::Expired { tool } => tracing::warn!(
            target: ATTEMPT, parent: None, task = %task.digest(), %tool, %queue,
            outcome = "expired, an attempt may have begun", "expired"
        ),
    }
}

/// Logs that jobs expired before their time came, or a slot.
pub(crate) fn expired_waiting(jobs: u64, shard: Shard) {
    tracing::warn!(
        target: ATTEMPT, parent: None, jobs, %shard,
        outcome = "expired while they waited for their time or a slot", "expired"
    );
}

/// Logs that a job that lost its worker is at its crash limit.
pub fn buried(task: TaskId, of: &Lost) {
    lost(task, of, "dead letter");
    tracing::error!(
        task = %task.digest(), crashes = of.crashes,
        "a job whose workers were killed or fell silent is at its crash limit: it is a dead letter"
    );
}

/// Logs that a job lost its worker, and what becomes of it then.
pub fn lost(task: TaskId, lost: &Lost, then: &'static str) {
    let Lost {
        crashes,
        tool,
        attempt,
        worker,
    } = lost;
    tracing::info!(
        target: ATTEMPT, parent: None, task = %task.digest(), %tool, attempt, from = %worker, crashes,
        outcome = then, "taken over"
    );
}
