//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::row::Group;

/// What this process is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Measure.
    Run(Options),
    /// Measure how long recovery takes.
    Recovery(Recovery),
    /// Measure how callers take turns.
    Fairness(Fairness),
    /// Measure what tasks take in Redis.
    Memory(Memory),
    /// Measure what an idle fleet costs Redis.
    Idle(Idle),
    /// Be many workers of such a fleet.
    Pack(Pack),
    /// Be the worker of a recovery.
    Holder(Holder),
    /// Be the bare yardstick.
    Bare(Part),
    /// Work jobs off.
    Worker(Part),
}

/// How a run is made.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Requests or lifecycles under way at once, where it is not one.
    pub(crate) concurrency: usize,
    /// How long each row is measured in each round.
    pub(crate) length: Duration,
    /// How often all rows are measured.
    pub(crate) rounds: usize,
    /// The text in the arguments and in the result of a job, bytes.
    pub(crate) payload_bytes: usize,
    /// What is measured.
    pub(crate) groups: Vec<Group>,
    /// A program and its arguments under which the front end runs; empty for none.
    pub(crate) wrapper: Vec<String>,
    /// Where the figures go as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// How recovery is measured.
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    /// How often each fault is made.
    pub(crate) runs: usize,
    /// Where the figures go as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// How it is measured how callers take turns.
#[derive(Debug, Clone)]
pub(crate) struct Fairness {
    /// How many jobs one caller queues.
    pub(crate) jobs: u32,
    /// How many jobs of a caller may be ready.
    pub(crate) share: u64,
    /// How many jobs the worker runs at once.
    pub(crate) slots: usize,
    /// Where the figures go as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// How memory is measured.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// How many tasks are weighed together.
    pub(crate) tasks: u32,
    /// Where the figures go as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// How an idle fleet is measured.
#[derive(Debug, Clone)]
pub(crate) struct Idle {
    /// How many workers each row has.
    pub(crate) workers: Vec<usize>,
    /// How long each is measured.
    pub(crate) length: Duration,
    /// Whether the share of each command is shown.
    pub(crate) by_command: bool,
    /// Where the figures go as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// What a process with many workers is told.
#[derive(Debug, Clone)]
pub(crate) struct Pack {
    /// Redis.
    pub(crate) redis_url: String,
    /// How many it is.
    pub(crate) workers: usize,
}

/// What the worker of a recovery is told.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    /// Redis.
    pub(crate) redis_url: String,
    /// What its keys begin with.
    pub(crate) prefix: String,
    /// Its lease.
    pub(crate) lease: Duration,
}

/// What a child of a run is told.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Redis.
    pub(crate) redis_url: String,
    /// As in [`Options`].
    pub(crate) payload_bytes: usize,
    /// Where the bare yardstick listens.
    pub(crate) listen: SocketAddr,
    /// How many jobs the worker runs at once.
    pub(crate) slots: usize,
}

/// Reads the command line; ends the process if it is wrong, or asks for help.
pub(crate) fn read() -> Order {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("recovery", args)) => Order::Recovery(Recovery {
            runs: count(args, "runs"),
            json: args.get_one("json").cloned(),
        }),
        Some(("fairness", args)) => Order::Fairness(Fairness {
            jobs: args.get_one("jobs").copied().unwrap_or(1),
            share: args.get_one::<u32>("share").copied().map_or(1, u64::from),
            slots: count(args, "slots"),
            json: args.get_one("json").cloned(),
        }),
        Some(("memory", args)) => Order::Memory(Memory {
            tasks: args.get_one("tasks").copied().unwrap_or(1),
            json: args.get_one("json").cloned(),
        }),
        Some(("idle", args)) => Order::Idle(idle(args)),
        Some(("pack", args)) => Order::Pack(Pack {
            redis_url: text(args, "redis-url"),
            workers: count(args, "workers"),
        }),
        Some(("holder", args)) => Order::Holder(holder(args)),
        Some(("bare", args)) => Order::Bare(part(args)),
        Some(("worker", args)) => Order::Worker(part(args)),
        _ => Order::Run(options(&matches)),
    }
}

fn command() -> clap::Command {
    clap::Command::new("taskferry-bench")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Measures the front end against two yardsticks in one run")
        .args([
            number("concurrency", "32", "Requests or lifecycles under way at once, 1 to 60"),
            length("4", "How long each row is measured in each round"),
            number("rounds", "3", "How often all rows are measured, in turn"),
            number("payload", "200", "The text in a job's arguments and in its result, bytes"),
            Arg::new("only")
                .long("only")
                .value_name("GROUPS")
                .value_delimiter(',')
                .default_values(Group::ALL.map(Group::name))
                .value_parser(Group::ALL.map(Group::name))
                .help("What is measured, comma-separated"),
            Arg::new("wrap-server")
                .long("wrap-server")
                .value_name("COMMAND")
                .default_value("")
                .help("Run the front end under this, as in 'valgrind --tool=callgrind'; its figures then mean nothing, and no aim is judged"),
            json(),
        ])
        .subcommand(
            clap::Command::new("recovery")
                .about("Measures how long it takes until work goes on after a fault")
                .args([number("runs", "20", "How often each fault is made"), json()]),
        )
        .subcommand(
            clap::Command::new("fairness")
                .about("Measures by how many jobs of one caller another is held up, with a share of ready jobs and without")
                .args([
                    number("jobs", "20000", "How many jobs the one caller queues"),
                    number("share", "16", "How many jobs of a caller may be ready (owner_share)"),
                    number("slots", "8", "How many jobs the worker runs at once"),
                    json(),
                ]),
        )
        .subcommand(
            clap::Command::new("memory")
                .about("Measures what tasks take in Redis, by the size of their texts")
                .args([number("tasks", "10000", "How many tasks are weighed together"), json()]),
        )
        .subcommand(idle_command())
        .subcommand(
            clap::Command::new("pack")
                .hide(true)
                .args([needed("redis-url"), number("workers", "1", "")]),
        )
        .subcommand(
            clap::Command::new("holder").hide(true).args([
                needed("redis-url"),
                needed("prefix"),
                needed("lease-ms").value_parser(value_parser!(u64)),
            ]),
        )
        .subcommands(["bare", "worker"].map(|name| clap::Command::new(name).hide(true).args(parts())))
}

fn idle_command() -> clap::Command {
    clap::Command::new("idle")
        .about("Measures how many commands a second an idle fleet costs Redis")
        .args([
            Arg::new("workers")
                .long("workers")
                .value_name("N,…")
                .value_delimiter(',')
                .default_values(["1", "10", "100", "1000"])
                .value_parser(value_parser!(u32).range(1..=10_000))
                .help("How many workers each row has, beside 3 front ends"),
            length("20", "How long each row is measured"),
            Arg::new("by-command")
                .long("by-command")
                .action(ArgAction::SetTrue)
                .help("Also show each command's share"),
            json(),
        ])
}

fn length(default: &'static str, help: &'static str) -> Arg {
    Arg::new("seconds")
        .long("seconds")
        .value_name("S")
        .default_value(default)
        .value_parser(seconds)
        .help(help)
}

fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let range = if name == "concurrency" {
        1..=60
    } else {
        1..=1_000_000
    };
    Arg::new(name)
        .long(name)
        .value_name("N")
        .default_value(default)
        .value_parser(value_parser!(u32).range(range))
        .help(help)
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Also write the figures here")
}

fn needed(name: &'static str) -> Arg {
    Arg::new(name).long(name).required(true)
}

fn parts() -> [Arg; 4] {
    [
        needed("redis-url"),
        needed("listen").value_parser(value_parser!(SocketAddr)),
        number("payload", "200", ""),
        number("slots", "1", ""),
    ]
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .filter(|seconds| (0.1..=600.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "must be 0.1 to 600".to_owned())
}

fn count(args: &ArgMatches, name: &str) -> usize {
    let given = args.get_one::<u32>(name).copied().unwrap_or(1);
    usize::try_from(given).unwrap_or(1)
}

fn options(args: &ArgMatches) -> Options {
    let only: Vec<&String> = args.get_many("only").into_iter().flatten().collect();
    let wrapper = args.get_one::<String>("wrap-server");
    Options {
        concurrency: count(args, "concurrency"),
        length: args.get_one("seconds").copied().unwrap_or_default(),
        rounds: count(args, "rounds"),
        payload_bytes: count(args, "payload"),
        groups: Group::ALL
            .into_iter()
            .filter(|group| only.iter().any(|name| *name == group.name()))
            .collect(),
        wrapper: wrapper
            .into_iter()
            .flat_map(|text| text.split_whitespace().map(ToOwned::to_owned))
            .collect(),
        json: args.get_one("json").cloned(),
    }
}

fn idle(args: &ArgMatches) -> Idle {
    let workers = args.get_many::<u32>("workers").into_iter().flatten();
    Idle {
        workers: workers
            .filter_map(|count| usize::try_from(*count).ok())
            .collect(),
        length: args.get_one("seconds").copied().unwrap_or_default(),
        by_command: args.get_flag("by-command"),
        json: args.get_one("json").cloned(),
    }
}

fn text(args: &ArgMatches, name: &str) -> String {
    args.get_one::<String>(name).cloned().unwrap_or_default()
}

fn holder(args: &ArgMatches) -> Holder {
    let lease_ms = args.get_one("lease-ms").copied().unwrap_or_default();
    Holder {
        redis_url: text(args, "redis-url"),
        prefix: text(args, "prefix"),
        lease: Duration::from_millis(lease_ms),
    }
}

fn part(args: &ArgMatches) -> Part {
    Part {
        redis_url: text(args, "redis-url"),
        payload_bytes: count(args, "payload"),
        listen: args
            .get_one("listen")
            .copied()
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        slots: count(args, "slots"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_has_its_defaults() {
        command().debug_assert();
        let options = options(&command().get_matches_from(["taskferry-bench"]));
        assert_eq!((options.concurrency, options.rounds), (32, 3));
        assert_eq!(options.length, Duration::from_secs(4));
        assert_eq!(options.groups, Group::ALL);
        assert!(options.wrapper.is_empty());
        let recovery = command().get_matches_from(["taskferry-bench", "recovery"]);
        let (_, args) = recovery.subcommand().unwrap();
        assert_eq!(count(args, "runs"), 20);
        let fairness = command().get_matches_from(["taskferry-bench", "fairness"]);
        let (_, args) = fairness.subcommand().unwrap();
        assert_eq!((count(args, "jobs"), count(args, "share")), (20_000, 16));
        let memory = command().get_matches_from(["taskferry-bench", "memory"]);
        let (_, args) = memory.subcommand().unwrap();
        assert_eq!(count(args, "tasks"), 10_000);
        let measured = command().get_matches_from(["taskferry-bench", "idle"]);
        let idle = idle(measured.subcommand().unwrap().1);
        assert_eq!(idle.workers, [1, 10, 100, 1_000]);
        assert_eq!(
            (idle.length, idle.by_command),
            (Duration::from_secs(20), false)
        );
    }

    #[test]
    fn what_is_measured_can_be_narrowed() {
        let args = ["taskferry-bench", "--only", "poll", "--seconds", "0.5"];
        let options = options(&command().get_matches_from(args));
        assert_eq!(options.groups, [Group::Poll]);
        assert_eq!(options.length, Duration::from_millis(500));
        assert!(seconds("0").is_err() && seconds("x").is_err() && seconds("NaN").is_err());
    }
}
