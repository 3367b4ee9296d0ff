//! Processes of a run: none outlives it, and what each takes of the CPU is read from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use taskferry_client::kept::Connection;
use tokio::process::{ChildStdin, Command};

/// How long a server may take until it serves. Under a profiler that is long.
const START: Duration = Duration::from_secs(60);
/// How long a process may take to end when asked to. A profiler writes its file then.
const END: Duration = Duration::from_secs(60);

/// A process in a group of its own, killed with all of that group when this value goes.
#[derive(Debug)]
pub(crate) struct Child {
    name: &'static str,
    group: Pid,
    child: tokio::process::Child,
    /// Held open: its end tells a child of ours that this process ended, however it did.
    _stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts a program without this one's environment; its stderr stays visible.
    pub(crate) fn start(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let id = child.id().context("a process without id")?;
        let group = Pid::from_raw(i32::try_from(id)?).context("a process without id")?;
        Ok(Self {
            name,
            group,
            // Waiting for the child would close it.
            _stdin: child.stdin.take(),
            child,
        })
    }

    /// User and system time it took so far, µs (Linux: proc(5), `/proc/pid/stat`).
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/stat", self.group.as_raw_nonzero());
        let stat = std::fs::read_to_string(&path)
            .with_context(|| format!("{} ended, or this is not Linux: no {path}", self.name))?;
        let ticks = cpu_ticks(&stat).with_context(|| format!("{path} cannot be read: {stat}"))?;
        Ok(ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Waits until it serves.
    pub(crate) async fn serves(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let ready = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
        let asking = async {
            loop {
                let answers = async {
                    let mut http = Connection::connect(address).await?;
                    http.send(ready.as_bytes()).await?.ok().map(drop)
                };
                if answers.await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = asking => Ok(()),
            ended = self.child.wait() => bail!("{} ended at its start: {}", self.name, ended?),
            () = tokio::time::sleep(START) => bail!("{} does not serve within {START:?}", self.name),
        }
    }

    /// Asks it to end: SIGTERM.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        Ok(kill_process_group(self.group, Signal::TERM)?)
    }

    /// Ends it as a power cut does: SIGKILL.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        Ok(kill_process_group(self.group, Signal::KILL)?)
    }

    /// Asks it to end, and waits until it did.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.terminate()?;
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(ended) => {
                ended?;
                Ok(())
            }
            Err(_elapsed) => bail!("{} did not end within {END:?} and is killed", self.name),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // After a wait the id may be another's.
        if self.child.id().is_some() {
            let _gone_already = kill_process_group(self.group, Signal::KILL);
        }
    }
}

/// The sum of utime and stime. The program's name, in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

/// Lets this process, a child, end when its parent does, even if that was killed.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _closed = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// A program built from this workspace, beside this one.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = own()?.with_file_name(name);
    if !Path::is_file(&path) {
        bail!(
            "there is no {}; build it: cargo build --release --workspace --bins",
            path.display()
        );
    }
    Ok(path)
}

/// This program.
pub(crate) fn own() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the path of this program is unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }
}
