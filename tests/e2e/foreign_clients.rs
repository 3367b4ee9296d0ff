//! Clients that nobody here wrote run tasks end to end.

use std::process::Command;
use std::time::Duration;

use taskferry_testing::Process;

use crate::fleet::{Fleet, in_tree};
use crate::questions::fixture_fleet;
use crate::recorder::Recorder;
use crate::schema::node;

async fn passes(script: &str) {
    let (fleet, _fixtures) = fixture_fleet().await;
    runs(script, &fleet).await;
}

/// Runs a client against a fleet, which is idle afterwards.
pub(crate) async fn runs(script: &str, fleet: &Fleet) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::to(fleet.endpoint()).await;
    let mut command = Command::new(node());
    command
        .arg(in_tree("tests/clients").join(script))
        .arg(recorder.endpoint())
        .arg(folder.path());
    let mut client = Process::start(script, command);
    let status = client.wait_for_exit(Duration::from_secs(60)).await;
    assert!(
        status.success(),
        "{script}: {status}\n{}{}",
        client.stdout(),
        client.stderr()
    );
    assert_eq!(client.stdout().trim(), "ok");
    assert!(recorder.check() > 10, "what was said is recorded");
    fleet.check_idle().await;
}

#[tokio::test]
async fn the_typescript_sdk_runs_legacy_tasks() {
    passes("legacy.mjs").await;
}

#[tokio::test]
async fn the_extensions_own_client_runs_modern_tasks() {
    passes("modern.mjs").await;
}
