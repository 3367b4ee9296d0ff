//! Gives back jobs that this worker cannot run: their tool is unknown here, or they were checked against another definition
//! of it than this worker has.

use std::time::Duration;

use taskferry_contract::{DefinitionDigest, HeldAttempt, Job, ToolName};

use super::Tool;
use super::ended::{self, AttemptEnd};
use super::settle::{self, GiveBack};
use crate::core::Core;
use crate::core::attempt::expires;
use crate::core::pause::jittered;

/// After which time such a job is due again, at first and at most, if no live worker is known that could run it.
const NOBODYS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];
/// The same if a live worker is known that could run it. That one may be busy, or others may get the job before it.
const SOMEBODYS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// The same if a live worker is known that has the tool, where this one does not: its queue has workers with other tools,
/// and the job needs no more than the luck to come to one of the others.
const TOOL_ELSEWHERE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];
/// After this attempt the time doubles with each further one.
const SOON_TRIED: u64 = 8;
/// How long a job that is given back keeps its slot. Without it, workers would pass a backlog of such jobs around as fast
/// as Redis can.
const PACE: Duration = Duration::from_millis(25);

/// A random part of the time, so that the job does not come back in step with blocking reads, to the same worker each time.
fn time_away([shortest, longest]: [Duration; 2], attempt: u64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(SOON_TRIED).min(10)).unwrap_or(10);
    jittered((shortest * 2_u32.pow(doublings)).min(longest))
}

/// Gives back a job whose tool this worker does not have.
pub(crate) async fn unknown_tool(core: &Core, hold: &HeldAttempt, job: &Job) {
    let held = match &job.definition {
        Some(checked) => is_held(core, &job.tool, checked).await,
        None => false,
    };
    let bounds = if held { TOOL_ELSEWHERE } else { NOBODYS };
    let delay = time_away(bounds, job.attempt.0);
    let (queue, name) = (&hold.claimed.queue, &job.tool);
    // A poll of the task shows whether another worker has the tool.
    let reason = format!("this worker reads queue {queue}, and does not have tool {name}");
    tracing::warn!(?delay, "{reason}; the job is given back");
    let end = give_back(core, hold, job, delay, None).await;
    ended::not_run(job, end, &reason, true);
    if held {
        pace(core).await;
    }
}

/// The definition that a job was checked against, if it is another than the tool has here.
pub(crate) fn other_definition<'a>(tool: &Tool, job: &'a Job) -> Option<&'a DefinitionDigest> {
    let checked = job.definition.as_ref()?;
    checked.differs(&tool.digest).then_some(checked)
}

/// Gives back a job that was checked against another definition than this worker has. If no worker has that one, the
/// job's status message says so.
pub(crate) async fn not_as_checked(
    core: &Core,
    hold: &HeldAttempt,
    job: &Job,
    checked: &DefinitionDigest,
) {
    let name = &job.tool;
    let held = is_held(core, name, checked).await;
    let message = (!held).then(|| {
        format!(
            "no running worker has the definition of {name} that this call was checked against ({checked}): start one that has it, or cancel the call and make it again"
        )
    });
    let delay = time_away(if held { SOMEBODYS } else { NOBODYS }, job.attempt.0);
    match &message {
        Some(message) => tracing::warn!(?delay, "{message}; released"),
        None => tracing::debug!(?delay, %checked, "checked against a definition that others have"),
    }
    let end = give_back(core, hold, job, delay, message.as_deref()).await;
    let reason = "it was checked against another definition of its tool";
    ended::not_run(job, end, reason, true);
    pace(core).await;
}

async fn pace(core: &Core) {
    tokio::select! {
        () = tokio::time::sleep(jittered(PACE)) => {}
        () = core.phase.stop.cancelled() => {}
    }
}

/// Whether a live worker has the definition.
async fn is_held(core: &Core, tool: &ToolName, checked: &DefinitionDigest) -> bool {
    let held = core.store.is_held(tool, checked).await;
    // The next attempt checks again.
    held.unwrap_or_else(|error| {
        tracing::debug!(%error, "could not check whether another worker has the definition");
        true
    })
}

async fn give_back(
    core: &Core,
    hold: &HeldAttempt,
    job: &Job,
    delay: Duration,
    message: Option<&str>,
) -> AttemptEnd {
    let back = GiveBack {
        delay,
        message,
        ran: false,
    };
    settle::release(core, hold, expires(job), back).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_stays_away_longer_after_some_tries_and_never_for_ever() {
        for bounds in [NOBODYS, SOMEBODYS, TOOL_ELSEWHERE] {
            let [shortest, longest] = bounds;
            for (attempt, full) in [
                (1, shortest),
                (8, shortest),
                (9, shortest * 2),
                (30, longest),
                (u64::MAX, longest),
            ] {
                let away = time_away(bounds, attempt);
                assert!(away >= full / 2 && away <= full, "{attempt}: {away:?}");
            }
        }
    }
}
