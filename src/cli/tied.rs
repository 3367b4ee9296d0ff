//! `taskferry tied PARENT PROGRAM …`: becomes a program that gets a signal to end when its parent ends, however that ends.
//! Of use to `taskferry dev` alone, whose Redis and worker must not outlive it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command as Cli, value_parser};
use rustix::process::{Pid, getppid};

const NAME: &str = "tied";

pub(super) fn command() -> Cli {
    Cli::new(NAME)
        .hide(true)
        .arg(
            Arg::new("parent")
                .required(true)
                .value_parser(value_parser!(i32)),
        )
        .arg(
            Arg::new("program")
                .required(true)
                .num_args(1..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
        )
}

/// A command that runs `program`, with the arguments that are added, tied to this process.
///
/// The system means the thread that starts it: that must be one that lives as long as the process, as the main one does.
pub(super) fn to_this(program: &Path) -> anyhow::Result<tokio::process::Command> {
    let own = std::env::current_exe().context("the path of this program is unknown")?;
    let mut command = tokio::process::Command::new(own);
    command
        .arg(NAME)
        .arg(std::process::id().to_string())
        .arg(program);
    Ok(command)
}

/// Becomes the program; returns only if that failed.
pub(super) fn run(args: &ArgMatches) -> anyhow::Result<bool> {
    let parent = args.get_one::<i32>("parent").copied().unwrap_or_default();
    let mut words = args.get_many::<OsString>("program").into_iter().flatten();
    let program = words.next().context("there is no program to run")?;
    end_with_parent()?;
    if getppid() != Pid::from_raw(parent) {
        bail!(
            "process {parent} has ended: nobody needs {}",
            program.display()
        );
    }
    let failed = std::process::Command::new(program).args(words).exec();
    Err(failed).with_context(|| format!("{} cannot be started", program.display()))
}

#[cfg(target_os = "linux")]
fn end_with_parent() -> anyhow::Result<()> {
    let signal = Some(rustix::process::Signal::TERM);
    rustix::process::set_parent_process_death_signal(signal)
        .context("the end of the parent cannot be waited for")
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> anyhow::Result<()> {
    Ok(())
}
