#![no_main]

use std::sync::{LazyLock, Mutex, PoisonError};

use libfuzzer_sys::fuzz_target;
use taskferry_testing::fuzz::scripts::Scripts;

/// On the server that `scripts/fuzz` started.
static SCRIPTS: LazyLock<Mutex<Scripts>> = LazyLock::new(|| {
    let url = std::env::var("TASKFERRY_FUZZ_REDIS").expect("TASKFERRY_FUZZ_REDIS names a server, whose keys are deleted");
    Mutex::new(Scripts::new(&url, taskferry_contract::sources()))
});

fuzz_target!(|data: &[u8]| SCRIPTS.lock().unwrap_or_else(PoisonError::into_inner).hold(data));
