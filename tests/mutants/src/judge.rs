//! Makes a change, runs the suites until one notices it, and takes it back.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::copy::Copy;
use crate::mutant::Mutant;
use crate::output::say;
use crate::suites::{Suite, suites_for};

/// How long a runner that was told to end may take to end its tests.
const WIND_DOWN: Duration = Duration::from_secs(20);

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// A test failed; which one.
    Noticed(String),
    /// It took too long, as it does in an endless loop.
    TimedOut,
    /// It is no program any more.
    DoesNotBuild,
    /// No test failed.
    Survived,
}

/// How a command ended.
enum Ran {
    Ok,
    /// With the first test that failed.
    Failed(String),
    DidNotBuild,
    TimedOut,
}

/// How nextest ends when it could not build the tests; a test that failed is another code.
const BUILD_FAILED: i32 = 101;

pub(crate) struct Judge<'a> {
    copy: &'a Copy,
    timeout: Duration,
    has_nextest: bool,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(copy: &'a Copy, timeout: Duration) -> Self {
        let mut nextest = std::process::Command::new("cargo");
        nextest.args(["nextest", "--version"]);
        let has_nextest = nextest.output().is_ok_and(|output| output.status.success());
        Self {
            copy,
            timeout,
            has_nextest,
        }
    }

    /// The suites must pass on the code as it is; else they would notice everything.
    pub(crate) async fn baseline(&self, sample: &[Mutant]) -> anyhow::Result<()> {
        let suites: BTreeSet<Suite> = sample
            .iter()
            .flat_map(|mutant| suites_for(&mutant.file))
            .collect();
        for suite in suites {
            say(&format!("as it is: {suite}"));
            let started = Instant::now();
            for command in suite.commands(self.has_nextest) {
                match self.cargo(&command, self.timeout).await? {
                    Ran::Ok => {}
                    Ran::DidNotBuild => bail!(
                        "{suite} does not build as it is; see {}",
                        self.log().display()
                    ),
                    Ran::Failed(test) => bail!(
                        "{suite} fails on the code as it is: {test}; see {}",
                        self.log().display()
                    ),
                    Ran::TimedOut => bail!("{suite} takes too long on the code as it is"),
                }
            }
            say(&format!("  passes in {} s", started.elapsed().as_secs()));
        }
        Ok(())
    }

    pub(crate) async fn judge(&self, mutant: &Mutant) -> anyhow::Result<Verdict> {
        let text = self.copy.read(&mutant.file)?;
        let changed = mutant.apply(&text).context("the file is another by now")?;
        self.copy.write(&mutant.file, &changed)?;
        let verdict = self.run_suites(mutant).await;
        self.copy.write(&mutant.file, &text)?;
        verdict
    }

    async fn run_suites(&self, mutant: &Mutant) -> anyhow::Result<Verdict> {
        let until = Instant::now() + self.timeout;
        for suite in suites_for(&mutant.file) {
            let mut commands = suite.commands(self.has_nextest);
            let tests = commands.pop().unwrap_or_default();
            for build in commands {
                match self
                    .cargo(&build, until.saturating_duration_since(Instant::now()))
                    .await?
                {
                    Ran::Ok => {}
                    Ran::Failed(_) | Ran::DidNotBuild => return Ok(Verdict::DoesNotBuild),
                    Ran::TimedOut => return Ok(Verdict::TimedOut),
                }
            }
            match self
                .cargo(&tests, until.saturating_duration_since(Instant::now()))
                .await?
            {
                Ran::Ok => {}
                Ran::Failed(test) => return Ok(Verdict::Noticed(test)),
                Ran::DidNotBuild => return Ok(Verdict::DoesNotBuild),
                Ran::TimedOut => return Ok(Verdict::TimedOut),
            }
        }
        Ok(Verdict::Survived)
    }

    fn log(&self) -> std::path::PathBuf {
        self.copy.root.with_extension("log")
    }

    /// Runs cargo in the copy.
    async fn cargo(&self, arguments: &[String], limit: Duration) -> anyhow::Result<Ran> {
        let log = File::create(self.log())?;
        let mut command = Command::new("cargo");
        command
            .args(arguments)
            .current_dir(&self.copy.root)
            .env("CARGO_TARGET_DIR", &self.copy.target)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().context("cargo")?;
        let ended: Option<ExitStatus> = tokio::select! {
            status = child.wait() => Some(status?),
            () = sleep(limit) => {
                end(&mut child).await;
                None
            }
            _ = tokio::signal::ctrl_c() => {
                end(&mut child).await;
                bail!("interrupted");
            }
        };
        Ok(match ended {
            None => Ran::TimedOut,
            Some(status) if status.success() => Ran::Ok,
            Some(status) if self.has_nextest && status.code() == Some(BUILD_FAILED) => {
                Ran::DidNotBuild
            }
            Some(_) => Ran::Failed(self.first_failure()?),
        })
    }

    /// The first test that failed, by the runner's output.
    fn first_failure(&self) -> anyhow::Result<String> {
        let text = std::fs::read(self.log())?;
        let text = String::from_utf8_lossy(&text);
        let failed = text.lines().find_map(|line| {
            let line = line.trim();
            let is_failed = ["FAIL [", "TIMEOUT [", "SIG"]
                .iter()
                .any(|start| line.starts_with(start));
            if is_failed {
                let test = line.split_once("] ")?.1;
                // Before its name stands how many ran so far.
                return Some(test.rsplit(") ").next().unwrap_or(test).to_owned());
            }
            let of_cargo = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
            Some(of_cargo.to_owned())
        });
        Ok(failed.unwrap_or_else(|| "no test, but the command".to_owned()))
    }
}

/// Ends a runner and the tests below it: those of nextest are in groups of their own, which it ends itself.
async fn end(child: &mut Child) {
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    for signal in [Signal::TERM, Signal::KILL] {
        if let Some(group) = group {
            // Fails if all of it has ended.
            let _has_ended = kill_process_group(group, signal);
        }
        if timeout(WIND_DOWN, child.wait()).await.is_ok() {
            return;
        }
    }
}
