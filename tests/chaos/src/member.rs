//! One process of a run: whenever it ends it is started again, and how it ended is noted, with what was done to it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use taskferry_testing::{Process, command};
use tokio::sync::Mutex;

use crate::history::End;
use crate::proxy::Proxy;

/// How often a member is looked at, to be started again if it ended.
pub(crate) const WATCH: Duration = Duration::from_millis(50);
/// How long a member that was told to stop may take before it is killed: its drain, what froze it or Redis meanwhile, and
/// a slow machine.
const STOP: Duration = Duration::from_secs(20);

/// A process that is kept alive.
#[derive(Debug)]
pub(crate) struct Member {
    program: Program,
    pub(crate) process: Mutex<Running>,
    pub(crate) to_redis: Proxy,
    pub(crate) from_clients: Option<Proxy>,
}

/// What a member runs.
#[derive(Debug)]
pub(crate) struct Program {
    /// What the member is called.
    pub(crate) name: String,
    pub(crate) runs: Runs,
    pub(crate) arguments: Vec<String>,
    /// Of its environment, beside what is there.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// What it writes in a line once it serves.
    pub(crate) ready: &'static str,
    /// Where it runs. What it writes is kept below `processes` there.
    pub(crate) folder: PathBuf,
}

/// What is started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runs {
    /// A binary of this workspace.
    Ours(&'static str),
    /// A program on PATH.
    Installed(&'static str),
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) starts: u32,
    /// What was done to it since it was started.
    done: Done,
    /// How it ended, as often as it did, until that is taken.
    ends: Vec<End>,
}

/// What the harness did to a process that ends it.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    /// So many times it was told to stop.
    told: u32,
    killed: bool,
    /// It was killed because it did not stop.
    overdue: bool,
}

/// What a member takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Usage {
    pub(crate) name: String,
    /// How often it was started.
    pub(crate) starts: u32,
    /// Its resident memory, KiB (Linux: proc(5), `VmRSS`); 0 if it just ended.
    pub(crate) rss_kib: f64,
}

impl Member {
    pub(crate) fn new(
        program: Program,
        to_redis: Proxy,
        from_clients: Option<Proxy>,
    ) -> anyhow::Result<Self> {
        let process = program.start(1)?;
        let running = Running {
            process,
            starts: 1,
            done: Done::default(),
            ends: Vec::new(),
        };
        Ok(Self {
            program,
            process: Mutex::new(running),
            to_redis,
            from_clients,
        })
    }

    /// Waits until it serves.
    pub(crate) async fn serves(&self, deadline: Duration) {
        let mut running = self.process.lock().await;
        let ready = self.program.ready;
        running.process.wait_for_line(deadline, ready).await;
    }

    /// Whether its log since it was started last has this name of a process in Redis.
    pub(crate) async fn is_called(&self, name: &str) -> bool {
        self.process.lock().await.process.stderr().contains(name)
    }

    /// `kill -9`.
    pub(crate) async fn kill(&self) {
        let mut running = self.process.lock().await;
        running.done.killed = true;
        running.process.kill9();
    }

    /// Stops it in its tracks for a while.
    pub(crate) async fn freeze(&self, time: Duration) {
        self.process.lock().await.process.pause();
        tokio::time::sleep(time).await;
        self.process.lock().await.process.resume();
    }

    /// Asks it to stop, and waits until another took its place. One that does not stop is killed.
    pub(crate) async fn replace(&self) {
        let before = {
            let mut running = self.process.lock().await;
            running.done.told += 1;
            running.process.terminate();
            running.starts
        };
        let replaced = async {
            while self.process.lock().await.starts == before {
                tokio::time::sleep(WATCH).await;
            }
        };
        if tokio::time::timeout(STOP, replaced).await.is_err() {
            self.process.lock().await.done.overdue = true;
            self.kill().await;
        }
    }

    /// What it takes now.
    pub(crate) async fn usage(&self) -> Usage {
        let running = self.process.lock().await;
        Usage {
            name: self.program.name.clone(),
            starts: running.starts,
            rss_kib: resident_kib(running.process.pid()),
        }
    }

    /// How it ended since this was asked last.
    pub(crate) async fn take_ends(&self) -> Vec<End> {
        self.start_if_ended().await;
        std::mem::take(&mut self.process.lock().await.ends)
    }

    pub(crate) async fn start_if_ended(&self) {
        let mut running = self.process.lock().await;
        if running.process.is_running() {
            return;
        }
        let end = self.end(&mut running);
        running.ends.push(end);
        running.done = Done::default();
        running.starts += 1;
        // A start that fails is tried again at the next look.
        if let Ok(process) = self.program.start(running.starts) {
            running.process = process;
        }
    }

    fn end(&self, running: &mut Running) -> End {
        let status = running.process.ended();
        let log = running.process.stderr();
        let Done {
            told,
            killed,
            overdue,
        } = running.done;
        End {
            name: format!("{}.{}", self.program.name, running.starts),
            pid: running.process.pid(),
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            served: log.contains(self.program.ready),
            told,
            killed,
            overdue,
        }
    }
}

impl Program {
    /// Starts it for the `starts`th time.
    fn start(&self, starts: u32) -> anyhow::Result<Process> {
        let output = format!("{}.{starts}", self.name);
        let output = self.folder.join("processes").join(output);
        std::fs::create_dir_all(&output).context("no folder for a process's output")?;
        let mut command = match self.runs {
            Runs::Ours(binary) => command(binary),
            Runs::Installed(program) => Command::new(program),
        };
        command
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder);
        Ok(Process::start_in(&output, &self.name, command))
    }
}

fn resident_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or_default()
}
