//! The whole state machine against a plain model of it: random sequences of transitions, dead and stale workers,
//! duplicates, expiries and foreign entries. Every reply, and the record after it, must be what the model says,
//! and after every step the laws of `taskferry_testing::invariants` hold; at the end, once every job has been brought to its end,
//! nothing may be left.
//!
//! `PROPTEST_CASES` sets how many sequences are tried (256, some twenty seconds; 20000 take half an hour), `PROPTEST_RNG_SEED` repeats a
//! run. A failure prints the shortest sequence that shows it. `TASKFERRY_TEST_REDIS` names another server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers; every index is taken modulo a length or made by the model"
)]

mod case;
mod machine;
mod operation;
mod reply;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use taskferry_testing::{ServerOptions, TestServer};

use crate::case::Case;
use crate::operation::operations;

#[test]
fn random_sequences_never_leave_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // A node of a Cluster, so that a script whose keys are in two hash slots is an error.
    let options = ServerOptions {
        cluster: true,
        ..ServerOptions::default()
    };
    let server = runtime.block_on(TestServer::start_with(options));
    let cases = AtomicU64::new(0);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    });
    let outcome = runner.run(&operations(), |operations| {
        let prefix = format!("case{}", cases.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(async {
            let mut case = Case::new(&server, prefix).await;
            let outcome = case.run(&operations).await;
            case.clear().await;
            outcome.map_err(TestCaseError::fail)
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
