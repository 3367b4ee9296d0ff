//! The result of a tool that is tried, and the exit code that says how it ended.

use std::process::Stdio;

use super::Desk;
use crate::rig::{Rig, Scripts, text, tool};

#[test]
fn a_later_attempt_is_played_until_none_is_left() {
    let script = "echo $TASKFERRY_ATTEMPT; exit 75";
    for (rest, attempt, code, again) in [
        ("attempts = 3", "2", 75, "2"),
        ("attempts = 3", "3", 1, "3"),
        ("attempts = 1", "1", 1, "1"),
    ] {
        let said = Desk::of_script(rest, script).try_it(&["--attempt", attempt]);
        assert_eq!(
            (said.code, said.text().trim()),
            (Some(code), again),
            "{said:?}"
        );
        let warned = said.stderr.contains("this is no dry run");
        assert_eq!(warned, rest == "attempts = 1", "{said:?}");
    }
    let said = Desk::of_script("", script).try_it(&["--attempt", "0"]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[tokio::test]
async fn a_tried_tool_has_the_result_that_a_worker_stores() {
    let (rig, scripts) = (Rig::new().await, Scripts::new());
    let _worker = rig.start_binary(scripts.path(), &[]);
    rig.until_registered("echo").await;
    let id = rig.submit(&tool("echo"), r#"{"text":"h\u00e9llo"}"#).await;
    let stored = rig.end_of(id).await;
    assert_eq!(text(&stored), "héllo");
    let desk = Desk::new(&std::fs::read_to_string(scripts.path().join("tools.toml")).unwrap());
    let arguments = ["echo", "--arguments", r#"{"text":"h\u00e9llo"}"#];
    let said = desk.said(desk.worker("try", &arguments).output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(Some(said.stdout.trim_end()), stored.result.as_deref());
    said.has("progress 1/2 half");
}

#[test]
fn the_exit_code_says_how_the_tool_ended() {
    for (rest, script, code, told) in [
        ("", "echo 'no paper'; exit 3", 1, "no paper"),
        ("", "echo 'busy' >&2; exit 75", 75, "busy"),
        ("attempts = 1", "echo 'busy' >&2; exit 75", 1, "busy"),
        (
            "timeout = '100ms'",
            "exec sleep 600",
            1,
            "timed out after 100ms",
        ),
        (
            "max_output = '10B'",
            "echo 'more than ten bytes'",
            1,
            "output is larger than 10B",
        ),
        ("output = 'json'", "echo plain", 1, "JSON object"),
        ("", "kill -9 $$", 75, "killed by signal 9"),
        ("cwd = 'no/such'", "", 1, "its working directory"),
    ] {
        let said = Desk::of_script(rest, script).try_it(&[]);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert_eq!(said.json()["isError"], true, "{said:?}");
        assert!(said.text().contains(told), "{told}: {said:?}");
        assert_eq!(
            said.stderr.contains("a worker would attempt it again"),
            code == 75
        );
    }
    let promised = "[tool.output_schema]\ntype = 'object'\nrequired = ['n']";
    let said = Desk::of_script(promised, "echo '{}'").try_it(&[]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.text().contains("does not fit its output schema"),
        "{said:?}"
    );
    let large = Desk::of_script("", "head -c 4000 /dev/zero | tr '\\0' x");
    let said = large.try_it(&["--max-result", "1KiB"]);
    assert!(said.text().contains("max_result"), "{said:?}");
}

#[test]
fn a_result_that_nobody_can_take_is_told() {
    let desk = Desk::of_script("", "echo x");
    let mut command = desk.worker("try", &["t"]);
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = desk.said(output);
    assert_eq!(said.code, Some(1), "{said:?}");
    said.has("the result cannot be written");
}
