//! `taskferry pause` and `taskferry resume`: queues and tools whose jobs are not to begin for a while.

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use taskferry_contract::{Pausable, Pause, Paused};

use super::arguments;
use super::format::{moment, plain};
use super::output::{print, say};
use crate::operator::{Operator, Resumed};

/// What can be paused: what it is called here, and what is said of it.
const KINDS: [(&str, &str); 2] = [
    ("queue", "All jobs of a queue, whatever their tool"),
    ("tool", "All jobs of a tool, on whatever queue"),
];

fn name() -> Arg {
    Arg::new("name").value_name("NAME").required(true)
}

pub(super) fn pause_command() -> Command {
    let reason = Arg::new("reason")
        .long("reason")
        .value_name("TEXT")
        .help("Why: callers whose tasks wait are told this");
    let by = Arg::new("by")
        .long("by")
        .value_name("WHO")
        .help("Who pauses it, for other operators [default: the user who runs this]");
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .help("Also if no tool is registered for that name yet");
    let command = Command::new("pause")
        .about("Let no job of a queue or a tool begin until it is resumed; what runs goes on")
        .after_help("Calls are accepted, and wait in their order; their ttl goes on. `taskferry status` lists what is paused.")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let command = KINDS.iter().fold(command, |command, (kind, about)| {
        let args = [name(), reason.clone(), by.clone(), force.clone()];
        command.subcommand(Command::new(*kind).about(*about).args(args))
    });
    arguments::with_redis(command)
}

pub(super) fn resume_command() -> Command {
    let command = Command::new("resume")
        .about("Let the jobs of a queue or a tool that is paused begin again, in their order")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let command = KINDS.iter().fold(command, |command, (kind, about)| {
        command.subcommand(Command::new(*kind).about(*about).arg(name()))
    });
    arguments::with_redis(command)
}

/// Pauses a queue or a tool, as `user` if no flag says who.
pub(super) async fn pause(
    operator: &Operator,
    user: &str,
    args: &ArgMatches,
) -> anyhow::Result<bool> {
    let (what, args) = named(args)?;
    let pausing = operator.pausing();
    if !args.get_flag("force") && !pausing.is_known(&what).await? {
        bail!(
            "{}; to pause it before its workers come: --force",
            unknown(&what)
        );
    }
    let text = |flag: &str| args.get_one::<String>(flag).map(String::as_str);
    let by = text("by").unwrap_or(user);
    let reason = text("reason").unwrap_or_default();
    match pausing.pause(&what, by, reason).await? {
        Paused::Now(_) => print(&format!("{what} is paused; what runs goes on")),
        Paused::Before(pause) => {
            let was = since(&pause);
            let told = if reason.is_empty() {
                format!("{what} was paused before, {was}")
            } else {
                format!("{what} was paused before, {was}; it has a new reason now")
            };
            print(&told);
        }
    }
    Ok(true)
}

/// Resumes a queue or a tool.
pub(super) async fn resume(operator: &Operator, args: &ArgMatches) -> anyhow::Result<bool> {
    let (what, _) = named(args)?;
    let pausing = operator.pausing();
    let Some(Resumed { was, left }) = pausing.resume(&what).await? else {
        if !pausing.is_known(&what).await? {
            bail!("{}", unknown(&what));
        }
        print(&format!("{what} was not paused"));
        return Ok(true);
    };
    print(&format!("{what} is resumed; it was paused {}", since(&was)));
    for pause in &left.0 {
        say(&format!(
            "taskferry: {} is still paused, {}",
            pause.what,
            since(pause)
        ));
    }
    Ok(true)
}

/// Since when, by whom and why.
pub(super) fn since(pause: &Pause) -> String {
    let by = match pause.by.as_str() {
        "" | "-" => String::new(),
        by => format!(" by {}", plain(by)),
    };
    let reason = match pause.reason.as_str() {
        "" => String::new(),
        reason => format!(": {}", plain(reason)),
    };
    format!("since {}{by}{reason}", moment(pause.since_ms))
}

/// What the words name.
fn named(args: &ArgMatches) -> anyhow::Result<(Pausable, &ArgMatches)> {
    let Some((kind, args)) = args.subcommand() else {
        bail!("say what: queue or tool, and its name");
    };
    let name = args.get_one::<String>("name").cloned().unwrap_or_default();
    let what = if kind == "queue" {
        name.parse().map(Pausable::Queue)
    } else {
        name.parse().map(Pausable::Tool)
    };
    Ok((what.context("there can be none of this name")?, args))
}

fn unknown(what: &Pausable) -> String {
    let name = what.name();
    match what {
        Pausable::Queue(_) => format!(
            "no tool is registered for the queue {name:?}, and no worker reads it; see: taskferry status"
        ),
        Pausable::Tool(_) => {
            format!("no tool {name:?} is registered; see: taskferry tools list")
        }
    }
}
