//! Jobs of another system: the spooler of the examples, which runs on while workers come and go.

use std::path::PathBuf;
use std::process::Command;

use taskferry_contract::{Status, TaskId, TaskView};
use taskferry_testing::{Process, eventually};
use tempfile::TempDir;

use crate::rig::{Rig, SOON, owner, text, tool};

const MANIFEST: &str = r#"
[[tool]]
name = "crunch"
description = "Runs a shell script on the spooler"
kind = "external"
submit = ["SPOOL", "jobs", "submit", "{$job}", "sh", "-c", "{script}"]
status = ["SPOOL", "jobs", "status", "{$job}"]
cancel = ["SPOOL", "jobs", "cancel", "{$job}"]
logs = ["SPOOL", "jobs", "logs", "{$job}"]
poll = "100ms"
lost_after = "1s"
backoff_initial = "50ms"
leading_dash = ["script"]
input_schema = { type = "object", properties = { script = { type = "string" } } }
"#;

struct Spooler {
    rig: Rig,
    folder: TempDir,
    _server: Process,
}

impl Spooler {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/spool/spool.py");
        let manifest = MANIFEST.replace("SPOOL", spool.to_str().unwrap());
        std::fs::write(folder.path().join("tools.toml"), manifest).unwrap();
        let mut server = Command::new(spool);
        server.arg(folder.path().join("jobs")).arg("serve");
        Self {
            rig: Rig::new().await,
            _server: Process::start("spool.py", server),
            folder,
        }
    }

    fn worker(&self, arguments: &[&str]) -> Process {
        let arguments = [&["--lease", "1s", "--slots", "1"], arguments].concat();
        self.rig.start_binary(self.folder.path(), &arguments)
    }

    async fn submit(&self, script: &str) -> TaskId {
        let arguments = serde_json::json!({ "script": script }).to_string();
        self.rig.submit(&tool("crunch"), &arguments).await
    }

    /// What the spooler says of a task's job.
    fn state(&self, id: TaskId) -> String {
        let job = self
            .folder
            .path()
            .join(format!("jobs/taskferry-{id}/state"));
        std::fs::read_to_string(job).unwrap_or_default()
    }

    async fn until(&self, id: TaskId, state: &str) {
        let what = format!("its job is {state}");
        eventually(SOON, &what, async || self.state(id) == state).await;
    }

    async fn told(&self, id: TaskId, message: &str) {
        let is_told = |task: &TaskView| task.message.as_deref() == Some(message);
        self.rig.when(id, message, is_told).await;
    }

    async fn attempt(&self, id: TaskId, attempt: u64) {
        let what = format!("attempt {attempt} follows it");
        self.rig
            .when(id, &what, |task| task.attempt == attempt)
            .await;
    }

    fn manifest(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("tools.toml")).unwrap()
    }

    fn write_manifest(&self, text: &str) {
        std::fs::write(self.folder.path().join("tools.toml"), text).unwrap();
    }

    /// How often a script that runs this has begun: `echo begun >> begun`.
    fn begun(&self) -> usize {
        let begun = std::fs::read_to_string(self.folder.path().join("begun"));
        begun.unwrap_or_default().lines().count()
    }

    fn waits_for(&self, file: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "echo begun >> {folder}/begun; while [ ! -e {folder}/{file} ]; do sleep 0.05; done; echo done by $0"
        )
    }

    /// The set of what may run there.
    fn noted(&self, id: TaskId) -> String {
        let queue = tool("crunch").queue;
        self.rig.store.keys().outside(id.shard(), &queue)
    }

    /// How many jobs may run there, as far as is known.
    async fn left(&self, id: TaskId) -> u64 {
        self.rig.raw(&["ZCARD", &self.noted(id)]).await
    }

    async fn until_none_is_left(&self, id: TaskId) {
        eventually(SOON, "none is left", async || self.left(id).await == 0).await;
    }

    /// It is time to look after all that may run there.
    async fn let_time_pass(&self, id: TaskId) {
        let noted = self.noted(id);
        let all: Vec<String> = self.rig.raw(&["ZRANGE", &noted, "0", "-1"]).await;
        for member in all {
            let _: i64 = self.rig.raw(&["ZADD", &noted, "1", &member]).await;
        }
    }

    fn let_go(&self, file: &str) {
        std::fs::write(self.folder.path().join(file), "").unwrap();
    }
}

#[tokio::test]
async fn a_job_goes_on_while_workers_come_and_go_and_is_submitted_once() {
    let spooler = Spooler::new().await;
    let mut first = spooler.worker(&[]);
    let id = spooler.submit(&spooler.waits_for("go")).await;
    spooler.until(id, "running").await;
    spooler.told(id, "running").await;
    // It holds no slot: the only one is free for another job, which waits in the spooler.
    let behind = spooler.submit("echo behind").await;
    spooler.until(behind, "queued").await;
    // A worker that dies, and one that is told to stop: at once, though the job runs on.
    first.kill9();
    let mut second = spooler.worker(&["--drain-timeout", "10m"]);
    spooler.attempt(id, 2).await;
    spooler.attempt(behind, 2).await;
    second.terminate();
    assert_eq!(second.wait_for_exit(SOON).await.code(), Some(0));
    assert_eq!(spooler.state(id), "running");
    let _third = spooler.worker(&[]);
    spooler.attempt(id, 3).await;
    spooler.let_go("go");
    let task = spooler.rig.end_of(id).await;
    assert_eq!(text(&task).trim_end(), "done by sh");
    assert_eq!(spooler.begun(), 1);
    assert_eq!(text(&spooler.rig.end_of(behind).await).trim_end(), "behind");
    assert_eq!(spooler.left(id).await, 0);
}

#[tokio::test]
async fn what_fails_there_fails_here_with_its_last_lines() {
    let spooler = Spooler::new().await;
    let _worker = spooler.worker(&[]);
    let id = spooler
        .submit("echo step 1; echo no space left >&2; exit 3")
        .await;
    let task = spooler.rig.end_of(id).await;
    assert_eq!((task.status, task.attempt), (Status::Completed, 1));
    assert_eq!(text(&task), "failed\nstep 1\nno space left");
    // Somebody cancels a job in its own system.
    let id = spooler.submit(&spooler.waits_for("never")).await;
    spooler.until(id, "running").await;
    let job = spooler.folder.path().join(format!("jobs/taskferry-{id}"));
    std::fs::write(job.join("unwanted"), "").unwrap();
    assert_eq!(text(&spooler.rig.end_of(id).await), "cancelled");
}

#[tokio::test]
async fn cancelling_a_task_cancels_its_job_and_so_does_its_timeout() {
    let spooler = Spooler::new().await;
    let worker = spooler.worker(&[]);
    let id = spooler.submit(&spooler.waits_for("never")).await;
    spooler.until(id, "running").await;
    let store = &spooler.rig.store;
    store.cancel(id, &owner(), "no longer").await.unwrap();
    spooler.until(id, "cancelled").await;
    drop(worker);
    spooler.write_manifest(
        &spooler
            .manifest()
            .replace("poll =", "timeout = \"6s\"\npoll ="),
    );
    let _worker = spooler.worker(&[]);
    let mut brief = tool("crunch");
    brief.timeout_ms = 6_000;
    let arguments = serde_json::json!({ "script": spooler.waits_for("never") }).to_string();
    let id = spooler.rig.submit(&brief, &arguments).await;
    let task = spooler.rig.end_of(id).await;
    assert!(
        text(&task).starts_with("timed out after 6s"),
        "{}",
        text(&task)
    );
    spooler.until(id, "cancelled").await;
}

#[tokio::test]
async fn one_that_is_cancelled_while_nobody_follows_it_is_cancelled_by_the_next_worker() {
    let spooler = Spooler::new().await;
    let mut worker = spooler.worker(&[]);
    let id = spooler.submit(&spooler.waits_for("never")).await;
    spooler.until(id, "running").await;
    worker.terminate();
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0));
    let store = &spooler.rig.store;
    store.cancel(id, &owner(), "no longer").await.unwrap();
    assert_eq!(spooler.state(id), "running");
    // What cannot be cancelled is not forgotten.
    let manifest = spooler.manifest();
    spooler.write_manifest(&manifest.replace("\"cancel\"", "\"no\""));
    let mut worker = spooler.worker(&[]);
    let line = "an external job of a task that is over could not be cancelled; it is tried again";
    worker.wait_for_line(SOON, line).await;
    worker.terminate();
    worker.wait_for_exit(SOON).await;
    assert_eq!(spooler.left(id).await, 1);
    spooler.let_time_pass(id).await;
    spooler.write_manifest(&manifest);
    let _worker = spooler.worker(&[]);
    spooler.until(id, "cancelled").await;
    spooler.until_none_is_left(id).await;
}

#[tokio::test]
async fn one_whose_worker_died_as_it_was_cancelled_or_whose_task_expired_is_cancelled_too() {
    let spooler = Spooler::new().await;
    let mut worker = spooler.worker(&[]);
    let cancelled = spooler.submit(&spooler.waits_for("never")).await;
    spooler.until(cancelled, "running").await;
    worker.kill9();
    let store = &spooler.rig.store;
    store
        .cancel(cancelled, &owner(), "no longer")
        .await
        .unwrap();
    // Its worker had a minute to do it.
    spooler.let_time_pass(cancelled).await;
    let mut worker = spooler.worker(&[]);
    spooler.until(cancelled, "cancelled").await;

    let expired = spooler.submit(&spooler.waits_for("never")).await;
    spooler.until(expired, "running").await;
    worker.kill9();
    let record = store.keys().record(expired);
    let _: i64 = spooler.rig.raw(&["PEXPIRE", &record, "1"]).await;
    spooler.let_time_pass(cancelled).await;
    let _worker = spooler.worker(&[]);
    spooler.until(expired, "cancelled").await;
    spooler.until_none_is_left(expired).await;
    // Its entry is that of a worker that died a moment ago.
    spooler.rig.leaves_jobs();
}

#[tokio::test]
async fn a_system_that_cannot_be_asked_or_refuses_is_told_of() {
    let spooler = Spooler::new().await;
    // A status of its own: what the test writes, or an error.
    let status = r#"status = ["sh", "-c", "cat said 2>/dev/null || {{ echo down >&2; exit 1; }}", "{$job}"]"#;
    let mut manifest = spooler.manifest();
    let at = manifest.find("status =").unwrap();
    let end = at + manifest[at..].find('\n').unwrap();
    manifest.replace_range(at..end, status);
    spooler.write_manifest(&manifest);
    let said = spooler.folder.path().join("said");
    std::fs::write(&said, "ODD job\n").unwrap();
    let worker = spooler.worker(&[]);
    let mut crunch = tool("crunch");
    crunch.attempts = 2;
    let id = spooler.rig.submit(&crunch, r#"{"script":"true"}"#).await;
    let odd = r#"status printed the state "ODD", which is not known: name it in states"#;
    spooler.told(id, odd).await;
    std::fs::remove_file(&said).unwrap();
    let task = spooler.rig.end_of(id).await;
    assert_eq!((task.status, task.attempt), (Status::Completed, 2));
    assert_eq!(text(&task), "the job's state cannot be read: down");
    assert_eq!(spooler.state(id), "", "nothing is submitted blindly");
    // It does not know the job, and takes none.
    std::fs::write(&said, "").unwrap();
    let refusing = spooler.manifest().replace("\"submit\"", "\"no\"");
    spooler.write_manifest(&refusing);
    drop(worker);
    let _worker = spooler.worker(&[]);
    let id = spooler.submit("true").await;
    let failed = text(&spooler.rig.end_of(id).await);
    let told = "the job could not be submitted: A small spooler";
    assert!(failed.starts_with(told), "{failed}");
}
