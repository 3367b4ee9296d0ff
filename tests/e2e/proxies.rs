//! deploy/nginx.conf and deploy/haproxy.cfg, each as shipped but for addresses, in front of two replicas.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use taskferry_client::StatusCode;
use taskferry_testing::{Process, eventually, free_port, group_lives};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::client::{Legacy, Modern, get, is_up};
use crate::fleet::{Fleet, Replica, in_tree};
use crate::jobs::{call, records, runs, take_steps, text};
use crate::stream::Stream;

const SOON: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Nginx,
    Haproxy,
}

/// The page of the proxy in the shipped file.
const STATS: &str = "127.0.0.1:8404";

const BOTH: [Kind; 2] = [Kind::Nginx, Kind::Haproxy];

/// A proxy in front of the replicas of a fleet.
struct Proxy {
    process: Process,
    _folder: TempDir,
    endpoint: String,
    /// Where the proxy tells how the front ends are.
    stats: String,
}

impl Proxy {
    async fn start(kind: Kind, replicas: &[Replica]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let (shipped, name) = match kind {
            Kind::Nginx => (
                "deploy/nginx.conf",
                "nginx (apt-get install -y nginx-light)",
            ),
            Kind::Haproxy => ("deploy/haproxy.cfg", "haproxy (apt-get install -y haproxy)"),
        };
        let text = std::fs::read_to_string(in_tree(shipped)).unwrap();
        let file = folder.path().join("shipped");
        let stats = free_port();
        std::fs::write(&file, with_addresses(text, [port, stats], replicas)).unwrap();
        let command = match kind {
            Kind::Nginx => nginx(folder.path(), &file),
            Kind::Haproxy => {
                let mut haproxy = Command::new("haproxy");
                haproxy.args(["-db", "-f"]).arg(&file);
                haproxy
            }
        };
        let process = Process::start(name, command);
        let health = format!("http://127.0.0.1:{port}/healthz");
        eventually(SOON, &format!("{name} answers"), async || {
            is_up(&health).await
        })
        .await;
        Self {
            process,
            stats: format!("http://127.0.0.1:{stats}/;csv"),
            _folder: folder,
            endpoint: format!("http://127.0.0.1:{port}/mcp"),
        }
    }
}

/// A shipped file with the addresses of this test in place of its own.
fn with_addresses(mut text: String, [port, stats]: [u16; 2], replicas: &[Replica]) -> String {
    let [first, second] = [0, 1].map(|n| replicas[n].origin.trim_start_matches("http://"));
    let own = format!("127.0.0.1:{port}");
    for (shipped, here) in [("8080", own.as_str()), ("8081", first), ("8082", second)] {
        let shipped = format!("127.0.0.1:{shipped}");
        assert!(text.contains(&shipped), "{shipped} is in the shipped file");
        text = text.replace(&shipped, here);
    }
    text = text.replace(STATS, &format!("127.0.0.1:{stats}"));
    text
}

/// nginx with nothing but a file that stands in its conf.d.
fn nginx(folder: &Path, file: &Path) -> Command {
    let mut text = format!("pid {}/pid;\nuser root;\n", folder.display());
    writeln!(text, "events {{}}\nhttp {{\n    access_log off;").unwrap();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(text, "    {kind}_temp_path {}/{kind};", folder.display()).unwrap();
    }
    writeln!(text, "    include {};\n}}", file.display()).unwrap();
    let main = folder.join("nginx.conf");
    std::fs::write(&main, text).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(folder).arg("-c").arg(&main);
    nginx.args(["-e", "stderr", "-g", "daemon off; master_process off;"]);
    nginx
}

#[tokio::test]
async fn tasks_of_both_eras_go_through() {
    let fleet = Fleet::start().await;
    for kind in BOTH {
        let proxy = Proxy::start(kind, &fleet.replicas).await;
        let client = Modern::with_tasks(&proxy.endpoint);
        let id = client.start("echo", json!({ "text": "modern" })).await;
        let done = client.until(&id, "completed").await;
        assert_eq!(text(&done["result"]), "modern", "{kind:?}");
        let session = Legacy::open_with_tasks(&proxy.endpoint).await;
        let id = session
            .start("echo", json!({ "text": "legacy" }), 60_000)
            .await;
        let done = session.result_of(&id).await;
        assert_eq!(text(done.result()), "legacy", "{kind:?}");
        // As long as a header with an argument may well be.
        let large = "x".repeat(20_000);
        let headers = [("x-large", large.as_str())];
        let listed = client.request_with("tools/list", json!({}), &headers).await;
        assert!(listed.result()["tools"].is_array(), "{kind:?}");
        // A body that is too large is refused in the words of the protocol.
        let large = json!({ "text": "x".repeat(4_500_000) });
        let refused = client.call("echo", large).await;
        assert_eq!(refused.status, 413, "{kind:?}");
        assert!(
            refused.body["error"]["message"].is_string(),
            "{kind:?}: {}",
            refused.text
        );
    }
}

#[tokio::test]
async fn a_long_stream_comes_as_it_is_written() {
    let fleet = Fleet::start_with(&["--stream-after", "100ms"], &[]).await;
    for kind in BOTH {
        let proxy = Proxy::start(kind, &fleet.replicas).await;
        let client = Modern::with(&proxy.endpoint, json!({}));
        let folder = tempfile::tempdir().unwrap();
        let arguments = json!({ "folder": folder.path() });
        let paced = call("paced", &arguments, json!({ "progressToken": "p" }));
        let mut stream = Stream::call(&client, paced).await;
        for done in 1..=3 {
            take_steps(folder.path(), [done]);
            // The tool waits for the next file meanwhile, so nothing else can push this through.
            let told = stream.until("notifications/progress").await;
            assert_eq!(told["params"]["progress"], f64::from(done), "{kind:?}");
        }
        take_steps(folder.path(), [4]);
        let end = stream.until("none").await;
        assert_eq!(text(&end["result"]), "done", "{kind:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_call() {
    for stream_after in ["100ms", "1h"] {
        let fleet = Fleet::start_with(&["--stream-after", stream_after], &[]).await;
        for kind in BOTH {
            let proxy = Proxy::start(kind, &fleet.replicas).await;
            let client = Modern::with(&proxy.endpoint, json!({}));
            let folder = tempfile::tempdir().unwrap();
            let pid = folder.path().join("1");
            let nap = client.call("nap", json!({ "seconds": 600, "folder": folder.path() }));
            tokio::select! {
                answer = nap => panic!("{kind:?}: {answer:?}"),
                () = eventually(SOON, "the tool runs", async || pid.exists()) => {}
            }
            let leader = std::fs::read_to_string(pid)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            eventually(SOON, "the tool is stopped", async || !group_lives(leader)).await;
        }
    }
}

#[tokio::test]
async fn a_replica_that_stops_is_left_out_and_its_streams_go_on() {
    for kind in BOTH {
        let flags = ["--stream-after", "100ms", "--drain-timeout", "1m"];
        let mut fleet = Fleet::start_with(&flags, &[]).await;
        let proxy = Proxy::start(kind, &fleet.replicas).await;
        let client = Modern::with(&proxy.endpoint, json!({}));
        let folder = tempfile::tempdir().unwrap();
        let arguments = json!({ "folder": folder.path() });
        let paced = call("paced", &arguments, json!({ "progressToken": "p" }));
        // In turn, so one on each replica.
        let mut streams = Vec::new();
        for _ in 0..2 {
            streams.push(Stream::call(&client, paced.clone()).await);
        }
        let stopping = &mut fleet.replicas[0];
        stopping.process.terminate();
        let address = stopping.origin.trim_start_matches("http://").to_owned();
        eventually(SOON, "it takes no connections", async || {
            TcpStream::connect(&address).await.is_err()
        })
        .await;
        let tasks = Modern::with_tasks(&proxy.endpoint);
        for n in 0..10 {
            let said = n.to_string();
            let id = tasks.start("echo", json!({ "text": said })).await;
            let done = tasks.until(&id, "completed").await;
            assert_eq!(text(&done["result"]), said, "{kind:?}");
        }
        assert!(
            fleet.replicas[0].process.is_running(),
            "it waits for its stream"
        );
        take_steps(folder.path(), 1..=4);
        for mut stream in streams {
            let end = stream.until("none").await;
            assert_eq!(text(&end["result"]), "done", "{kind:?}");
        }
        let ended = fleet.replicas[0].process.wait_for_exit(SOON).await;
        assert_eq!(ended.code(), Some(0), "{kind:?}");
    }
}

/// Its log has a line of the answer 502, and its page says which front end is gone.
async fn shows_what_went_wrong(proxy: &Proxy) {
    eventually(SOON, "its log says which one gave no answer", async || {
        let log = proxy.process.stderr();
        log.contains("/front-end-1 ") && log.contains(" 502 ")
    })
    .await;
    eventually(SOON, "the page says which is gone", async || {
        let page = get(&proxy.stats).await.text;
        let is = |name: &str, status: &str| {
            let begin = format!("taskferry,{name},");
            let mut lines = page.lines();
            lines.any(|line| line.starts_with(&begin) && line.contains(&format!(",{status},")))
        };
        is("front-end-1", "DOWN") && is("front-end-2", "UP")
    })
    .await;
}

#[tokio::test]
async fn a_call_that_was_sent_is_not_sent_again() {
    for kind in BOTH {
        // Nothing is answered before the end, so that nothing but its own rules keep the proxy from another try.
        let mut fleet = Fleet::start_with(&["--stream-after", "1h"], &[]).await;
        let proxy = Proxy::start(kind, &fleet.replicas).await;
        let client = Modern::with(&proxy.endpoint, json!({}));
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let arguments = json!({ "folder": folder.path() });
            let params = json!({ "name": "paced", "arguments": arguments });
            async { client.open("tools/call", params).await.status() }
        };
        // In turn, so one on each replica.
        let mut calls = FuturesUnordered::from_iter([open(), open()]);
        let both_run = eventually(SOON, "both calls run", async || {
            let records = records(&fleet).await;
            records.len() == 2 && records.values().all(runs)
        });
        tokio::select! {
            answered = calls.next() => panic!("{kind:?}: answered before their end: {answered:?}"),
            () = both_run => {}
        }
        fleet.replicas[0].process.kill9();
        let cut_off = calls.next().await;
        assert_eq!(cut_off, Some(StatusCode::BAD_GATEWAY), "{kind:?}");
        if matches!(kind, Kind::Haproxy) {
            shows_what_went_wrong(&proxy).await;
        }
        take_steps(folder.path(), 1..=4);
        assert_eq!(calls.next().await, Some(StatusCode::OK), "{kind:?}");
        assert_eq!(
            records(&fleet).await.len(),
            2,
            "{kind:?}: nothing was queued twice"
        );
    }
}
