//! Clients that nobody here wrote run tasks end to end.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use taskferry_testing::Process;

use crate::fleet::{Fleet, in_tree};
use crate::questions::fixture_fleet;
use crate::recorder::Recorder;
use crate::schema::node;

async fn passes(script: &str) {
    let fleet = fixture_fleet().await;
    runs(script, &fleet).await;
}

/// Runs a client against a fleet, which is idle afterwards.
pub(crate) async fn runs(script: &str, fleet: &Fleet) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::to(fleet.endpoint()).await;
    let notes = folder.path().to_str().unwrap();
    says_ok(script, &[&recorder.endpoint(), notes]).await;
    assert!(recorder.check() > 10, "what was said is recorded");
}

/// Runs a client, which is to find that all is well.
pub(crate) async fn says_ok(script: &str, arguments: &[&str]) {
    let mut command = if script.ends_with(".py") {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", python_packages());
        python
    } else {
        Command::new(node())
    };
    command
        .arg(in_tree("tests/clients").join(script))
        .args(arguments);
    let mut client = Process::start(script, command);
    let status = client.wait_for_exit(Duration::from_secs(60)).await;
    assert!(
        status.success(),
        "{script}: {status}\n{}{}",
        client.stdout(),
        client.stderr()
    );
    assert_eq!(client.stdout().trim(), "ok");
}

/// Where scripts/test puts Python's SDK.
fn python_packages() -> PathBuf {
    let packages = in_tree("target/clients");
    assert!(
        packages.join("mcp").is_dir(),
        "the Python SDK is missing; run: python3 -m pip install --target target/clients -r tests/clients/requirements.txt"
    );
    packages
}

#[tokio::test]
async fn the_typescript_sdk_runs_legacy_tasks() {
    passes("legacy.mjs").await;
}

#[tokio::test]
async fn the_extensions_own_client_runs_modern_tasks() {
    passes("modern.mjs").await;
}

#[tokio::test]
async fn the_python_sdk_runs_modern_tasks_with_the_extension_of_the_examples() {
    passes("python_sdk.py").await;
}
