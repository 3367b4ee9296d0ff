//! Settings that contradict each other.

use std::time::Duration;

use taskferry_testing::Process;

use crate::rig::{Rig, SOON, Scripts};

/// The warnings of a worker that starts, each once.
async fn warnings(mut worker: Process) -> Vec<String> {
    worker.wait_for_line(SOON, "slots=").await;
    let said = worker.stderr();
    let warned = said.lines().filter(|line| line.contains(" WARN "));
    warned.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_worker_whose_settings_cannot_hold_does_not_start() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    scripts.replace("name = \"nap\"", "name = \"nap\"\nmax_output = \"30MiB\"");
    let mut worker = rig.start_binary(scripts.path(), &[]);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(2));
    for part in [
        "tool nap: max_output is 30MiB",
        "16MiB (max_result of the worker)",
    ] {
        assert!(worker.stderr().contains(part), "{}", worker.stderr());
    }
    let flags = [
        "--max-result",
        "90MiB",
        "--drain-timeout",
        "10m",
        "--lease",
        "1m",
    ];
    let worker = rig.start_binary(scripts.path(), &flags);
    assert_eq!(warnings(worker).await, [""; 0]);
}

#[tokio::test]
async fn settings_that_may_end_badly_are_told_once_with_what_to_change() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    scripts.replace("name = \"nap\"", "name = \"nap\"\nttl = \"20m\"");
    let flags = ["--max-result", "1MiB", "--lease", "40s"];
    let told = warnings(rig.start_binary(scripts.path(), &flags)).await;
    let parts = [
        [
            "drain_timeout is 5s",
            "timeout is up to 10m (echo, nap)",
            "TimeoutStopSec",
        ],
        ["redis_timeout is 30s", "lease is 40s", "raise lease"],
        [
            "max_output is up to 4MiB (echo, nap)",
            "max_result is 1MiB",
            "Raise max_result",
        ],
        ["ttl 20m", "timeout 10m x attempts 3", "Raise ttl"],
    ];
    assert_eq!(told.len(), parts.len(), "{told:#?}");
    for (line, parts) in told.iter().zip(parts) {
        assert!(
            parts.iter().all(|part| line.contains(part)),
            "{line}: {parts:?}"
        );
    }
}

#[tokio::test]
async fn a_definition_with_numbers_that_cannot_hold_is_refused() {
    let rig = Rig::new().await;
    let mut tool = crate::rig::tool("never");
    tool.concurrency = Some(0);
    let handler = |_job| async { Ok(taskferry_worker::ToolOutput::text("")) };
    let builder = rig
        .builder()
        .drain_timeout(Duration::ZERO)
        .tool(tool, handler);
    let refused = builder.build().unwrap_err().to_string();
    assert!(
        refused.contains("tool never cannot be used: concurrency"),
        "{refused}"
    );
}
