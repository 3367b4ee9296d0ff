//! Whether Redis can be used: checked before anything is served, and from then on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use taskferry_contract::{Durability, Error};
use tokio_util::sync::CancellationToken;

use crate::bridge::{Bridge, Found};

/// The pauses between tries to reach Redis at the start.
const WAIT_FOR_REDIS: Duration = Duration::from_millis(500);
/// The pause between two checks of the contract's version. A Redis that lost its data has it again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What the checks of Redis found so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Fitness {
    reached: CancellationToken,
    unfit: Arc<OnceLock<Error>>,
}

impl Fitness {
    /// Waits until Redis was found fit for the first time.
    pub(super) async fn reached(&self) {
        self.reached.cancelled().await;
    }

    /// Why Redis cannot be used, with which the program ends.
    pub(super) fn unfit(&self) -> Option<&Error> {
        self.unfit.get()
    }

    /// Waits for Redis and checks whether it can be used at all, and from then on whether it still can: others may have
    /// begun to use another version of the contract. Cancels `stop` if it cannot be used.
    pub(super) async fn watch(&self, bridge: &Bridge, level: Durability, stop: &CancellationToken) {
        let mut fit = false;
        loop {
            let found = tokio::select! {
                () = stop.cancelled() => return,
                found = check(bridge, level, fit) => found,
            };
            match found {
                Found::Fit if fit => {}
                Found::Fit => {
                    tracing::info!("Redis is reached and fit");
                    fit = true;
                    self.reached.cancel();
                }
                Found::Away(error) if fit => {
                    tracing::warn!(%error, "could not check the version of the contract");
                }
                Found::Away(error) => {
                    tracing::warn!(error = error.sentence(), "waiting for Redis");
                }
                Found::Unfit(error) => {
                    if fit {
                        tracing::error!(
                            error = error.sentence(),
                            "winding down: Redis can no longer be used"
                        );
                    }
                    // It is set once: nobody checks after the stop.
                    let _first = self.unfit.set(error);
                    return stop.cancel();
                }
            }
            let pause = if fit { LOOK_AGAIN } else { WAIT_FOR_REDIS };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// All of it at first; the contract's version alone once Redis was found fit.
async fn check(bridge: &Bridge, level: Durability, fit: bool) -> Found {
    if fit {
        bridge.server().agree().await
    } else {
        bridge.server().examine(level).await
    }
}
