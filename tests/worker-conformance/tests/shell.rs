//! What the kit does not see of the worker in shell.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its helpers"
)]

use std::process::{Command, Output};

use taskferry_testing::{TestServer, command, redis};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/shell");
const STREAM: &str = "tf:{0}:queue:conformance";

async fn raw<T: redis::FromRedisValue>(server: &TestServer, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.query_async(&mut server.raw().await).await.unwrap()
}

/// Runs the worker for one job, to its end.
async fn once(url: &str) -> Output {
    let mut worker = Command::new(format!("{FOLDER}/taskferry-worker"));
    worker
        .arg("--once")
        .args([&format!("{FOLDER}/examples/conformance"), "conformance"])
        .env("TASKFERRY_REDIS_URL", url);
    let run = tokio::task::spawn_blocking(move || worker.output().unwrap());
    run.await.unwrap()
}

#[tokio::test]
async fn it_ends_after_one_job_and_logs_in_with_the_password_of_its_address() {
    let server = TestServer::start().await;
    let url = server.url();
    let told = once(&url).await;
    let errors = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{errors}");
    assert!(errors.contains("taskferry contract install"), "{errors}");

    let mut install = command("taskferry");
    install
        .args(["contract", "install"])
        .env("TASKFERRY_REDIS_URL", &url);
    let installed = tokio::task::spawn_blocking(move || install.output().unwrap()).await;
    assert!(installed.unwrap().status.success());
    // A job whose record expired, and an entry of nobody's.
    raw::<String>(&server, &["XADD", STREAM, "*", "other", "field"]).await;
    let id = "0-b9a307cd-d58b-4bd4-b771-f37e0dcf07ae";
    raw::<String>(&server, &["XADD", STREAM, "*", "id", id, "tool", "echo"]).await;
    let user = [
        "ACL",
        "SETUSER",
        "shell",
        "on",
        ">a-secret",
        "~*",
        "&*",
        "+@all",
    ];
    raw::<String>(&server, &user).await;
    let told = once(&url.replace("://", "://shell:a-secret@")).await;
    let errors = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(0), "{errors}");
    let left: u64 = raw(&server, &["XLEN", STREAM]).await;
    assert_eq!(left, 0, "{errors}");
    let letters: u64 = raw(&server, &["XLEN", "tf:{0}:dead"]).await;
    assert_eq!(
        letters, 1,
        "the entry of nobody's is a dead letter: {errors}"
    );
    let workers: u64 = raw(&server, &["ZCARD", "tf:{fleet}:workers"]).await;
    assert_eq!(workers, 0, "{errors}");
    let tools: u64 = raw(&server, &["HLEN", "tf:{fleet}:tools:conformance"]).await;
    assert_eq!(tools, 12, "{errors}");
}
