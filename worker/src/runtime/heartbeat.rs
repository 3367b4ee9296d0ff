//! Keeps an attempt's lease, brings its answers, and learns that it must stop.

use std::sync::Arc;
use std::time::Duration;

use taskferry_contract::{RenewReply, Ring};
use taskferry_process::keep_running;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::core::attempt::RunningAttempt;
use crate::core::lock::lock;
use crate::core::pause::{GrowingPause, jittered};

/// Renews the lease until the attempt is refused, and starts the loop again if it panics.
pub(crate) async fn keep(attempt: &RunningAttempt, core: &Core) {
    let begin = || run(attempt, core);
    let died = || lock(&core.activity).note_death("heartbeat");
    keep_running("heartbeat", attempt.is_refused(), begin, died).await;
}

/// Renews the lease every third of it, and at once when the bell rings. Ends when the attempt is refused.
///
/// While Redis does not answer, the handler goes on, even past the lease: nobody else can have claimed the job while Redis
/// was away, and if somebody did since, the fence refuses what this attempt writes. So a short outage of Redis costs no
/// work.
async fn run(attempt: &RunningAttempt, core: &Core) {
    let period = core.lease / 3;
    let mut after_failure = GrowingPause::default();
    let mut pause = period;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = attempt.bell.notified() => {}
        }
        match core.store.renew_lease(&attempt.hold, core.lease).await {
            Ok(RenewReply::Renewed(answers)) => {
                after_failure = GrowingPause::default();
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
                pause = after_failure.next().min(period);
            }
        }
    }
}

fn deliver(attempt: &RunningAttempt, answers: Vec<(String, String)>) {
    let known = attempt.answers.borrow().len();
    // An answer never changes, so a higher count means a new one.
    if answers.len() > known {
        attempt.answers.send_modify(|all| all.extend(answers));
    }
}

/// While this worker hears nothing, others may think that it is gone: it renews its leases this often then.
const UNHEARD: Duration = Duration::from_secs(1);

/// Rings the heartbeats of jobs about which this worker gets a message, until `end`. While it gets none, since its subscription
/// is lost, it rings all of them, so that the leases show that it lives.
pub(crate) async fn listen(core: Arc<Core>, end: CancellationToken) {
    let bell = core.store.worker_bell(&core.worker);
    let on_ring = |ring| match ring {
        Ring::Task(id) => core.in_flight.ring(id),
        // Messages are lost while the connection is down.
        Ring::Connected => core.in_flight.ring_all(),
        Ring::Tools | Ring::ToolRemoved(_) => {}
    };
    let unheard = async {
        loop {
            tokio::time::sleep(UNHEARD).await;
            if !bell.is_heard() {
                core.in_flight.ring_all();
            }
        }
    };
    tokio::select! {
        () = bell.listen(&end, on_ring) => {}
        () = unheard => {}
    }
}
