//! What the documents show on a command line does what they say.

use std::process::Command;
use std::time::Duration;

use taskferry_testing::{Process, TestServer};

use crate::fleet::{Replica, in_tree, worker};

/// Runs the shell blocks of a section of docs/CLIENTS.md, in its order, and returns what they print.
async fn session(heading: &str) -> String {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let _worker = worker(&redis.url(), "examples/tools.toml", &[]).await;
    let text = std::fs::read_to_string(in_tree("docs/CLIENTS.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &blocks(&text, heading)])
        .env("ENDPOINT", &replica.endpoint)
        .current_dir(folder.path());
    let mut shell = Process::start("the documented session", command);
    let ended = shell.wait_for_exit(Duration::from_secs(40)).await;
    let (told, errors) = (shell.stdout(), shell.stderr());
    assert!(ended.success(), "{told}\n{errors}");
    assert!(!told.contains("\"error\""), "{told}");
    told
}

fn blocks(text: &str, heading: &str) -> String {
    let section = text.split("\n## ").find(|part| part.starts_with(heading));
    let parts = section.unwrap().split("```sh\n").skip(1);
    let blocks: Vec<&str> = parts
        .map(|part| part.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() > 2, "{heading} has its commands");
    blocks.concat()
}

#[tokio::test]
async fn the_modern_session_with_curl_works() {
    let told = session("With curl, 2026-07-28").await;
    for part in [
        "\"resultType\":\"task\"",
        "\"status\": \"completed\"",
        "Sales report: January",
        "elicitation/create",
        "\nscan_files\n",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let ids: Vec<&str> = told.lines().filter(|line| line.starts_with("0-")).collect();
    assert_eq!(ids.len(), 2, "{told}");
    assert_eq!(ids[0], ids[1], "the call made again found the same task");
}

#[tokio::test]
async fn the_legacy_session_with_curl_works() {
    let told = session("With curl, 2025-11-25").await;
    for part in [
        "\"protocolVersion\":\"2025-11-25\"",
        "\"ttl\":60000",
        "Sales report: January",
        "io.modelcontextprotocol/related-task",
        "\"status\":\"cancelled\"",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
