//! `taskferry dead`: jobs that no worker will attempt again, for people who decide what becomes of them.

mod retry;
mod tell;

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use taskferry_contract::{DeadLetter, LetterFilter, LetterId};
use taskferry_process::settings;

use super::arguments;
use super::output::{print, say};
use crate::operator::{DeadLetters, LetterName, Operator};

pub(super) fn command() -> Command {
    let limit = Arg::new("limit")
        .long("limit")
        .value_name("N")
        .default_value("50")
        .value_parser(value_parser!(u32).range(1..=100_000))
        .help("How many at most");
    let before = Arg::new("before")
        .long("before")
        .value_name("LETTER")
        .value_parser(value_parser!(LetterId))
        .help("Only those further back than this letter: the next page");
    let older = Arg::new("older_than")
        .long("older-than")
        .value_name("DURATION")
        .value_parser(settings::duration)
        .conflicts_with("ids")
        .help("With --all: only those buried longer ago, as in 7d");
    let command = Command::new("dead")
        .about("List, show, retry or purge dead letters: jobs that no worker will attempt again")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            with_filters(Command::new("list").about("The newest first"), "Only those").args([
                limit,
                before,
                arguments::json(),
            ]),
        )
        .subcommand(
            Command::new("show")
                .about("Everything that is known of one, with its arguments")
                .arg(ids("One of them").required(true).num_args(1))
                .arg(arguments::json()),
        )
        .subcommand(with_choice(
            Command::new("retry")
                .about("Queue jobs again, each as a new task with all its attempts")
                .arg(retry::second_run())
                .arg(arguments::json()),
        ))
        .subcommand(with_choice(
            Command::new("purge")
                .about("Throw letters away; the records of their tasks stay until their ttl")
                .arg(older),
        ));
    arguments::with_redis(command)
}

fn ids(help: &'static str) -> Arg {
    Arg::new("ids")
        .value_name("ID")
        .num_args(1..)
        .help(format!("{help}: the letter's id, or the task's"))
}

/// `only` begins the help of each.
fn with_filters(command: Command, only: &str) -> Command {
    command
        .arg(
            Arg::new("tool")
                .long("tool")
                .value_name("TOOL")
                .help(format!("{only} of this tool")),
        )
        .arg(
            Arg::new("reason")
                .long("reason")
                .value_name("TEXT")
                .help(format!(
                    "{only} whose reason contains this, in any case of letters"
                )),
        )
}

/// Some by their ids, or all that the filters let through.
fn with_choice(command: Command) -> Command {
    let all = Arg::new("all")
        .long("all")
        .action(ArgAction::SetTrue)
        .help("All of them, or those that --tool and --reason choose");
    with_filters(command, "With --all: only those")
        .mut_args(|arg| match arg.get_id().as_str() {
            "tool" | "reason" => arg.conflicts_with("ids"),
            _ => arg,
        })
        .args([ids("Some of them"), all])
        .group(ArgGroup::new("which").args(["ids", "all"]).required(true))
}

/// Runs a subcommand. Returns whether all of it went well.
pub(super) async fn run(operator: &Operator, args: &ArgMatches) -> anyhow::Result<bool> {
    let letters = operator.dead_letters();
    match args.subcommand() {
        Some(("list", args)) => list(&letters, args).await,
        Some(("show", args)) => {
            for id in given(args) {
                let letter = find(&letters, id).await?;
                let detail = letters.detail(&letter).await?;
                tell::show(&letter, &detail, args.get_flag("json"));
            }
            Ok(true)
        }
        Some(("retry", args)) => {
            let mut retry = retry::Retry::new(letters.retrier().await?, args);
            let mut well = true;
            let found = for_each(&letters, args, async |some: Vec<DeadLetter>| {
                for letter in &some {
                    well &= retry.retry(letter).await?;
                }
                Ok(())
            })
            .await?;
            Ok(found & retry.tell_kept() && well)
        }
        Some(("purge", args)) => {
            let mut purged = 0;
            let found = for_each(&letters, args, async |some: Vec<DeadLetter>| {
                purged += letters.purge(&some).await?;
                Ok(())
            })
            .await?;
            print(&format!("dead letters purged: {purged}"));
            Ok(found)
        }
        _ => bail!("say what to do: list, show, retry or purge"),
    }
}

async fn list(letters: &DeadLetters<'_>, args: &ArgMatches) -> anyhow::Result<bool> {
    let limit = args.get_one::<u32>("limit").map_or(0, |limit| *limit);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let filter = LetterFilter {
        before_id: args.get_one::<LetterId>("before").copied(),
        ..filter(args)
    };
    let page = letters.list(&filter, limit).await?;
    tell::list(&page.letters, args.get_flag("json"));
    if let (true, Some(last)) = (page.has_more, page.letters.last()) {
        say(&format!("there are more: --before {}", last.id));
    }
    Ok(true)
}

fn filter(args: &ArgMatches) -> LetterFilter {
    LetterFilter {
        tool: args.get_one::<String>("tool").cloned(),
        reason: args.get_one::<String>("reason").cloned(),
        ..LetterFilter::default()
    }
}

fn given(args: &ArgMatches) -> impl Iterator<Item = &String> {
    args.get_many::<String>("ids").into_iter().flatten()
}

/// Handles the letters that were chosen, batch by batch, none that is buried meanwhile. Returns whether all that were named
/// exist, and prints which do not.
async fn for_each(
    letters: &DeadLetters<'_>,
    args: &ArgMatches,
    mut handle: impl AsyncFnMut(Vec<DeadLetter>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    if !args.get_flag("all") {
        let mut found = true;
        for id in given(args) {
            match find(letters, id).await {
                Ok(letter) => handle(vec![letter]).await?,
                Err(error) => {
                    say(&format!("taskferry: {error:#}"));
                    found = false;
                }
            }
        }
        return Ok(found);
    }
    let older = args.try_get_one::<Duration>("older_than").ok().flatten();
    let older = older.copied().unwrap_or_default();
    let mut batches = letters.all(filter(args), older).await?;
    loop {
        let some = batches.next().await?;
        if some.is_empty() {
            return Ok(true);
        }
        handle(some).await?;
    }
}

/// A letter by its own id or its task's.
async fn find(letters: &DeadLetters<'_>, id: &str) -> anyhow::Result<DeadLetter> {
    let found = letters.find(id.parse::<LetterName>()?).await?;
    found.with_context(|| format!("there is no dead letter {id}; see: taskferry dead list"))
}
