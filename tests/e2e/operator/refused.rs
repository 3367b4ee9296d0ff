//! A Redis that does not let the programs in.

use std::process::Command;

use taskferry_testing::{Process, TestServer, binary};

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
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("tools.toml");
    let tool = "[[tool]]\nname = 'a'\ndescription = 'A'\ncommand = ['true']";
    std::fs::write(&manifest, tool).unwrap();
    let mut command = Command::new(binary("taskferry-worker"));
    command
        .args(["--redis-url", &url, "--manifest"])
        .arg(&manifest);
    let mut worker = Process::start("taskferry-worker", command);
    let ended = worker.wait_for_exit(SOON).await;
    assert_eq!(ended.code(), Some(1));
    assert_told_once(&worker.stderr());
}

fn assert_told_once(told: &str) {
    for part in [
        "WRONGPASS",
        "redis_url is from --redis-url",
        "right user and password",
    ] {
        assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
    }
    assert!(!told.contains("app:wrong"), "{told}");
}
