//! Everything under the rules that `taskferry acl` prints: a front end, a worker of one queue, one in
//! another language, operators who look and act.

use serde_json::{Value, json};
use taskferry_client::TASKS;
use taskferry_testing::{TestServer, command, eventually, redis};

use crate::askable::MANIFEST;
use crate::client::{Legacy, Modern};
use crate::fleet::{Replica, worker};
use crate::tools::with_basic;

const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// A tool that is tried twice, and fails.
const FAILS: &str = r#"
[[tool]]
name = "gives_up"
description = "Fails so that it is tried again"
command = ["sh", "-c", "exit 75"]
attempts = 2
input_schema = '{"type":"object","additionalProperties":false}'
"#;

/// What the program prints, connected so; it ends well if `well`.
fn printed(url: &str, words: &[&str], well: bool) -> String {
    let mut program = command("taskferry");
    program.args(words).env("TASKFERRY_REDIS_URL", url);
    let told = program.output().unwrap();
    assert_eq!(told.status.success(), well, "{words:?}: {told:?}");
    String::from_utf8(told.stdout).unwrap()
}

/// Makes the user of a role as its rules are printed; its address.
async fn user(server: &TestServer, role: &str, more: &[&str]) -> String {
    let rules = printed("", &[&["acl", role, "--file"][..], more].concat(), true);
    let mut words = rules.split_whitespace().skip(1);
    let mut set = redis::cmd("ACL");
    set.arg("SETUSER").arg(words.next().unwrap()).arg("reset");
    for word in words {
        set.arg(word);
    }
    set.query_async::<()>(&mut server.raw().await)
        .await
        .unwrap();
    server
        .url()
        .replace("://", &format!("://taskferry-{role}:PASSWORD@"))
}

/// What users were denied, but for what they may do without: user and what it was.
async fn denied(server: &TestServer) -> Vec<(String, String)> {
    let mut log = redis::cmd("ACL");
    log.arg("LOG").arg(100);
    let log: Vec<std::collections::HashMap<String, redis::Value>> =
        log.query_async(&mut server.raw().await).await.unwrap();
    let text = |entry: &std::collections::HashMap<String, redis::Value>, name: &str| {
        redis::from_redis_value_ref::<String>(&entry[name]).unwrap()
    };
    // Whether appendfsync fits is asked where it may be; and once, whether a worker may give tools their homes, and keep all
    // queues going.
    let optional = [
        "config|get",
        "client|setinfo",
        "tf:{fleet}:homes",
        "tf:{0}:housekeeper",
    ];
    log.iter()
        .map(|entry| (text(entry, "username"), text(entry, "object")))
        .filter(|(_, object)| !optional.contains(&object.as_str()))
        .collect()
}

async fn asks_and_is_answered(modern: &Modern) {
    let form =
        json!({ "message": "Go on?", "requestedSchema": { "type": "object", "properties": {} } });
    let wish = json!({ "what": "elicitation", "params": form.to_string() });
    let task = modern.start("asks_anything", wish).await;
    modern.until(&task, "input_required").await;
    let answers = json!({ "taskId": task, "inputResponses": { "it": { "action": "accept", "content": {} } } });
    modern.request("tasks/update", answers).await.result();
    modern.until(&task, "completed").await;
}

/// What operators do, with a task that became a dead letter.
async fn operators_look_and_act(viewer: &str, operator: &str, failed: &str) {
    let status = printed(viewer, &["status", "--json"], true);
    let status: Value = serde_json::from_str(status.lines().next().unwrap()).unwrap();
    assert!(status["contract"].is_string(), "{status}");
    assert!(printed(viewer, &["tools", "list"], true).contains("gives_up"));
    let letters = printed(viewer, &["dead", "list", "--json"], true);
    assert!(letters.contains(failed), "{letters}");
    printed(viewer, &["dead", "show", failed], true);
    printed(viewer, &["doctor", "--role", "viewer"], true);
    printed(viewer, &["dead", "retry", failed], false);
    printed(operator, &["doctor", "--role", "operator"], true);
    let as_worker = ["doctor", "--role", "worker", "--queues", "e2e"];
    let told = printed(viewer, &as_worker, false);
    assert!(told.contains("taskferry acl worker"), "{told}");
    assert!(printed(operator, &["dead", "retry", failed], true).contains("->"));
    let old = format!("\"task\":\"{failed}\"");
    eventually(SOON, "the retried job fails again", async || {
        let letters = printed(operator, &["dead", "list", "--json"], true);
        letters.contains("gives_up") && !letters.contains(&old)
    })
    .await;
    printed(operator, &["dead", "purge", "--all"], true);
    printed(operator, &["secret", "rotate"], true);
    printed(operator, &["tools", "remove", "never_task"], true);
}

/// A worker in another language, which knows the library of functions and nothing else: it runs one job.
async fn a_foreign_worker_runs_a_job(url: &str) {
    let client = redis::Client::open(url).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let (base, queue, worker) = ("tf:{0}:", "tf:{0}:queue:outside", "outside-1");
    let group = ("XGROUP", ("CREATE", queue, "workers", 0, "MKSTREAM"));
    let made: Result<(), _> = command_of(group).query_async(&mut redis).await;
    assert!(made.is_ok() || made.unwrap_err().code() == Some("BUSYGROUP"));
    let mut entry = None;
    while entry.is_none() {
        let read = ("GROUP", "workers", worker, "STREAMS", queue, ">");
        let read = command_of(("XREADGROUP", read));
        let found: redis::streams::StreamReadReply = read.query_async(&mut redis).await.unwrap();
        entry = found.keys.into_iter().flat_map(|key| key.ids).next();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let entry = entry.unwrap();
    let id: String = entry.get("id").unwrap();
    let record = format!("{base}task:{id}");
    let of_job = (2, &record, queue, base, &id);
    let claim = command_of(("FCALL", ("tf3_claim", of_job, &entry.id, worker, 60_000, 1)));
    let claimed: Vec<String> = claim.query_async(&mut redis).await.unwrap();
    assert_eq!(claimed[..2], ["OK", "1"]);
    let (one, half) = (
        "tf3_report_progress",
        (1, &record, base, &id, 1, 0.5, "", "half"),
    );
    let renew = ("tf3_renew_lease", of_job, 1, worker, &entry.id, 60_000);
    let result = r#"{"content":[{"type":"text","text":"from outside"}]}"#;
    let finish = (
        "tf3_finish",
        of_job,
        1,
        &entry.id,
        "completed",
        "result",
        result,
        "",
        "",
    );
    for call in [
        command_of(("FCALL", (one, half))),
        command_of(("FCALL", renew)),
        command_of(("FCALL", finish)),
    ] {
        let reply: Vec<String> = call.query_async(&mut redis).await.unwrap();
        assert_eq!(reply, ["OK"]);
    }
}

/// A command of its words.
fn command_of((name, words): (&str, impl redis::ToRedisArgs)) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(words);
    command
}

/// A tool that only a worker of another language has.
async fn a_tool_is_served_from_outside(server: &TestServer, operator: &str, replica: &Replica) {
    let outside = user(server, "foreign-worker", &["--queues", "outside"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tool.json");
    let tool =
        json!({ "name": "outside", "queue": "outside", "input_schema": { "type": "object" } });
    std::fs::write(&file, tool.to_string()).unwrap();
    printed(operator, &["tools", "add", file.to_str().unwrap()], true);
    replica.lists("outside").await;
    let legacy = Legacy::open(&replica.endpoint).await;
    let (called, ()) = tokio::join!(
        legacy.call("outside", json!({})),
        a_foreign_worker_runs_a_job(&outside)
    );
    let result = called.result();
    assert_eq!(result["content"][0]["text"], "from outside", "{result:#}");
}

#[tokio::test]
async fn everything_works_with_the_rights_of_the_roles_alone() {
    let redis = TestServer::start().await.drained_at_end(SOON);
    let front = user(&redis, "front-end", &[]).await;
    let at_work = user(&redis, "worker", &["--queues", "e2e"]).await;
    let (viewer, operator) = (
        user(&redis, "viewer", &[]).await,
        user(&redis, "operator", &[]).await,
    );
    let replica = Replica::start(&front, &["--single-user", "true"]).await;
    let tools = with_basic(&[MANIFEST, FAILS].concat());
    let _worker = worker(&at_work, &tools, &[]).await;
    replica.lists("gives_up").await;

    let modern = Modern::with(
        &replica.endpoint,
        json!({ "elicitation": {}, "extensions": { TASKS: {} } }),
    );
    let task = modern.start("echo", json!({ "text": "a" })).await;
    modern.until(&task, "completed").await;
    asks_and_is_answered(&modern).await;
    let failed = modern.start("gives_up", json!({})).await;
    let ended = modern.until(&failed, "completed").await;
    assert_eq!(ended["result"]["isError"], true, "{ended:#}");
    let legacy = Legacy::open_with_tasks(&replica.endpoint).await;
    legacy.call("echo", json!({ "text": "b" })).await.result();
    let folder = tempfile::tempdir().unwrap();
    let nap = json!({ "seconds": 600, "folder": folder.path() });
    let cancelled = legacy.start("nap", nap, 60_000).await;
    legacy.until(&cancelled, "working").await;
    let id = json!({ "taskId": cancelled });
    legacy.request("tasks/cancel", id).await.result();
    legacy.request("tasks/list", json!({})).await.result();
    a_tool_is_served_from_outside(&redis, &operator, &replica).await;
    let lacked = denied(&redis).await;
    assert!(lacked.is_empty(), "{lacked:?}");
    operators_look_and_act(&viewer, &operator, &failed).await;
}

#[tokio::test]
async fn who_may_not_look_is_sent_to_a_user_that_may_and_is_not_given_more() {
    let redis = TestServer::start().await;
    let front = user(&redis, "front-end", &[]).await;
    let at_work = user(&redis, "worker", &["--queues", "e2e"]).await;
    let viewer = user(&redis, "viewer", &[]).await;
    let wider = |told: &str| told.contains("SETUSER") || told.contains("NOPERM");
    let as_front = ["doctor", "--role", "front-end"];
    let as_worker = ["doctor", "--role", "worker", "--queues", "e2e"];
    for (url, words, check) in [
        (&front, &as_front[..], "keys"),
        (&at_work, &as_worker, "keys"),
        (&at_work, &as_worker, "tools"),
    ] {
        let told = printed(url, words, true);
        let note = format!(
            "note  {check:<12} this user may not look at them, which only the roles viewer and operator need\n                   to check them, run doctor as a user with one of these roles\n"
        );
        assert!(told.contains(&note) && !wider(&told), "{told}");
    }
    let told = printed(&viewer, &["doctor", "--role", "viewer"], true);
    assert!(!told.contains("note  "), "{told}");
    for (url, words, role) in [
        (&at_work, &["status"][..], "viewer"),
        (&at_work, &["tools", "list"], "viewer"),
        (&front, &["dead", "list"], "viewer"),
        (&viewer, &["secret", "rotate"], "operator"),
    ] {
        let mut program = command("taskferry");
        program.args(words).env("TASKFERRY_REDIS_URL", url);
        let told = program.output().unwrap();
        assert_eq!(told.status.code(), Some(1), "{words:?}: {told:?}");
        let told = String::from_utf8(told.stderr).unwrap();
        let other = format!(
            "; run it as a user with the role {role}, whose rules this prints: taskferry acl {role}\n"
        );
        assert!(told.ends_with(&other), "{words:?}: {told}");
        assert!(!told.contains("SETUSER"), "{words:?}: {told}");
    }
}
