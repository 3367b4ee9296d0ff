//! What the documents show on a command line does what they say.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use taskferry_testing::{Process, TestServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fleet::{Replica, in_tree, worker_of};

const MODERN: &str = "With curl, 2026-07-28";

/// What answers the polls of a session in place of its front end, one after the other, until one is let through: a balancer
/// whose front end was killed, a front end whose Redis is away, and a connection that breaks.
const NO_ANSWERS: [&str; 3] = [
    "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html><body><h1>502 Bad Gateway</h1></body></html>",
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32603,\"message\":\"away\"}}",
    "",
];

/// Runs the shell blocks of a section of docs/CLIENTS.md, in its order, and returns what they print.
async fn session(heading: &str) -> String {
    let (told, errors) = session_with(heading, "", &[]).await;
    assert!(!told.contains("\"error\""), "{told}\n{errors}");
    told
}

/// The same with more commands at the end, where polls get these answers first; what they print, and what they say of errors.
async fn session_with(
    heading: &str,
    more: &str,
    no_answers: &'static [&'static str],
) -> (String, String) {
    let redis = TestServer::start()
        .await
        .drained_at_end(Duration::from_secs(20));
    let replica = Replica::start(&redis.url(), &[]).await;
    let _worker = worker_of(&redis.url(), &in_tree("examples/tools.toml"), &[]).await;
    let text = std::fs::read_to_string(in_tree("docs/CLIENTS.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/mcp", listener.local_addr().unwrap());
    let address = replica.origin.trim_start_matches("http://");
    let balancer = balance(listener, address.parse().unwrap(), no_answers);
    let mut command = Command::new("bash");
    let script = format!("{}\n{more}", blocks(&text, heading));
    command
        .args(["-euo", "pipefail", "-c", &script])
        .env("ENDPOINT", &endpoint)
        .current_dir(folder.path());
    let mut shell = Process::start("the documented session", command);
    let ended = tokio::select! {
        ended = shell.wait_for_exit(Duration::from_secs(40)) => ended,
        never = balancer => match never {},
    };
    let (told, errors) = (shell.stdout(), shell.stderr());
    assert!(ended.success(), "{told}\n{errors}");
    (told, errors)
}

/// Passes connections on to a front end; the first polls get these answers instead.
async fn balance(
    listener: TcpListener,
    front_end: SocketAddr,
    no_answers: &'static [&'static str],
) -> Infallible {
    let mut connections = JoinSet::new();
    let mut no_answers = no_answers.iter();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if client.read_buf(&mut head).await.unwrap() == 0 {
                break;
            }
        }
        let is_poll = String::from_utf8_lossy(&head).contains("Mcp-Method: tasks/get");
        let no_answer = if is_poll { no_answers.next() } else { None };
        connections.spawn(async move {
            if let Some(no_answer) = no_answer {
                client.write_all(no_answer.as_bytes()).await.unwrap();
                // Unread bytes would break the connection before the answer is read.
                let _closed = client.shutdown().await;
                let _rest = client.read_to_end(&mut head).await;
                return;
            }
            let mut server = TcpStream::connect(front_end).await.unwrap();
            server.write_all(&head).await.unwrap();
            let _cut_off = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

fn blocks(text: &str, heading: &str) -> String {
    let section = text.split("\n## ").find(|part| part.starts_with(heading));
    let parts = section.unwrap().split("```sh\n").skip(1);
    let blocks: Vec<&str> = parts
        .map(|part| part.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() > 2, "{heading} has its commands");
    blocks.concat()
}

#[tokio::test]
async fn the_modern_session_with_curl_works() {
    let told = session(MODERN).await;
    for part in [
        "\"resultType\":\"task\"",
        "\"status\": \"completed\"",
        "Sales report: January",
        "elicitation/create",
        "person",
        "\nscan_files\n",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let ids: Vec<&str> = told.lines().filter(|line| line.starts_with("0-")).collect();
    assert_eq!(ids.len(), 2, "{told}");
    assert_eq!(ids[0], ids[1], "the call made again found the same task");
}

#[tokio::test]
async fn the_documented_poll_waits_where_nobody_can_answer_and_tells_any_error() {
    let unknown = "wait_for 0-00000000-0000-4000-8000-000000000000; jq '.result // .' task.json || cat task.json";
    let (told, errors) = session_with(MODERN, unknown, &NO_ANSWERS).await;
    for part in [
        "\"status\": \"completed\"",
        "Sales report: January",
        "-32602",
    ] {
        assert!(told.contains(part), "{part} is not in {told}\n{errors}");
    }
    for part in [
        "no answer now: HTTP/1.1 502",
        "no answer now: HTTP/1.1 503",
        "no answer now: \n",
    ] {
        assert!(errors.contains(part), "{part} is not in {errors}");
    }
}

#[tokio::test]
async fn the_legacy_session_with_curl_works() {
    let told = session("With curl, 2025-11-25").await;
    for part in [
        "\"protocolVersion\":\"2025-11-25\"",
        "\"ttl\":60000",
        "Sales report: January",
        "io.modelcontextprotocol/related-task",
        "\"status\":\"cancelled\"",
        // The rest of a stream that was cut off.
        "{\"id\":6,\"result\":{\"content\"",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
