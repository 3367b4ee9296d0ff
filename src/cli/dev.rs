//! `taskferry dev`: everything on this machine with one command, gone without a trace after Ctrl-C.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, Command as Cli};
use rustix::process::{Pid, Signal, kill_process};
use taskferry_process::settings::{FILE_VARIABLE, names_a_redis};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::output::Announcer;
use super::tied;
use crate::config::{self, DevConfig};
use crate::operator::Operator;
use crate::serve::{Server, signalled};

/// How long Redis, and then the worker's tools, may take to appear.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a child may take to end before it is killed.
const CHILD_END: Duration = Duration::from_secs(10);
/// How long after the worker's end a signal may come that explains it.
const SIGNALS_MEET: Duration = Duration::from_secs(1);
/// The file of Redis' socket, in its folder.
const SOCKET: &str = "redis.sock";
/// The mode of that folder.
const OWN: u32 = 0o700;

pub(super) fn with_options(command: Cli) -> Cli {
    let without_redis = command.mut_args(|arg| {
        let hides = names_a_redis(arg.get_id().as_str());
        if hides { arg.hide(true) } else { arg }
    });
    without_redis.arg(
        Arg::new("manifest")
            .long("manifest")
            .value_name("FILE")
            .help("The worker's manifest of tools [default: examples/tools.toml]"),
    )
    .after_help("The worker's other settings (slots, lease, max_result) are read from the environment and the file.")
}

/// Runs everything until a stop signal.
pub(super) async fn run(given: DevConfig) -> anyhow::Result<()> {
    let mut config = given.serve;
    config.log.start().map_err(anyhow::Error::msg)?;
    let out = Announcer::start().context("nothing can be printed")?;
    let mut signals = std::pin::pin!(signalled()?);
    let manifest = find_manifest(given.manifest)?;
    let worker_binary = find_worker()?;
    let folder = private_folder()?;
    let redis = Redis::start(folder.path()).await?;
    config.redis.url = redis.url.as_str().into();
    config.redis.url_from.clear();
    let server = Server::bind(config)?;
    let mut worker = Process::start(
        "taskferry-worker",
        tied::to_this(&worker_binary)?
            // The file was read here: a front end's is refused by a worker.
            .env_remove(FILE_VARIABLE)
            .args(["--redis-url", &redis.url])
            .args(given.worker)
            .arg("--manifest")
            .arg(&manifest),
    )?;
    let (endpoint, first_tools) = (server.endpoint.clone(), server.first_tools());
    let stop = CancellationToken::new();
    let serving = server.run(stop.clone());
    let living = async {
        let tools = tokio::select! {
            tools = tokio::time::timeout(PATIENCE, first_tools) => tools.context("the worker registered no tools")?,
            ended = worker.ended() => bail!("the worker ended at its start: {ended}"),
        };
        out.print(&format!("endpoint   {endpoint}"));
        let socket = redis.socket.display();
        out.print(&format!("redis      redis-cli -s {socket}"));
        out.print(&format!("tools      {}", tools.join(" ")));
        out.print("ready; stop with Ctrl-C");
        let ended = tokio::select! {
            biased;
            _signal = &mut signals => return Ok(()),
            ended = worker.ended() => ended,
        };
        // Whoever stops all processes at once signals one after the other.
        match tokio::time::timeout(SIGNALS_MEET, signals).await {
            Ok(_signal) => Ok(()),
            Err(_elapsed) => bail!("the worker ended: {ended}"),
        }
    };
    let living = async {
        let outcome = living.await;
        stop.cancel();
        outcome
    };
    let (lived, served) = tokio::join!(living, serving);
    worker.end().await;
    redis.process.end().await;
    out.print("stopped");
    out.end();
    lived.and(served)
}

/// A folder that goes with this process, and that nobody else may enter.
fn private_folder() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("taskferry-dev-")
        .permissions(Permissions::from_mode(OWN))
        .tempdir()
        .context("no folder for Redis")
}

/// A Redis that this user alone can reach: its only door is a socket in a closed folder.
struct Redis {
    process: Process,
    socket: PathBuf,
    url: String,
}

impl Redis {
    /// Starts it in `folder`, which nobody else may enter.
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let binary = find_on_path(&["redis-server", "valkey-server"]).context(
            "there is no redis-server on PATH; install it: apt-get install -y redis-server (Debian, Ubuntu), dnf install redis (Fedora), brew install redis (macOS)",
        )?;
        let socket = folder.join(SOCKET);
        let mut command = tied::to_this(&binary)?;
        command.args(["--port", "0", "--unixsocket", SOCKET]);
        command.args(["--unixsocketperm", "700"]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.args(["--maxmemory-policy", "noeviction"]);
        command.args(["--hash-max-listpack-value", "1024", "--dir"]);
        command.arg(folder).stdout(Stdio::null());
        let mut process = Process::start("redis-server", &mut command)?;
        let url = socket_url(&socket)?;
        let operator = Operator::at(&url)?;
        let answers = async {
            while !operator.is_ready().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            answered = tokio::time::timeout(PATIENCE, answers) => {
                answered.with_context(|| format!("redis-server does not answer at {}", socket.display()))?;
            }
            ended = process.ended() => bail!("{} ended at its start: {ended}", binary.display()),
        }
        Ok(Self {
            process,
            socket,
            url,
        })
    }
}

/// The address of a socket; what an address gives a meaning of its own is escaped.
fn socket_url(socket: &Path) -> anyhow::Result<String> {
    let path = socket
        .to_str()
        .context("the temporary folder's name is not UTF-8")?;
    let path = path.replace('%', "%25").replace('?', "%3F");
    Ok(format!("unix://{}", path.replace('#', "%23")))
}

/// A child in a process group of its own, so that the terminal's Ctrl-C reaches only us and we end it in order. If we are
/// killed, the system sends it a signal to end ([`tied`]).
struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn start(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { name, child })
    }

    async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    async fn end(mut self) {
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!(name = self.name, %error, "SIGTERM was not delivered");
        }
        if tokio::time::timeout(CHILD_END, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!(name = self.name, "it did not end in time and is killed");
        }
    }
}

fn find_manifest(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path);
    }
    let below = Path::new("examples/tools.toml");
    let executable = std::env::current_exe().unwrap_or_default();
    let above = executable
        .ancestors()
        .skip(1)
        .take(4)
        .map(|folder| folder.join(below));
    std::iter::once(below.to_path_buf())
        .chain(above)
        .find(|path| path.is_file())
        .context("there is no examples/tools.toml here; name a manifest with --manifest FILE")
}

fn find_worker() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe().context("the folder of this program is unknown")?;
    let beside = executable.with_file_name("taskferry-worker");
    if beside.is_file() {
        return Ok(beside);
    }
    find_on_path(&["taskferry-worker"]).context(
        "there is no taskferry-worker beside this program or on PATH; build it: cargo build --workspace",
    )
}

fn find_on_path(names: &[&str]) -> Option<PathBuf> {
    let folders = config::search_path();
    let places = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|path| path.is_file())
}
