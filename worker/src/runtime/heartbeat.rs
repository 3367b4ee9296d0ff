//! Keeps an attempt's lease, brings its answers, and learns that it must stop.

use std::sync::Arc;

use taskferry_contract::{RenewReply, Ring};
use taskferry_process::keep_running;
use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::backoff::{Backoff, jittered};
use super::{Runtime, lock};

/// Renews the lease until the attempt is refused, whatever happens to the loop that does it.
pub(crate) async fn keep(attempt: &Attempt, runtime: &Runtime) {
    let begin = || run(attempt, runtime);
    let died = || lock(&runtime.activity).died("heartbeat");
    keep_running("heartbeat", attempt.is_refused(), begin, died).await;
}

/// Renews the lease every third of it, and at once when the bell rings. Ends when the attempt is refused.
///
/// While Redis does not answer, the handler goes on, even past the lease: nobody else can have claimed the job while
/// Redis was away, and if somebody did since, the fence refuses what this attempt writes. Work is not thrown away because
/// Redis blinked.
async fn run(attempt: &Attempt, runtime: &Runtime) {
    let period = runtime.lease / 3;
    let mut backoff = Backoff::default();
    let mut pause = period;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = attempt.bell.notified() => {}
        }
        match runtime
            .store
            .renew_lease(&attempt.hold, runtime.lease)
            .await
        {
            Ok(RenewReply::Renewed(answers)) => {
                backoff = Backoff::default();
                pause = period.mul_f64(0.5) + jittered(period.mul_f64(0.5));
                deliver(attempt, answers);
            }
            Ok(RenewReply::Refused(refused)) => {
                tracing::debug!(?refused, "the attempt must stop");
                attempt.refuse(refused);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed; the tool goes on");
                pause = backoff.next().min(period);
            }
        }
    }
}

fn deliver(attempt: &Attempt, answers: Vec<(String, String)>) {
    let known = attempt.answers.borrow().len();
    // An answer never changes, so a count tells whether there is a new one.
    if answers.len() > known {
        attempt.answers.send_modify(|all| all.extend(answers));
    }
}

/// Rings the heartbeats of the jobs that others point this worker at, until `end`.
pub(crate) async fn listen(runtime: Arc<Runtime>, end: CancellationToken) {
    let bell = runtime.store.worker_bell(&runtime.worker);
    bell.listen(&end, |ring| match ring {
        Ring::Task(id) => runtime.in_flight.ring(id),
        // Rings are lost while the connection is down.
        Ring::Connected => runtime.in_flight.ring_all(),
        Ring::Tools | Ring::ToolRemoved(_) => {}
    })
    .await;
}
