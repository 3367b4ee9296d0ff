//! Files of variables, as they are changed under a worker that runs.

use std::path::PathBuf;

use taskferry_contract::{Status, TaskView};
use taskferry_testing::Process;
use tempfile::TempDir;

use crate::rig::{Rig, SOON, text, tool};

/// What nobody but the command may be shown.
const PLANTED: &str = "pl4nted-t0ken";

const MANIFEST: &str = r#"
[[tool]]
name = "token"
description = "Tells how long its token is"
command = ["sh", "-c", "echo ${{#TOKEN}}"]
env_file = "token.env"
attempts = 1
backoff_initial = "50ms"
"#;

/// A worker with a tool that has a file of variables.
struct Keeper {
    rig: Rig,
    folder: TempDir,
}

impl Keeper {
    async fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tools.toml"), MANIFEST).unwrap();
        let keeper = Self {
            rig: Rig::new().await,
            folder,
        };
        keeper.write(text);
        keeper
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("token.env")
    }

    /// Puts a new file in the place of the old one, as whoever rotates a secret should.
    fn write(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    async fn start(&self) -> Process {
        let flags = ["--log", "trace", "--slots", "1"];
        let mut worker = self.rig.start_binary(self.folder.path(), &flags);
        worker.wait_for_line(SOON, "slots=").await;
        worker
    }

    /// Calls the tool, and returns what it said once it ended.
    async fn call(&self) -> String {
        let mut once = tool("token");
        (once.attempts, once.crash_limit) = (1, 1);
        let id = self.rig.submit(&once, "{}").await;
        text(&self.rig.end_of(id).await)
    }
}

#[tokio::test]
async fn a_rotated_secret_counts_from_the_next_attempt_on() {
    let keeper = Keeper::new(&format!("TOKEN={PLANTED}")).await;
    let worker = keeper.start().await;
    assert_eq!(keeper.call().await, "13");
    keeper.write(&format!("TOKEN='{PLANTED}-2'"));
    assert_eq!(keeper.call().await, "15");
    assert!(!worker.stderr().contains(PLANTED), "{}", worker.stderr());
}

#[tokio::test]
async fn a_job_waits_until_its_file_can_be_used_and_says_so_also_if_it_may_run_once() {
    let keeper = Keeper::new("TOKEN=a").await;
    let worker = keeper.start().await;
    std::fs::remove_file(keeper.file()).unwrap();
    let mut once = tool("token");
    (once.attempts, once.crash_limit) = (1, 1);
    let id = keeper.rig.submit(&once, "{}").await;
    let waits_as = |part: &'static str| {
        move |task: &TaskView| {
            let message = task.message.as_deref().unwrap_or_default();
            task.status == Status::Queued && message.contains(part)
        }
    };
    let rig = &keeper.rig;
    let task = rig
        .when(id, "it waits", waits_as("cannot be read: No such file"))
        .await;
    let message = task.message.unwrap();
    let begin = "the command could not be started: the env_file `";
    assert!(message.starts_with(begin), "{message}");
    keeper.write(&format!("TOKEN=a\n{PLANTED}\n"));
    rig.when(
        id,
        "it waits",
        waits_as("cannot be used: line 2 has no `=`"),
    )
    .await;
    let record: Vec<String> = rig.raw(&["HGETALL", &format!("tf:{{0}}:task:{id}")]).await;
    assert!(!record.concat().contains(PLANTED), "{record:?}");
    keeper.write(&format!("TOKEN={PLANTED}"));
    assert_eq!(text(&rig.end_of(id).await), "13");
    let record: Vec<String> = rig.raw(&["HGETALL", &format!("tf:{{0}}:task:{id}")]).await;
    assert!(!record.concat().contains(PLANTED), "{record:?}");
    let said = worker.stderr();
    assert!(said.contains("nothing of the job ran"), "{said}");
    assert!(!said.contains(PLANTED), "{said}");
}

#[tokio::test]
async fn a_worker_does_not_start_with_a_file_that_cannot_be_used() {
    let keeper = Keeper::new(&format!("{PLANTED}\n")).await;
    let mut worker = keeper.rig.start_binary(keeper.folder.path(), &[]);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(2));
    let said = worker.stderr();
    assert!(
        said.contains("tool \"token\": env_file: `token.env` cannot be used: line 1"),
        "{said}"
    );
    assert!(!said.contains(PLANTED), "{said}");
}
