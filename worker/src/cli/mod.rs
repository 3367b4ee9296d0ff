//! The command line of a worker: settings, logging, signals. A worker of your own gets the same with
//! `Program::new("my-worker", "1.0.0").main(|worker| worker.tool(…))`.

mod check;
mod try_tool;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use taskferry_contract::Store;
use taskferry_process::output;
use taskferry_process::telemetry::DEFAULT_FILTER;
use taskferry_process::{StopSignals, deny_inspection, raise_open_files};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Needs, WorkerConfig};
use crate::exec::{CgroupHome, CgroupSetting, Environment, Supervisor, supervise_if_told};
use crate::manifest::Manifest;
use crate::worker::{Builder, Worker};

/// How long threads that are still blocked after the drain may take.
const THREADS_END: Duration = Duration::from_secs(1);

/// What `--once` stands for.
const ONCE: [(&str, &str); 2] = [("max_jobs", "1"), ("idle_exit", "5s")];

/// The exit code if settings, a manifest or flags cannot be used.
const UNUSABLE: u8 = 2;

/// What every command begins with.
struct Prepared {
    config: WorkerConfig,
    builder: Builder,
    manifest: Option<Manifest>,
    /// What commands inherit.
    inherited: Environment,
}

/// A worker's binary.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    name: &'static str,
    version: &'static str,
    manifest_required: bool,
}

impl Program {
    /// A binary with tools of its own; with `--manifest` it also has those of a manifest.
    #[must_use]
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            manifest_required: false,
        }
    }

    /// A binary whose tools all come from a manifest.
    #[must_use]
    pub fn of_manifest(name: &'static str, version: &'static str) -> Self {
        Self {
            manifest_required: true,
            ..Self::new(name, version)
        }
    }

    /// The whole of a worker's `main`: [`Self::run`] on a runtime of its own. A handler that blocks its thread is not waited
    /// for once the worker has drained; the process ends.
    pub fn main(self, extend: impl FnOnce(Builder) -> Builder) -> ExitCode {
        supervise_if_told();
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.say(&format!("no threads to run on: {error}"));
                return ExitCode::FAILURE;
            }
        };
        let code = runtime.block_on(self.serve(extend));
        runtime.shutdown_timeout(THREADS_END);
        output::flush_log();
        code
    }

    /// Reads the settings, runs the worker until SIGTERM, SIGINT, SIGQUIT or SIGHUP, and drains. `extend` adds the tools.
    /// With the commands `check` and `try` it checks what it would run, or runs one call, and Redis is asked for nothing.
    ///
    /// Call it first and once: it reads the process's arguments and environment, starts the log and catches the signals.
    /// `--help`, `--version` and an unknown flag end the process at once.
    ///
    /// The exit code is 0 after a drain, 1 if Redis cannot be used or a second signal ended the drain, 2 if settings,
    /// manifest or `extend`'s tools cannot be used; all their problems are on standard error then. Those of `check` and
    /// `try` are in WORKERS.md.
    ///
    /// The log goes to standard error, panics included, and never holds the worker up: lines that nobody reads are lost and
    /// counted. Before this returns, it waits until the log is written, for a second at most.
    pub async fn run(self, extend: impl FnOnce(Builder) -> Builder) -> ExitCode {
        supervise_if_told();
        let code = Box::pin(self.serve(extend)).await;
        // It cannot panic, and a runtime that ends meanwhile ends the process.
        let _flushed = tokio::task::spawn_blocking(output::flush_log).await;
        code
    }

    async fn serve(self, extend: impl FnOnce(Builder) -> Builder) -> ExitCode {
        deny_inspection();
        let matches = self.command().get_matches();
        match matches.subcommand() {
            Some(("check", flags)) => check::run(self, flags, extend),
            Some(("try", flags)) => Box::pin(try_tool::run(self, flags, extend)).await,
            _ => self.work(&matches, extend).await,
        }
    }

    async fn work(self, matches: &ArgMatches, extend: impl FnOnce(Builder) -> Builder) -> ExitCode {
        let prepared = self
            .prepare(matches, DEFAULT_FILTER, extend)
            .and_then(|prepared| {
                let (builder, note) = prepared.builder.fit_open_files(raise_open_files());
                let worker = builder.build().map_err(|error| error.to_string())?;
                Ok((prepared.config, worker, note))
            });
        let (config, worker, note) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => return self.refuse(&problem),
        };
        if let Err(problem) = config.log.start() {
            self.say(&problem);
            return ExitCode::FAILURE;
        }
        for warning in config.warnings.iter().chain(&note) {
            tracing::warn!("{warning}");
        }
        match take_cgroup(&config.cgroup).await {
            Ok(Some(taken)) => tracing::info!("{taken}"),
            Ok(None) => {}
            Err(problem) => return self.refuse(&problem),
        }
        let (stop, second) = (CancellationToken::new(), CancellationToken::new());
        let kill = worker.kill_token();
        let signals = match StopSignals::catch() {
            Ok(signals) => signals,
            Err(error) => {
                self.say(&format!("signals cannot be caught: {error}"));
                return ExitCode::FAILURE;
            }
        };
        let outcome = tokio::select! {
            outcome = Box::pin(worker.run(stop.clone())) => outcome,
            () = pass_on(signals, &stop, &second, &kill) => return ExitCode::FAILURE,
        };
        match outcome {
            Ok(_drained) if second.is_cancelled() => ExitCode::FAILURE,
            Ok(_drained) => ExitCode::SUCCESS,
            Err(error) => {
                self.say(&error.sentence());
                ExitCode::FAILURE
            }
        }
    }

    /// Reads settings and manifest, and collects what the worker is made of. Redis is asked for nothing. `log` is what is
    /// logged if nothing is set.
    fn prepare(
        self,
        matches: &ArgMatches,
        log: &'static str,
        extend: impl FnOnce(Builder) -> Builder,
    ) -> Result<Prepared, String> {
        let config = self.config(matches, log)?;
        let store = Store::new(&config.redis).map_err(|error| error.to_string())?;
        let mut builder = Worker::builder(store)
            .lease(config.lease)
            .drain_timeout(config.drain_timeout)
            .max_result(config.max_result);
        if let Some(slots) = config.slots {
            builder = builder.slots(slots);
        }
        if let Some(jobs) = config.max_jobs {
            builder = builder.max_jobs(jobs);
        }
        if let Some(after) = config.idle_exit {
            builder = builder.idle_exit(after);
        }
        let load = |path: &PathBuf| Manifest::load(path).map_err(|error| error.to_string());
        let manifest = config.manifest.as_ref().map(load).transpose()?;
        let inherited = config::inherited_environment();
        if let Some(manifest) = &manifest {
            builder = builder.exec_manifest(manifest, &inherited);
        }
        Ok(Prepared {
            config,
            builder: extend(builder),
            manifest,
            inherited,
        })
    }

    fn config(self, matches: &ArgMatches, log: &'static str) -> Result<WorkerConfig, String> {
        let file = matches.get_one::<PathBuf>("config").cloned();
        let needs = Needs {
            manifest: self.manifest_required,
            log,
        };
        let config = WorkerConfig::read(flags(matches), file, needs);
        config.map_err(|problems| problems.to_string())
    }

    /// What of the manifest can be read, whatever is wrong with the rest. `None` if the settings cannot be used.
    fn readable_manifest(self, matches: &ArgMatches, log: &'static str) -> Manifest {
        let config = self.config(matches, log).ok();
        let file = config.and_then(|config| config.manifest);
        file.map_or_else(Manifest::default, |file| Manifest::readable(&file))
    }

    fn command(self) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("A TOML file of settings");
        let command = Command::new(self.name)
            .version(self.version)
            .about("Takes jobs from Redis, runs them, and writes status and results back, until it is told to stop")
            .after_help("Every setting can also be given as TASKFERRY_<NAME> in the environment, or in the file that --config or TASKFERRY_CONFIG names.")
            .arg(file.global(true))
            .arg(
                Arg::new("once")
                    .long("once")
                    .action(ArgAction::SetTrue)
                    .global(true)
                    .help("Run one job, if there is one: as --max-jobs 1 --idle-exit 5s, each unless it is set"),
            )
            .subcommand(check::command())
            .subcommand(try_tool::command());
        config::all_settings()
            .into_iter()
            .fold(command, |command, setting| {
                command.arg(
                    Arg::new(setting.name)
                        .long(setting.flag())
                        .value_name(setting.value)
                        .hide(setting.is_secret())
                        .help(setting.help)
                        .global(true),
                )
            })
    }

    /// Says what cannot be used.
    fn refuse(self, problem: &str) -> ExitCode {
        self.say(problem);
        ExitCode::from(UNUSABLE)
    }

    /// A line for whoever started the process.
    fn say(self, line: &str) {
        output::say(&format!("{}: {line}", self.name));
    }
}

/// Prints what a command was run for, on standard output. A reader that has closed the pipe is no error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _printed => Ok(()),
    }
}

/// Has commands run in cgroups of their own, where that can be had; what that is good for, if so.
async fn take_cgroup(setting: &CgroupSetting) -> Result<Option<String>, String> {
    let taken = match CgroupHome::take(setting).await {
        Ok(home) => {
            let taken = home.sentence();
            let tried = Supervisor::own_in_cgroups_of(home).await;
            let unusable = |error| format!("no process can be moved into one: {error}");
            tried.map(|()| taken).map_err(unusable)
        }
        Err(reason) => Err(reason),
    };
    match taken {
        Ok(taken) => Ok(Some(taken)),
        Err(reason) if matches!(setting, CgroupSetting::At(_)) => Err(format!("cgroup: {reason}")),
        Err(reason) => {
            tracing::debug!("commands have no cgroups of their own: {reason}");
            Ok(None)
        }
    }
}

fn flags(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let once = matches.get_flag("once");
    config::all_settings()
        .into_iter()
        .filter_map(|setting| {
            let given = matches.get_one::<String>(setting.name).cloned();
            let meant = ONCE
                .into_iter()
                .find(|(name, _)| once && *name == setting.name);
            let value = given.or(meant.map(|(_, value)| value.to_owned()))?;
            Some((setting.name, value))
        })
        .collect()
}

/// The first signal drains, the second kills, the third does not wait for anything. A hangup is never a second one.
async fn pass_on(
    mut signals: StopSignals,
    stop: &CancellationToken,
    second: &CancellationToken,
    kill: &CancellationToken,
) {
    let signal = signals.next().await;
    tracing::info!(%signal, "told to stop");
    stop.cancel();
    hurried(&mut signals).await;
    second.cancel();
    tracing::warn!("a second signal: what still runs is killed");
    kill.cancel();
    hurried(&mut signals).await;
}

async fn hurried(signals: &mut StopSignals) {
    while !signals.next().await.hurries() {}
}
