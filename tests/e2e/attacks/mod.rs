//! What one caller does to take the service from others: they are served all the same, and the front end stays within the
//! memory that it is given.

mod connections;
mod handshakes;
mod results;
mod schemas;
mod streams;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use taskferry_client::Request;
use taskferry_contract::{RedisSettings, Store, ToolDefinition};
use taskferry_testing::{TestServer, eventually};
use taskferry_worker::{Handler, Worker};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::authorization::key_file;
use crate::client::Modern;
use crate::fleet::Replica;
use crate::tools::register;

/// How much memory a front end may have, bytes.
const MEMORY: u64 = 512 << 20;
/// How long a poll of another caller may take, but for one in a hundred.
const IN_TIME: Duration = Duration::from_secs(1);
/// So many polls at least are judged.
const POLLS: usize = 100;
/// Between two polls.
const PAUSE: Duration = Duration::from_millis(10);
/// The keys of who attacks and of who is not to notice.
const ATTACKER: &str = "tfk_attacker";
const OTHER: &str = "tfk_other";
/// How long something may take to happen on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// A front end with little memory, and a caller with a task there.
struct Attacked {
    server: TestServer,
    replica: Replica,
    other: Modern,
    task: String,
    _folder: Option<TempDir>,
}

impl Attacked {
    async fn start(flags: &[&str]) -> Self {
        Self::start_for(None, flags).await
    }

    /// One that tells callers apart: by the keys [`ATTACKER`] and [`OTHER`].
    async fn guarded(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = key_file(folder.path(), &[ATTACKER, OTHER]);
        let all = [&["--access-file", file.to_str().unwrap()], flags].concat();
        let started = Self::start_for(Some(OTHER), &all).await;
        Self {
            _folder: Some(folder),
            ..started
        }
    }

    async fn start_for(credential: Option<&str>, flags: &[&str]) -> Self {
        let server = TestServer::start().await;
        let replica = Replica::start_within(MEMORY, &server.url(), flags).await;
        register(&server, "slow", &json!({ "type": "object" })).await;
        let other = replica.client().by(credential);
        lists(&other, "slow").await;
        let task = other.start("slow", json!({})).await;
        Self {
            server,
            replica,
            other,
            task,
            _folder: None,
        }
    }

    /// Starts a worker with one tool, which has a queue of its own.
    async fn worker(&self, tool: ToolDefinition, handler: impl Handler) -> Working {
        let mut settings = RedisSettings::new(&self.server.url());
        settings.response_timeout = SOON;
        let name = tool.name.to_string();
        let worker = Worker::builder(Store::new(&settings).unwrap())
            .tool(tool, handler)
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let mut running = JoinSet::new();
        running.spawn(async move {
            worker.run(stopped).await.unwrap();
        });
        lists(&self.other, &name).await;
        Working { stop, running }
    }

    fn address(&self) -> SocketAddr {
        let (_scheme, address) = self.replica.origin.split_once("://").unwrap();
        address.parse().unwrap()
    }

    /// Polls, each time over a new connection, until the attack has done all that it does; what it returns is held as long as
    /// there are too few polls to judge by. None fails, and they are fast enough.
    async fn beside<T: Send + 'static>(
        &self,
        attack: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> T {
        // On a thread of its own: what the attacker is busy with must not look like an answer that is late.
        let attack = tokio::task::spawn_blocking(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(attack())
        });
        let mut attack = std::pin::pin!(attack);
        let (mut took, mut outcome) = (Vec::new(), None);
        while outcome.is_none() || took.len() < POLLS {
            let poll = async {
                let begun = Instant::now();
                let task = self.other.task(&self.task).await;
                assert_eq!(task["status"], "working", "{task}");
                took.push(begun.elapsed());
                tokio::time::sleep(PAUSE).await;
            };
            tokio::select! {
                done = &mut attack, if outcome.is_none() => outcome = Some(done.unwrap()),
                () = poll => {}
            }
        }
        took.sort_unstable();
        let p99 = took[took.len() * 99 / 100];
        #[expect(clippy::print_stdout, reason = "what was measured")]
        {
            println!("{} polls beside the attack, p99 {p99:?}", took.len());
        }
        assert!(p99 < IN_TIME, "of {} polls: {p99:?}", took.len());
        outcome.unwrap()
    }

    /// Nothing is left of the attack, and all is well.
    async fn check_after(self) {
        self.replica.ready().await;
        let cancel = json!({ "taskId": self.task });
        self.other.request("tasks/cancel", cancel).await.result();
        drop(self.server);
    }
}

/// A worker that runs.
struct Working {
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl Working {
    async fn end(mut self) {
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap();
    }
}

/// The definition of a tool that takes any object.
fn tool(name: &str) -> ToolDefinition {
    let schema = serde_json::value::to_raw_value(&json!({ "type": "object" })).unwrap();
    let mut tool = ToolDefinition::new(name.parse().unwrap(), schema);
    tool.queue = name.parse().unwrap();
    tool
}

async fn lists(client: &Modern, tool: &str) {
    eventually(SOON, &format!("{tool} is listed"), async || {
        let listed = client.request("tools/list", json!({})).await;
        listed.text.contains(&format!("\"{tool}\""))
    })
    .await;
}

/// A request as it is on the wire.
fn wire(request: &Request) -> Vec<u8> {
    let mut head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n".to_owned();
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", request.body.len()));
    [head.into_bytes(), request.body.clone()].concat()
}

/// A connection from another address of this machine.
async fn from(last: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
    socket.connect(to).await
}
