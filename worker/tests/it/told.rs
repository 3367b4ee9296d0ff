//! What the worker's log tells of attempts and of tools, and what it never tells.

use serde_json::Value;
use taskferry_contract::TaskId;
use taskferry_testing::{Process, eventually};

use crate::rig::{Rig, SOON, Scripts, tool};

/// Tools that end in every way, and say what no log may show: name, command and more.
const TOOLS: [(&str, &str); 6] = [
    (
        "fine",
        r#"command = ["sh", "-c", "cat >/dev/null; echo SECRET result"]"#,
    ),
    (
        "wrong",
        r#"command = ["sh", "-c", "echo SECRET error; exit 3"]"#,
    ),
    (
        "later",
        "attempts = 2\ncommand = ['sh', '-c', 'echo SECRET reason; exit 75']",
    ),
    ("slow", "timeout = '50ms'\ncommand = ['sleep', '600']"),
    (
        "nap",
        r#"command = ["sh", "-c", "echo $$ > attempt-$TASKFERRY_ATTEMPT.part; mv attempt-$TASKFERRY_ATTEMPT.part attempt-$TASKFERRY_ATTEMPT; exec sleep 600"]"#,
    ),
    (
        "loud",
        r#"command = ["sh", "-c", "printf 'one\\033[2J task=forged outcome=\"completed\"\\rtwo\\n' >&2; echo '::log warning logged \"x\" outcome=\"failed\"' >&2"]"#,
    ),
];

fn scripts() -> Scripts {
    let scripts = Scripts::new();
    let defaults = "stop_grace = '200ms'\nbackoff_initial = '50ms'\nbackoff_max = '50ms'";
    let mut manifest = format!("[defaults]\n{defaults}\n");
    for (name, rest) in TOOLS {
        let schema = "input_schema = { type = 'object' }";
        manifest += &format!("[[tool]]\nname = '{name}'\ndescription = 'a'\n{schema}\n{rest}\n");
    }
    std::fs::write(scripts.path().join("tools.toml"), manifest).unwrap();
    scripts
}

/// The lines of a target about a task.
fn lines(worker: &Process, target: &str, task: TaskId) -> Vec<String> {
    let targets = [format!(" {target}: "), format!(" {target}::log: ")];
    let task = format!("task={} ", task.digest());
    let said = worker.stderr();
    let of =
        |line: &&str| line.contains(&task) && targets.iter().any(|target| line.contains(target));
    said.lines().filter(of).map(str::to_owned).collect()
}

/// The same, once there are so many; there are never more.
async fn told(worker: &Process, task: TaskId, count: usize) -> Vec<String> {
    eventually(SOON, "the lines are written", async || {
        lines(worker, "attempt", task).len() >= count
    })
    .await;
    let lines = lines(worker, "attempt", task);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[tokio::test]
async fn each_attempt_that_ended_is_one_line_with_what_it_did_and_nobodys_data() {
    let (rig, scripts) = (Rig::new().await, scripts());
    let mut worker = rig.start_binary(scripts.path(), &[]);
    rig.until_registered("loud").await;
    for (name, ends) in [
        ("fine", &[r#"outcome="completed""#][..]),
        ("wrong", &[r#"outcome="tool error" reason="exit code 3""#]),
        (
            "later",
            &[
                r#"outcome="will be retried" reason="exit code 75" retry_in="#,
                r#"outcome="dead letter" reason="exit code 75""#,
            ],
        ),
        (
            "slow",
            &[r#"outcome="tool error" reason="timed out after 50ms"#],
        ),
    ] {
        let tools = rig.store.tools().await.unwrap();
        let tool = tools
            .iter()
            .find(|tool| tool.name.as_str() == name)
            .unwrap();
        let id = rig.submit(tool, r#"{"password":"SECRET argument"}"#).await;
        rig.end_of(id).await;
        for ((line, end), attempt) in told(&worker, id, ends.len())
            .await
            .iter()
            .zip(ends)
            .zip(1..)
        {
            assert!(line.contains(" INFO attempt: ended task="), "{line}");
            let begin = format!("tool={name} attempt={attempt} waited=");
            assert!(line.contains(&begin) && line.contains(" ran="), "{line}");
            assert!(line.contains(end), "{line} has no {end}");
        }
    }
    worker.terminate();
    worker.wait_for_exit(SOON).await;
    assert!(!worker.stderr().contains("SECRET"), "{}", worker.stderr());
}

#[tokio::test]
async fn a_job_that_is_cancelled_given_back_or_taken_over_is_told_so() {
    let (rig, scripts) = (Rig::new().await, scripts());
    let flags = ["--lease", "1s", "--drain-timeout", "0s"];
    let mut first = rig.start_binary(scripts.path(), &flags);
    let id = rig.submit(&tool("nap"), "{}").await;
    scripts.running(1).await;
    first.kill9();
    let mut second = rig.start_binary(scripts.path(), &flags);
    scripts.running(2).await;
    let taken = told(&second, id, 1).await.remove(0);
    let from = taken.split(" from=").nth(1).unwrap_or_default();
    assert!(taken.contains(" INFO attempt: taken over task="), "{taken}");
    assert!(taken.contains("tool=nap attempt=1 from="), "{taken}");
    assert!(
        !from.starts_with(' ') && from.ends_with(r#" crashes=1 outcome="queued again""#),
        "{taken}"
    );
    second.terminate();
    second.wait_for_exit(SOON).await;
    let given = told(&second, id, 2).await.remove(1);
    let end = r#"outcome="given back" reason="the worker is told to stop""#;
    assert!(given.contains(end), "{given}");
    let third = rig.start_binary(scripts.path(), &flags);
    scripts.running(3).await;
    rig.store
        .cancel(id, &crate::rig::owner(), "no more")
        .await
        .unwrap();
    let cancelled = told(&third, id, 1).await.remove(0);
    assert!(cancelled.contains(r#"attempt=3 waited="#), "{cancelled}");
    assert!(cancelled.contains(r#"outcome="cancelled""#), "{cancelled}");
}

#[tokio::test]
async fn what_a_tool_says_is_one_quoted_line_each_under_a_target_of_its_own() {
    let (rig, scripts) = (Rig::new().await, scripts());
    for (log, attempts, stderr, logged) in [
        ("info", 1, false, true),
        ("info,tool=debug", 1, true, true),
        ("debug,tool=off", 2, false, false),
    ] {
        let worker = rig.start_binary(scripts.path(), &["--log", log]);
        let id = rig.submit(&tool("loud"), "{}").await;
        let told = told(&worker, id, attempts).await;
        let begun = format!(
            " DEBUG attempt: begun task={} tool=loud attempt=1 waited=",
            id.digest()
        );
        let tells = told.iter().any(|line| line.contains(&begun));
        assert_eq!(tells, log.starts_with("debug"), "{told:#?}");
        let said = lines(&worker, "tool", id);
        let has = |part: &str| said.iter().filter(|line| line.contains(part)).count();
        let of_stderr = [
            r#"DEBUG tool: stderr task="#,
            r#" attempt=1 line="one\u{1b}[2J task=forged outcome=\"completed\"""#,
            r#" line="two""#,
        ];
        let of_log = [
            r#" WARN tool::log: log task="#,
            r#" line="logged \"x\" outcome=\"failed\"""#,
        ];
        assert_eq!(
            said.len(),
            usize::from(stderr) * 2 + usize::from(logged),
            "{log}: {said:#?}"
        );
        assert!(
            of_stderr.iter().all(|part| (has(part) > 0) == stderr),
            "{log}: {said:#?}"
        );
        assert!(
            of_log.iter().all(|part| (has(part) > 0) == logged),
            "{log}: {said:#?}"
        );
    }
}

#[tokio::test]
async fn lines_for_machines_have_the_same_fields() {
    let (rig, scripts) = (Rig::new().await, scripts());
    let flags = ["--log", "info,tool=debug", "--log-format", "json"];
    let worker = rig.start_binary(scripts.path(), &flags);
    let id = rig.submit(&tool("loud"), "{}").await;
    let of_task = || -> Vec<Value> {
        let said = worker.stderr();
        let all = said.lines().map(|line| serde_json::from_str(line).unwrap());
        let mine = |line: &Value| line["fields"]["task"] == id.digest().to_string();
        all.filter(mine).collect()
    };
    eventually(SOON, "its end is told", async || {
        of_task().iter().any(|line| line["target"] == "attempt")
    })
    .await;
    let lines = of_task();
    let of = |target: &str| {
        lines
            .iter()
            .filter(|line| line["target"] == target)
            .collect::<Vec<_>>()
    };
    let one = "one\u{1b}[2J task=forged outcome=\"completed\"";
    assert_eq!(of("tool")[0]["fields"]["line"], one);
    let end = &of("attempt")[0]["fields"];
    assert_eq!(
        (&end["outcome"], &end["attempt"]),
        (&"completed".into(), &1.into())
    );
}
