//! A Redis that does not let the programs in, or is not there.

use taskferry_testing::{Process, TestServer, command, eventually, free_port};

use super::{SOON, raw, taskferry};

#[tokio::test]
async fn every_program_tells_a_wrong_password_once_and_where_it_is_set() {
    let redis = TestServer::start().await;
    raw::<String>(
        &redis,
        &["ACL", "SETUSER", "app", "on", ">right", "~*", "&*", "+@all"],
    )
    .await;
    let url = format!("redis://app:wrong@127.0.0.1:{}/0", redis.port());
    for words in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["status"],
        &["doctor"],
        &["tools", "list"],
        &["dead", "list"],
    ] {
        let told = taskferry(&url, words).await;
        assert_eq!(told.code, 1, "{words:?}: {}", told.err);
        assert_told_once(&format!("{words:?}: {}{}", told.out, told.err));
    }
    let (mut worker, _folder) = worker(&url);
    let ended = worker.wait_for_exit(SOON).await;
    assert_eq!(ended.code(), Some(1));
    assert_told_once(&worker.stderr());
}

/// A worker with one tool, and the folder of its manifest.
fn worker(url: &str) -> (Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("tools.toml");
    let tool = "[[tool]]\nname = 'a'\ndescription = 'A'\ncommand = ['true']";
    std::fs::write(&manifest, tool).unwrap();
    let mut command = command("taskferry-worker");
    command
        .env("TASKFERRY_REDIS_URL", url)
        .arg("--manifest")
        .arg(&manifest);
    (Process::start("taskferry-worker", command), folder)
}

#[tokio::test]
async fn every_program_names_the_address_at_which_nobody_answers() {
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("redis://app:secret@{address}/0");
    let named =
        format!("no connection to Redis at {address} (redis_url is from TASKFERRY_REDIS_URL): ");
    for words in [
        &["status"][..],
        &["doctor"],
        &["tools", "list"],
        &["dead", "list"],
    ] {
        let told = taskferry(&url, words).await;
        assert_eq!(told.code, 1, "{words:?}: {}", told.err);
        let told = format!("{}{}", told.out, told.err);
        assert!(told.contains(&named), "{words:?}: {told}");
        assert!(!told.contains("secret"), "{words:?}: {told}");
    }
    // These two wait for it.
    let (worker, _folder) = worker(&url);
    let mut command = command("taskferry");
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("TASKFERRY_REDIS_URL", &url);
    let front_end = Process::start("taskferry serve", command);
    for process in [&worker, &front_end] {
        eventually(SOON, "the log names the address", async || {
            process.stderr().contains(&named)
        })
        .await;
        assert!(!process.stderr().contains("secret"), "{}", process.stderr());
    }
}

fn assert_told_once(told: &str) {
    for part in [
        "WRONGPASS",
        "redis_url is from TASKFERRY_REDIS_URL",
        "right user and password",
    ] {
        assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
    }
    assert!(!told.contains("app:wrong"), "{told}");
}
