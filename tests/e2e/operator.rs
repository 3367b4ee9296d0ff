//! The operator's commands on real failures, and what both binaries do with a Redis that does not suit them.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskferry_testing::redis::{Cmd, FromRedisValue};
use taskferry_testing::{
    AppendOnly, Process, ServerOptions, TestServer, binary, eventually, eventually_some,
};
use tempfile::TempDir;

use crate::client::Legacy;
use crate::fleet::{Replica, in_tree, worker};

const SOON: Duration = Duration::from_secs(20);

/// What a command printed, and its exit code.
struct Told {
    code: i32,
    out: String,
    err: String,
}

impl Told {
    fn lines(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Runs `taskferry` with these words, and waits for its end.
async fn taskferry(redis_url: &str, words: &[&str]) -> Told {
    let mut command = Command::new(binary("taskferry"));
    command
        .args(words)
        .args(["--redis-url", redis_url])
        .env_remove("TASKFERRY_TEST_REDIS");
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output {
        status,
        stdout,
        stderr,
    } = run.await.unwrap();
    Told {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

async fn raw<T: FromRedisValue>(redis: &TestServer, words: &[&str]) -> T {
    let mut command = Cmd::new();
    command.arg(words);
    command.query_async(&mut redis.raw().await).await.unwrap()
}

/// Redis, a front end, and a folder with tools of this test.
struct Site {
    redis: TestServer,
    replica: Replica,
    folder: TempDir,
}

const MANIFEST: &str = r#"
    [defaults]
    poll_interval = "100ms"
    backoff_initial = "20ms"

    [[tool]]
    name = "brittle"
    title = "Works once it is mended"
    command = ["sh", "-c", "test -e mended && echo \"$1\" || (echo 'no ink'; exit 75)", "sh", "{text}"]
    description = "Works once it is mended"
    queue = "printers"
    attempts = 2
    input_schema = '{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}'

    [[tool]]
    name = "once"
    description = "Must not do its work twice"
    command = ["sh", "-c", "echo $$ >> ran; exec sleep 600"]
    attempts = 1
"#;

impl Site {
    async fn new() -> Self {
        let redis = TestServer::start().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tools.toml"), MANIFEST).unwrap();
        Self {
            replica: Replica::start(&redis.url(), &[]).await,
            redis,
            folder,
        }
    }

    async fn worker(&self) -> Process {
        let manifest = self.folder.path().join("tools.toml");
        let lease = ["--lease", "1s"];
        worker(&self.redis.url(), manifest.to_str().unwrap(), &lease).await
    }

    async fn run(&self, words: &[&str]) -> Told {
        taskferry(&self.redis.url(), words).await
    }

    /// Starts a job of `brittle` that fails for good.
    async fn dead(&self, session: &Legacy, text: &str) -> String {
        let id = session
            .start("brittle", json!({ "text": text }), 60_000)
            .await;
        session.until(&id, "failed").await;
        id
    }
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown_and_retried_as_new_tasks() {
    let site = Site::new().await;
    let _worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let id = site.dead(&session, "one").await;

    let listed = site.run(&["dead", "list"]).await;
    for part in ["LETTER", &id, "brittle", "printers", "yes", "no ink"] {
        assert!(listed.out.contains(part), "{part} is not in {}", listed.out);
    }
    assert!(!listed.out.contains("one"), "arguments are not listed");
    let line = site
        .run(&["dead", "list", "--json"])
        .await
        .lines()
        .remove(0);
    assert_eq!(
        (&line["task"], &line["attempts"], &line["queue"]),
        (&json!(id), &json!(2), &json!("printers"))
    );
    let shown = site.run(&["dead", "show", &id, "--json"]).await.lines();
    assert_eq!(shown[0]["arguments"], r#"{"text":"one"}"#);
    assert_eq!(shown[0]["record"]["status"], "completed");
    let letter = line["letter"].as_str().unwrap();
    let shown = site.run(&["dead", "show", letter]).await;
    assert!(shown.out.contains(r#"{"text":"one"}"#), "{}", shown.out);

    std::fs::write(site.folder.path().join("mended"), "").unwrap();
    let retried = site.run(&["dead", "retry", &id]).await;
    let (old, new) = retried.out.trim().split_once(" -> ").unwrap();
    assert_eq!((old, retried.code), (id.as_str(), 0));
    session.until(new, "completed").await;
    let result = session.result_of(new).await;
    assert_eq!(result.result()["content"][0]["text"], "one");
    assert_eq!(session.task(&id).await["status"], "failed", "as it ended");

    let again = site.run(&["dead", "retry", &id]).await;
    assert_eq!((again.code, again.out.as_str()), (1, ""));
    assert!(again.err.contains("no dead letter"), "{}", again.err);
    assert_eq!(site.run(&["dead", "list", "--json"]).await.out, "");
}

#[tokio::test]
async fn all_of_a_tool_are_retried_once_also_those_that_fail_again() {
    let site = Site::new().await;
    let _worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(site.dead(&session, text).await);
    }
    let none = site
        .run(&["dead", "retry", "--all", "--tool", "other"])
        .await;
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    let told = site
        .run(&["dead", "retry", "--all", "--tool", "brittle", "--json"])
        .await;
    let mut old: Vec<Value> = told
        .lines()
        .iter()
        .map(|line| line["task"].clone())
        .collect();
    old.reverse();
    assert_eq!(json!(old), json!(ids), "{}", told.err);
    for line in told.lines() {
        session
            .until(line["new_task"].as_str().unwrap(), "failed")
            .await;
    }
    let listed = site.run(&["dead", "list", "--json"]).await.lines();
    assert_eq!(listed.len(), 3, "one letter for each again: {listed:?}");

    // Page by page.
    let first = site.run(&["dead", "list", "--json", "--limit", "2"]).await;
    let last = first.lines()[1]["letter"].as_str().unwrap().to_owned();
    assert!(
        first.err.contains(&format!("--before {last}")),
        "{}",
        first.err
    );
    let next = site
        .run(&["dead", "list", "--json", "--before", &last])
        .await;
    assert_eq!(next.lines()[0], listed[2]);

    let purged = site.run(&["dead", "purge", &last]).await;
    assert_eq!(purged.out, "dead letters purged: 1\n");
    let old = ["dead", "purge", "--all", "--older-than", "7d"];
    assert_eq!(site.run(&old).await.out, "dead letters purged: 0\n");
    let all = site.run(&["dead", "purge", "--all"]).await;
    assert_eq!(all.out, "dead letters purged: 2\n");
}

#[tokio::test]
async fn what_cannot_be_retried_is_told_with_the_reason() {
    let site = Site::new().await;
    let mut worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    raw::<String>(
        &site.redis,
        &["XADD", "tf:{0}:queue:printers", "*", "hello", "\u{1b}[2J"],
    )
    .await;
    let id = site.dead(&session, "one").await;
    let letters = eventually_some(SOON, "both are dead letters", async || {
        let letters = site.run(&["dead", "list", "--json"]).await.lines();
        (letters.len() == 2).then_some(letters)
    })
    .await;
    let stranger = letters.iter().find(|line| line["task"] == "").unwrap();
    let letter = stranger["letter"].as_str().unwrap();
    let refused = site.run(&["dead", "retry", letter]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("names no job"), "{}", refused.err);

    worker.terminate();
    worker.wait_for_exit(SOON).await;
    let removed = site.run(&["tools", "remove", "brittle"]).await;
    assert_eq!(removed.code, 0, "{}", removed.err);
    let refused = site.run(&["dead", "retry", &id]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("not registered"), "{}", refused.err);
    // The letter is still there, and a changed tool is told too.
    let changed = site.folder.path().join("brittle.json");
    let definition = json!({
        "name": "brittle", "queue": "printers", "input_schema": { "type": "object", "required": ["size"] },
    });
    std::fs::write(&changed, definition.to_string()).unwrap();
    let added = site.run(&["tools", "add", changed.to_str().unwrap()]).await;
    assert_eq!(added.out, "brittle is registered\n", "{}", added.err);
    let refused = site.run(&["dead", "retry", "--all"]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("its tool has changed"),
        "{}",
        refused.err
    );
    assert_eq!(site.run(&["dead", "retry", "nonsense"]).await.code, 1);
    // Ids and filters do not go together: one of them would be passed over in silence.
    for unclear in [
        &["dead", "retry"][..],
        &["dead", "retry", &id, "--all"],
        &["dead", "retry", &id, "--tool", "other"],
        &["dead", "purge", &id, "--older-than", "7d"],
        &["dead", "purge", "--older-than", "7d"],
    ] {
        assert_eq!(site.run(unclear).await.code, 2, "{unclear:?}");
    }
}

#[tokio::test]
async fn a_job_that_may_run_once_fails_with_its_worker_and_says_so() {
    let site = Site::new().await;
    let mut first = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let id = session.start("once", json!({}), 60_000).await;
    let ran = site.folder.path().join("ran");
    let command = eventually_some(SOON, "it runs", async || {
        let text = std::fs::read_to_string(&ran).ok()?;
        text.trim().parse::<i32>().ok()
    })
    .await;
    first.kill9();
    let _second = site.worker().await;
    let failed = session.until(&id, "failed").await;
    let message = failed["statusMessage"].as_str().unwrap();
    for part in ["the worker died during attempt 1", "it is not run again"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(session.result_of(&id).await.code(), -32603);
    let runs = std::fs::read_to_string(&ran).unwrap();
    assert_eq!(runs.lines().count(), 1, "{runs}");
    let letters = site.run(&["dead", "list", "--json"]).await.lines();
    assert_eq!(
        (&letters[0]["task"], &letters[0]["reason"]),
        (&json!(id), &json!("crash limit"))
    );
    // What a killed worker leaves behind runs on.
    Command::new("kill")
        .args(["-9", &command.to_string()])
        .status()
        .unwrap();
}

#[tokio::test]
async fn tools_are_listed_shown_removed_and_added_and_clients_see_it() {
    let site = Site::new().await;
    let mut worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let listed = site.run(&["tools", "list"]).await;
    let row = listed.out.lines().find(|line| line.starts_with("brittle"));
    let row: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(&row[..4], ["brittle", "printers", "1", "0"]);
    let shown = site.run(&["tools", "show", "brittle"]).await;
    let file = site.folder.path().join("brittle.json");
    std::fs::write(&file, &shown.out).unwrap();

    // Its worker runs: it comes back, and that is said.
    let removed = site.run(&["tools", "remove", "brittle"]).await;
    assert!(removed.err.contains("register it again"), "{}", removed.err);
    let names = async || {
        let tools = session.request("tools/list", json!({})).await;
        let tools = tools.result()["tools"].as_array().unwrap().clone();
        tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect::<Vec<String>>()
    };
    eventually(SOON, "the worker registers it again", async || {
        names().await.contains(&"brittle".to_owned())
    })
    .await;
    worker.terminate();
    worker.wait_for_exit(SOON).await;
    let removed = site.run(&["tools", "remove", "brittle"]).await;
    assert_eq!((removed.code, removed.err.as_str()), (0, ""));
    // The bell tells the replica, well before it would look by itself.
    eventually(
        Duration::from_secs(2),
        "it is no longer listed",
        async || !names().await.contains(&"brittle".to_owned()),
    )
    .await;
    let again = site.run(&["tools", "remove", "brittle"]).await;
    assert_eq!(again.code, 1);
    assert!(again.err.contains("taskferry tools list"), "{}", again.err);

    let added = site.run(&["tools", "add", file.to_str().unwrap()]).await;
    assert_eq!(added.code, 0, "{}", added.err);
    eventually(Duration::from_secs(2), "it is listed again", async || {
        names().await.contains(&"brittle".to_owned())
    })
    .await;
    let shown_again = site.run(&["tools", "show", "brittle"]).await;
    assert_eq!(shown_again.out, shown.out);
}

#[tokio::test]
async fn the_status_shows_what_waits_and_who_works() {
    let site = Site::new().await;
    let worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    site.dead(&session, "one").await;
    session.start("once", json!({}), 60_000).await;
    let status = eventually_some(SOON, "it runs, and the worker told", async || {
        let status = site.run(&["status", "--json"]).await.lines().remove(0);
        (status["workers"][0]["busy"] == 1).then_some(status)
    })
    .await;
    assert_eq!(status["dead"], 1);
    assert_eq!(status["contract"], "1.0");
    assert_eq!(status["workers"][0]["pid"], worker.pid());
    let queues = status["queues"].as_array().unwrap();
    let default = queues.iter().find(|queue| queue["queue"] == "default");
    assert_eq!(default.unwrap()["given_out"], 1);
    let told = site.run(&["status"]).await;
    for part in ["redis ", "contract   1.0", "dead       1", "printers", "1/"] {
        assert!(told.out.contains(part), "{part} is not in {}", told.out);
    }
    let ran = std::fs::read_to_string(site.folder.path().join("ran")).unwrap();
    drop(worker);
    Command::new("kill")
        .args(["-9", ran.trim()])
        .status()
        .unwrap();
}

#[tokio::test]
async fn doctor_tells_a_good_server_from_a_bad_one_and_from_none() {
    let mut redis = TestServer::start_with(ServerOptions {
        append_only: AppendOnly::Always,
        ..ServerOptions::default()
    })
    .await;
    let good = taskferry(&redis.url(), &["doctor", "--durability", "always"]).await;
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    assert!(good.out.contains("ok    version"), "{}", good.out);

    raw::<String>(
        &redis,
        &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"],
    )
    .await;
    raw::<String>(&redis, &["CONFIG", "SET", "appendfsync", "everysec"]).await;
    let bad = taskferry(&redis.url(), &["doctor", "--durability", "always"]).await;
    assert_eq!(bad.code, 1);
    for part in [
        "fail  eviction",
        "run: redis-cli CONFIG SET maxmemory-policy noeviction",
        "fail  persistence",
        "CONFIG SET appendfsync always",
    ] {
        assert!(bad.out.contains(part), "{part} is not in {}", bad.out);
    }
    let lines = taskferry(&redis.url(), &["doctor", "--json"]).await.lines();
    let eviction = lines.iter().find(|line| line["check"] == "eviction");
    assert_eq!(eviction.unwrap()["verdict"], "fail");

    redis.pause();
    for frozen in [true, false] {
        if !frozen {
            redis.kill9();
        }
        let start = Instant::now();
        let none = taskferry(&redis.url(), &["doctor"]).await;
        assert_eq!(none.code, 1);
        assert!(none.out.contains("fail  connection"), "{}", none.out);
        assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
    }
    let wrong = taskferry(&redis.url(), &["doctor", "--durability", "forever"]).await;
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("--durability"), "{}", wrong.err);
}

fn serve(redis: &TestServer) -> Process {
    let mut command = Command::new(binary("taskferry"));
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--redis-url",
            &redis.url(),
        ])
        .env_remove("TASKFERRY_TEST_REDIS");
    Process::start("taskferry serve", command)
}

fn work(redis: &TestServer, manifest: &Path) -> Process {
    let mut command = Command::new(binary("taskferry-worker"));
    command
        .args(["--redis-url", &redis.url(), "--manifest"])
        .arg(manifest)
        .env_remove("TASKFERRY_TEST_REDIS");
    Process::start("taskferry-worker", command)
}

async fn assert_refuses(mut process: Process) {
    let status = process.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(1));
    let told = process.stderr();
    for part in ["99.0", "1.0", "redis-cli DEL tf:contract"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[tokio::test]
async fn an_incompatible_contract_is_refused_at_the_start() {
    let redis = TestServer::start().await;
    raw::<String>(&redis, &["SET", "tf:contract", "99.0"]).await;
    assert_refuses(serve(&redis)).await;
    assert_refuses(work(&redis, &in_tree("tests/e2e/tools.toml"))).await;
    let doctor = taskferry(&redis.url(), &["doctor"]).await;
    assert_eq!(doctor.code, 1);
    assert!(doctor.out.contains("fail  contract"), "{}", doctor.out);
    let keys: Vec<String> = raw(&redis, &["KEYS", "*"]).await;
    assert_eq!(keys, ["tf:contract"], "nothing was written");
}

#[tokio::test]
async fn running_processes_wind_down_when_the_contract_becomes_another() {
    let redis = TestServer::start().await;
    let worker = worker(&redis.url(), "tests/e2e/tools.toml", &[]).await;
    let mut replica = Replica::start_unready(&redis.url(), &[]).await;
    replica.process.wait_for_line(SOON, "reached and fit").await;
    let stored: String = raw(&redis, &["GET", "tf:contract"]).await;
    assert_eq!(stored, "1.0");

    // A newer release of the same major is no reason to do anything.
    raw::<String>(&redis, &["SET", "tf:contract", "1.7"]).await;
    replica.ready().await;
    raw::<String>(&redis, &["SET", "tf:contract", "99.0"]).await;
    // It looks every five seconds by itself.
    let answer = reqwest::get(format!("{}/readyz", replica.origin))
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    let text = answer.text().await.unwrap();
    assert!(
        text.starts_with("not ready: ") && text.contains("99.0"),
        "{text}"
    );
    assert_refuses(replica.process).await;
    assert_refuses(worker).await;
    let workers: i64 = raw(&redis, &["ZCARD", "tf:workers"]).await;
    assert_eq!(workers, 0, "it left in good order");
}

#[tokio::test]
async fn the_contract_is_written_again_when_redis_lost_everything() {
    let redis = TestServer::start().await;
    let back = async |who: &str| {
        raw::<String>(&redis, &["FLUSHALL"]).await;
        let what = format!("{who} writes it again");
        eventually(SOON, &what, async || {
            let stored: Option<String> = raw(&redis, &["GET", "tf:contract"]).await;
            stored.as_deref() == Some("1.0")
        })
        .await;
    };
    let mut replica = Replica::start_unready(&redis.url(), &[]).await;
    replica.process.wait_for_line(SOON, "reached and fit").await;
    back("the front end").await;
    drop(replica);
    let _worker = worker(&redis.url(), "tests/e2e/tools.toml", &[]).await;
    back("the worker").await;
}
