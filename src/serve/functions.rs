//! The library of functions, which workers in other languages call: a front end puts it into a Redis that lacks it.

use std::time::Duration;

use taskferry_contract::{Error, Installed, LIBRARY, Replaces};
use tokio_util::sync::CancellationToken;

use crate::bridge::Bridge;

/// The pause between two looks, if no new connection says that Redis may have lost the library.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Has the library in Redis until `stop`: one that is older is replaced. One of the same release is replaced at the start
/// alone, so that no two builds of it take turns.
pub(super) async fn keep(bridge: &Bridge, stop: &CancellationToken) {
    let (mut replaces, mut told) = (Replaces::Same, String::new());
    loop {
        let outcome = bridge.server().install_functions(replaces).await;
        let line = line(&outcome);
        if !line.is_empty() && line != told {
            tracing::info!("{line}");
        }
        told = line;
        replaces = Replaces::Older;
        tokio::select! {
            () = stop.cancelled() => return,
            () = bridge.server().connected() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// What the log tells of it; nothing while all is as it was.
fn line(outcome: &Result<Installed, Error>) -> String {
    let name = &LIBRARY.name;
    let without = "workers in other languages call the scripts, or an operator runs: taskferry contract install";
    match outcome {
        Ok(Installed::New) => format!("the library of functions {name} is installed"),
        Ok(Installed::Replaced(_)) => format!("the library of functions {name} is replaced"),
        Ok(Installed::Kept(there)) if there.is_newer_than(&LIBRARY.version) => {
            format!("the library of functions {name} is of a newer release and stays: {there}")
        }
        Ok(Installed::Kept(_)) => String::new(),
        Ok(Installed::NamesTaken { by }) => format!(
            "the library of functions {name} is not installed, since the library {by} has functions of its names: redis-cli FUNCTION DELETE {by}"
        ),
        Ok(Installed::Forbidden(command)) => format!(
            "the library of functions {name} is not installed, since this user may not run {command}: {without}"
        ),
        Ok(Installed::Unsupported) => format!(
            "the library of functions {name} is not installed, since this Redis has none: workers in other languages call the scripts"
        ),
        Err(error) => format!(
            "the library of functions {name} is not installed: {}",
            error.sentence()
        ),
    }
}
