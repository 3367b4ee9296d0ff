//! `taskferry dead`: jobs that will not be retried by themselves, for people who look after them.

mod retry;
mod tell;

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use taskferry_contract::{DeadLetter, LetterFilter, LetterId, Store, TaskId};
use taskferry_process::settings;

use super::logging::{print, say};
use super::operator;
use crate::config::OperatorConfig;

/// So many letters are handled at once.
const BATCH: usize = 200;

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
        .about(
            "List, show, retry or purge dead letters: jobs that will not be retried by themselves",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            with_filters(Command::new("list").about("The newest first"), "Only those").args([
                limit,
                before,
                operator::json(),
            ]),
        )
        .subcommand(
            Command::new("show")
                .about("Everything that is known of one, with its arguments")
                .arg(ids("One of them").required(true).num_args(1))
                .arg(operator::json()),
        )
        .subcommand(with_choice(
            Command::new("retry")
                .about("Queue jobs again, each as a new task with all its attempts")
                .arg(retry::second_run())
                .arg(operator::json()),
        ))
        .subcommand(with_choice(
            Command::new("purge")
                .about("Throw letters away; the records of their tasks stay until their ttl")
                .arg(older),
        ));
    operator::with_redis(command)
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

/// Runs a subcommand; says whether all of it went well.
pub(super) async fn run(config: &OperatorConfig, args: &ArgMatches) -> anyhow::Result<bool> {
    let store = Store::new(&config.redis).context("redis_url cannot be used")?;
    match args.subcommand() {
        Some(("list", args)) => list(&store, args).await,
        Some(("show", args)) => {
            for id in given(args) {
                let letter = find(&store, id).await?;
                tell::show(&store, &letter, args.get_flag("json")).await?;
            }
            Ok(true)
        }
        Some(("retry", args)) => {
            let mut retry = retry::Retry::new(&store, args).await?;
            let mut well = true;
            for_each(&store, args, async |letters: Vec<DeadLetter>| {
                for letter in &letters {
                    well &= retry.retry(letter).await?;
                }
                Ok(())
            })
            .await
            .map(|found| found & retry.tell_kept() && well)
        }
        Some(("purge", args)) => {
            let mut purged = 0;
            let found = for_each(&store, args, async |letters: Vec<DeadLetter>| {
                let ids: Vec<LetterId> = letters.iter().map(|letter| letter.id).collect();
                purged += store.purge_dead(&ids).await?;
                Ok(())
            })
            .await?;
            print(&format!("dead letters purged: {purged}"));
            Ok(found)
        }
        _ => bail!("say what to do: list, show, retry or purge"),
    }
}

async fn list(store: &Store, args: &ArgMatches) -> anyhow::Result<bool> {
    let limit = args.get_one::<u32>("limit").map_or(0, |limit| *limit);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let filter = LetterFilter {
        before: args.get_one::<LetterId>("before").copied(),
        ..filter(args)
    };
    let mut letters = store.dead_letters(&filter, limit.saturating_add(1)).await?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    tell::list(&letters, args.get_flag("json"));
    if let (true, Some(last)) = (more, letters.last()) {
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

/// Handles the letters that were chosen, batch by batch, none that is buried meanwhile. Says whether all that were named
/// are there; what is not is told.
async fn for_each(
    store: &Store,
    args: &ArgMatches,
    mut handle: impl AsyncFnMut(Vec<DeadLetter>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    if !args.get_flag("all") {
        let mut found = true;
        for id in given(args) {
            match find(store, id).await {
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
    let older_ms = older.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    // Not one of this very moment: a job that is retried and fails at once would come up again.
    let until_ms = store.now_ms().await?.saturating_sub(older_ms);
    let mut filter = LetterFilter {
        until_ms: Some(until_ms),
        ..filter(args)
    };
    loop {
        let letters = store.dead_letters(&filter, BATCH).await?;
        let Some(last) = letters.last() else {
            return Ok(true);
        };
        filter.before = Some(last.id);
        handle(letters).await?;
    }
}

/// A letter by its own id or its task's.
async fn find(store: &Store, id: &str) -> anyhow::Result<DeadLetter> {
    let found = match (id.parse::<LetterId>(), id.parse::<TaskId>()) {
        (Ok(letter), _) => store.dead_letter_at(letter).await?,
        (_, Ok(task)) => store.dead_letter_of(task).await?,
        _ => bail!(
            "{id:?} is neither the id of a dead letter, as in 0:1795405088549-0, nor that of a task"
        ),
    };
    found.with_context(|| format!("there is no dead letter {id}; see: taskferry dead list"))
}
