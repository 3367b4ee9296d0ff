//! Nothing that becomes of standard error holds a process up: a reader that is gone, one that never reads, a full disk.

use std::fs::File;
use std::io::{PipeReader, Write as _, pipe};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_testing::{Process, TestServer, command, eventually, free_port};

use crate::client::{Legacy, Modern, is_up};
use crate::logs::CHATTY;
use crate::tools::{manifest, with_basic};

const SOON: Duration = Duration::from_secs(30);
/// What a pipe of Linux holds.
const PIPE: usize = 64 << 10;

#[derive(Debug, Clone, Copy)]
enum Stderr {
    ReaderGone,
    Unread,
    DiskFull,
}

impl Stderr {
    /// The stream, and what must live as long as the process.
    fn open(self) -> (Stdio, Option<PipeReader>) {
        if matches!(self, Self::DiskFull) {
            let full = File::options().write(true).open("/dev/full").unwrap();
            return (full.into(), None);
        }
        let (reader, mut writer) = pipe().unwrap();
        if matches!(self, Self::Unread) {
            // From the first line on there is no room.
            writer.write_all(&[b'.'; PIPE]).unwrap();
        }
        let reader = matches!(self, Self::Unread).then_some(reader);
        (writer.into(), reader)
    }
}

async fn everything_is_served(stderr: Stderr) {
    let redis = TestServer::start().await.drained_at_end(SOON);
    let url = redis.url();
    let start = |name: &str, arguments: &[&str]| {
        let mut command = command(name);
        command.args(arguments).args(["--redis-url", &url]);
        // The more is logged the better.
        command.args(["--redis-timeout", "30s", "--log", "debug"]);
        let (stream, reader) = stderr.open();
        (Process::start_with_stderr(name, command, stream), reader)
    };
    let address = format!("127.0.0.1:{}", free_port());
    let manifest = manifest(&with_basic(CHATTY));
    let (mut replica, _unread) = start("taskferry", &["serve", "--listen", &address]);
    let manifest = ["--manifest", manifest.to_str().unwrap()];
    let (mut worker, _also_unread) = start("taskferry-worker", &manifest);
    let ready = format!("http://{address}/readyz");
    eventually(SOON, "the front end is ready", async || is_up(&ready).await).await;
    let endpoint = format!("http://{address}/mcp");
    let modern = Modern::with_tasks(&endpoint);
    eventually(SOON, "the tool is listed", async || {
        let listed = modern.request("tools/list", json!({})).await;
        let tools = listed.result()["tools"].as_array().unwrap().clone();
        tools.iter().any(|tool: &Value| tool["name"] == "chatty")
    })
    .await;
    for _ in 0..5 {
        let session = Legacy::open(&endpoint).await;
        let told = session.call("chatty", json!({})).await;
        assert_eq!(told.result()["content"][0]["text"], "done");
    }
    assert!(is_up(&ready).await);
    for process in [&mut worker, &mut replica] {
        process.terminate();
        let status = process.wait_for_exit(SOON).await;
        assert_eq!(status.code(), Some(0), "{stderr:?}");
    }
}

#[tokio::test]
async fn everything_is_served_when_nobody_reads_the_log_any_more() {
    everything_is_served(Stderr::ReaderGone).await;
}

#[tokio::test]
async fn everything_is_served_when_the_log_is_not_read() {
    everything_is_served(Stderr::Unread).await;
}

#[tokio::test]
async fn everything_is_served_when_the_disk_of_the_log_is_full() {
    everything_is_served(Stderr::DiskFull).await;
}

/// What a command says when its standard output is `stdout`.
async fn tools_list(redis: &TestServer, stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = command("taskferry");
    command.args(["tools", "list", "--redis-url", &redis.url()]);
    command.stdin(Stdio::null()).stdout(stdout);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = run.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[tokio::test]
async fn an_operators_command_ends_quietly_when_its_reader_had_enough() {
    let redis = TestServer::start().await;
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    assert_eq!(tools_list(&redis, writer).await, (Some(0), String::new()));
}

#[tokio::test]
async fn an_operators_command_whose_result_is_lost_fails() {
    let redis = TestServer::start().await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (code, said) = tools_list(&redis, full).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("standard output"), "{said}");
}

#[tokio::test]
async fn dev_ends_in_order_when_neither_of_its_streams_is_read() {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&[b'.'; PIPE]).unwrap();
    let mut command = command("taskferry");
    command
        .args(["dev", "--listen"])
        .arg(format!("127.0.0.1:{}", free_port()));
    command.arg("--manifest").arg(manifest(&with_basic(CHATTY)));
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let listen = command
        .get_args()
        .nth(2)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let mut dev = tokio::process::Command::from(command).spawn().unwrap();
    let modern = Modern::with_tasks(&format!("http://{listen}/mcp"));
    let ready = format!("http://{listen}/readyz");
    eventually(SOON, "it serves", async || is_up(&ready).await).await;
    eventually(SOON, "its worker works", async || {
        let listed = modern.request("tools/list", json!({})).await;
        !listed.result()["tools"].as_array().unwrap().is_empty()
    })
    .await;
    let task = modern.start("chatty", json!({})).await;
    modern.until(&task, "completed").await;
    let pid = i32::try_from(dev.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = tokio::time::timeout(SOON, dev.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    drop(reader);
}
