//! docs/CONTRACT.md, for workers in any language: it says what the scripts say, and its session with redis-cli works.

use std::process::Command;
use std::time::Duration;

use taskferry_contract::{CONTRACT_VERSION, PortableScript, portable_scripts};
use taskferry_testing::{Process, TestServer};

use crate::fleet::{Replica, in_tree};

const SOON: Duration = Duration::from_secs(20);

/// What a worker calls, each with a section of its own.
const OF_WORKERS: [&str; 14] = [
    "register_tools",
    "beat",
    "ensure_group",
    "claim",
    "renew_lease",
    "report_progress",
    "report_log",
    "finish",
    "schedule_retry",
    "release",
    "ask_input",
    "park",
    "forget_worker",
    "dead_letter",
];

fn page() -> String {
    std::fs::read_to_string(in_tree("docs/CONTRACT.md")).unwrap()
}

/// The tags of the replies that a header names: words in capitals before the text of each.
fn tags(script: &PortableScript) -> Vec<&str> {
    let lines = script.replies.lines();
    let before_the_text = lines.filter_map(|line| line.split("   ").next());
    let words = before_the_text.flat_map(|line| line.split([' ', ',', '·', '(']));
    let is_tag = |word: &&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    words.filter(is_tag).collect()
}

#[test]
fn the_page_has_the_keys_arguments_and_replies_of_every_call_of_a_worker() {
    let page = page();
    for script in portable_scripts().filter(|script| OF_WORKERS.contains(&script.name)) {
        let name = script.name;
        let heading = format!("### {name}\n");
        let section = page.split_once(&heading).map(|(_, after)| after);
        let section = section.unwrap_or_else(|| panic!("{name} has no section"));
        let section = section.split("\n### ").next().unwrap();
        let wire = format!("KEYS  {}\nARGV  {}", script.keys, script.argv);
        assert!(section.contains(wire.trim_end()), "{name} has not:\n{wire}");
        // Of those that all writes of an attempt share, the section of renew_lease tells.
        let shared = ["CANCELLED", "DONE", "GONE", "STALE"];
        let has_shared = section.contains("as above") || section.contains("as\n`renew_lease`");
        for tag in tags(&script) {
            let told =
                section.contains(&format!("`{tag}`")) || (has_shared && shared.contains(&tag));
            assert!(told, "{name} does not tell of {tag}");
        }
    }
}

#[tokio::test]
async fn the_documented_session_with_redis_cli_works() {
    let redis = TestServer::start().await;
    let mut replica = Replica::start(&redis.url(), &[]).await;
    let installed = "taskferry_3 is installed";
    replica.process.wait_for_line(SOON, installed).await;
    let page = page();
    let parts = page.split("```sh\n").skip(1);
    let blocks: Vec<&str> = parts
        .map(|part| part.split("```").next().unwrap())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &blocks.concat()])
        .env("ENDPOINT", format!("{}/mcp", replica.origin))
        .env("REDIS_URL", redis.url())
        .current_dir(folder.path());
    let mut shell = Process::start("the documented session", command);
    let ended = shell.wait_for_exit(Duration::from_secs(40)).await;
    let (told, errors) = (shell.stdout(), shell.stderr());
    assert!(ended.success(), "{told}\n{errors}");
    let mut rest = told.as_str();
    for part in [
        &format!("OK\n{CONTRACT_VERSION}\n"),
        "GONE\n",
        "OK\n1\narguments\n{\"name\":",
        r#"["completed","Hello, Ada."]"#,
        "RETRY\n",
        "ASKED\n",
        "answer:how\n{\"action\":",
        "ANSWERED\nhow\n",
        "CANCELLED\n",
        "DONE\n",
    ] {
        let found = rest.split_once(part);
        (_, rest) = found.unwrap_or_else(|| panic!("{part:?} is not in {rest}\n{errors}"));
    }
}
