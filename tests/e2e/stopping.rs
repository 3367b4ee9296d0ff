//! A front end that is told to stop while requests are open: each of them ends in order, and says how to go on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taskferry_client::Method;
use taskferry_testing::{Process, TestServer, eventually};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Answer, Legacy, Modern, events};
use crate::fleet::{Replica, worker};
use crate::stream::Stream;

const TOOLS: &str = r#"
[defaults]
queue = "stopping"
poll_interval = "100ms"

[[tool]]
name = "waits"
description = "Waits for a file in a folder"
command = ["sh", "$HERE/first_waits.sh", "{folder}"]
input_schema = '{"type":"object","properties":{"folder":{"type":"string"}},"required":["folder"],"additionalProperties":false}'

[[tool]]
name = "never_task"
description = "The same, and never runs as a task"
task_support = "forbidden"
command = ["sh", "$HERE/first_waits.sh", "{folder}"]
input_schema = '{"type":"object","properties":{"folder":{"type":"string"}},"required":["folder"],"additionalProperties":false}'
"#;

const SOON: Duration = Duration::from_secs(30);

/// Two replicas, of which the first will be told to stop, and a worker.
struct Rig {
    redis: TestServer,
    first: Replica,
    second: Replica,
    worker: Process,
    folder: TempDir,
}

impl Rig {
    async fn start(flags: &[&str]) -> Self {
        let redis = TestServer::start().await.drained_at_end(SOON);
        let url = redis.url();
        let mut flags = flags.to_vec();
        if !flags.contains(&"--drain-timeout") {
            flags.extend(["--drain-timeout", "300ms"]);
        }
        flags.extend(["--redis-timeout", "5s"]);
        let rig = Self {
            first: Replica::start(&url, &flags).await,
            second: Replica::start(&url, &flags).await,
            worker: worker(&url, TOOLS, &[]).await,
            redis,
            folder: tempfile::tempdir().unwrap(),
        };
        rig.first.lists("waits").await;
        rig.second.lists("waits").await;
        rig
    }

    fn arguments(&self) -> Value {
        json!({ "folder": self.folder.path() })
    }

    fn params(&self, tool: &str) -> Value {
        json!({ "name": tool, "arguments": self.arguments() })
    }

    /// Lets the job end.
    fn end(&self) {
        std::fs::write(self.folder.path().join("end"), "").unwrap();
    }

    /// What a request to the first replica is answered with, which is told to stop once the job runs. A stream that breaks
    /// fails the test.
    async fn stopped<T>(&mut self, request: impl Future<Output = T>) -> T {
        let started = self.folder.path().join("1");
        let process = &mut self.first.process;
        let stop = async {
            eventually(SOON, "the job runs", async || started.exists()).await;
            process.terminate();
            let status = process.wait_for_exit(SOON).await;
            assert!(status.success(), "{status}");
        };
        let (answer, ()) = tokio::join!(request, stop);
        assert!(!self.first.process.stderr().contains("cut off"));
        answer
    }

    /// Whether the job was given up, and its command with it.
    async fn is_cancelled(&self) {
        let cancelled = async || self.worker.stderr().contains(r#"outcome="cancelled""#);
        eventually(SOON, "the job is cancelled", cancelled).await;
    }
}

#[tokio::test]
async fn a_plain_call_becomes_a_task_of_a_client_that_takes_tasks() {
    let mut rig = Rig::start(&[]).await;
    let client = Modern::with_tasks(&rig.first.endpoint);
    let arguments = rig.arguments();
    let answer = rig.stopped(client.call("never_task", arguments)).await;
    let task = answer.result();
    assert_eq!(
        (&task["resultType"], &task["status"]),
        (&"task".into(), &"working".into())
    );
    let id = task["taskId"].as_str().unwrap().to_owned();
    rig.end();
    let done = client
        .at(&rig.second.endpoint)
        .until(&id, "completed")
        .await;
    let text = format!("attempt 1 of {id}");
    assert_eq!(done["result"]["content"][0]["text"], text);
}

#[tokio::test]
async fn a_plain_call_of_a_client_without_tasks_becomes_a_handle() {
    for legacy in [false, true] {
        let mut rig = Rig::start(&[]).await;
        let arguments = rig.arguments();
        let (session, modern);
        let answer = if legacy {
            session = Legacy::open_as(&rig.first.endpoint, "2025-06-18").await;
            rig.stopped(session.call("waits", arguments)).await
        } else {
            modern = Modern::with(&rig.first.endpoint, json!({}));
            rig.stopped(modern.call("waits", arguments)).await
        };
        let told = answer.result();
        assert_eq!(told["isError"], false, "{told:#}");
        let id = told["structuredContent"]["task_id"].as_str().unwrap();
        assert!(
            told["content"][0]["text"]
                .as_str()
                .unwrap()
                .contains("task_status")
        );
        rig.end();
        let elsewhere = Modern::with(&rig.second.endpoint, json!({}));
        let wait = json!({ "task_id": id, "wait_seconds": 30 });
        let status = elsewhere.call("task_status", wait).await;
        assert_eq!(status.result()["structuredContent"]["status"], "completed");
    }
}

/// The error that answers a call which cannot go on.
fn given_up(answer: &Answer, part: &str) {
    assert_eq!(answer.code(), -32603, "{}", answer.text);
    assert!(
        answer.message().starts_with("this server stops"),
        "{}",
        answer.text
    );
    assert!(answer.message().contains(part), "{}", answer.text);
    if answer.streamed {
        assert_eq!(answer.status, 200);
    } else {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.headers["retry-after"], "1");
    }
}

#[tokio::test]
async fn a_plain_call_that_can_become_neither_is_given_up_and_told_so() {
    for (legacy, stream_after) in [(false, "1ms"), (false, "60s"), (true, "1ms")] {
        let flags = ["--handle-after", "off", "--stream-after", stream_after];
        let mut rig = Rig::start(&flags).await;
        let arguments = rig.arguments();
        let (session, modern);
        let answer = if legacy {
            session = Legacy::open_as(&rig.first.endpoint, "2025-03-26").await;
            rig.stopped(session.call("waits", arguments)).await
        } else {
            modern = Modern::with(&rig.first.endpoint, json!({}));
            rig.stopped(modern.call("waits", arguments)).await
        };
        assert_eq!(answer.streamed, stream_after == "1ms");
        given_up(&answer, "Make the call again");
        rig.is_cancelled().await;
    }
}

#[tokio::test]
async fn a_call_with_a_key_goes_on_and_is_found_by_the_call_made_again() {
    let mut rig = Rig::start(&["--handle-after", "off"]).await;
    let mut params = rig.params("waits");
    params["_meta"] = json!({ "taskferry/idempotencyKey": "0f8fad5b-d9cb-469f-a165-70867728950e" });
    let client = Modern::with(&rig.first.endpoint, json!({}));
    let answer = rig
        .stopped(client.request("tools/call", params.clone()))
        .await;
    given_up(&answer, "the same idempotency key");
    let elsewhere = client.at(&rig.second.endpoint);
    rig.end();
    let done = elsewhere.request("tools/call", params).await;
    let text = done.result()["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("attempt 1 of "), "{text}");
    assert!(!rig.folder.path().join("2").exists());
}

#[tokio::test]
async fn a_request_that_can_be_resumed_goes_on_at_another_replica() {
    for stream_after in ["1ms", "60s"] {
        let mut rig = Rig::start(&["--stream-after", stream_after]).await;
        let session = Legacy::open_with_tasks(&rig.first.endpoint).await;
        let params = rig_params(&rig.folder);
        let call = async {
            let stream = Stream::post(&session, 7, "tools/call", params).await;
            stream.read_to_end().await
        };
        let text = rig.stopped(call).await;
        assert!(events(&text.replace("data: \n", "")).is_empty(), "{text}");
        let last = text
            .lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .next_back();
        assert!(text.trim_end().ends_with("retry: 1000\ndata:"), "{text}");
        rig.end();
        let elsewhere = session.at(&rig.second.endpoint);
        let answer = Stream::resume(&elsewhere, last.unwrap()).await.next().await;
        assert_eq!(answer["id"], 7);
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("attempt 1 of "), "{text}");
    }
}

fn rig_params(folder: &TempDir) -> Value {
    json!({ "name": "waits", "arguments": { "folder": folder.path() } })
}

#[tokio::test]
async fn each_request_of_a_batch_is_answered() {
    let mut rig = Rig::start(&[]).await;
    let session = Legacy::open_as(&rig.first.endpoint, "2025-03-26").await;
    let call = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": rig_params(&rig.folder) });
    let batch = json!([call(1), call(2)]).to_string();
    let answer = rig
        .stopped(session.send_anything(Method::POST, Some(batch)))
        .await;
    let messages = if answer.streamed {
        events(&answer.text)
    } else {
        answer.body.as_array().unwrap().clone()
    };
    let mut ids: Vec<&Value> = messages.iter().map(|message| &message["id"]).collect();
    ids.sort_by_key(|id| id.as_u64());
    assert_eq!(ids, [1, 2], "{messages:#?}");
    for message in &messages {
        assert!(
            message["result"]["structuredContent"]["task_id"].is_string(),
            "{message:#}"
        );
    }
    rig.end();
}

#[tokio::test]
async fn streams_without_an_answer_end_when_the_stop_begins() {
    let mut rig = Rig::start(&["--drain-timeout", "1h"]).await;
    let modern = Modern::with_tasks(&rig.first.endpoint);
    let session = Legacy::open_with_tasks(&rig.first.endpoint).await;
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let listen = Stream::of(modern.open("subscriptions/listen", filter).await);
    let own = Stream::get(&session).await;
    std::fs::write(rig.folder.path().join("1"), "").unwrap();
    let both = async { tokio::join!(listen.read_to_end(), own.read_to_end()) };
    let (listened, told) = rig.stopped(both).await;
    let last = events(&listened).pop().unwrap();
    assert_eq!(last["result"]["resultType"], "complete", "{listened}");
    assert!(events(&told).is_empty(), "{told}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let mut rig = Rig::start(&[]).await;
    let client = Modern::with(&rig.first.endpoint, json!({}));
    let arguments = rig.arguments();
    let started = rig.folder.path().join("1");
    let process = &mut rig.first.process;
    let redis = &rig.redis;
    let stop = async {
        eventually(SOON, "the job runs", async || started.exists()).await;
        redis.pause();
        process.terminate();
        let begun = Instant::now();
        let status = process.wait_for_exit(SOON).await;
        assert!(status.success(), "{status}");
        begun.elapsed()
    };
    let (answer, took) = tokio::join!(client.call("waits", arguments), stop);
    given_up(&answer, "may still run");
    // The drain and two seconds, and some for a busy machine.
    assert!(took < Duration::from_secs(10), "{took:?}");
    rig.redis.resume();
    rig.end();
}

#[tokio::test]
async fn a_request_that_is_not_there_yet_is_answered_before_the_end() {
    let mut rig = Rig::start(&[]).await;
    let address = rig.first.origin.trim_start_matches("http://").to_owned();
    let mut client = TcpStream::connect(&address).await.unwrap();
    let headers = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n"
    );
    client.write_all(headers.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    client.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");
    client.write_all(b"{").await.unwrap();
    rig.first.process.terminate();
    let mut answer = String::new();
    let read = tokio::time::timeout(SOON, client.read_to_string(&mut answer));
    read.await.unwrap().unwrap();
    assert!(answer.contains("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.contains("this server stops before it could answer"),
        "{answer}"
    );
    assert!(rig.first.process.wait_for_exit(SOON).await.success());
}
