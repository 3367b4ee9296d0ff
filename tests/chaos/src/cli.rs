//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::sabotage::Sabotage;
use crate::schedule::{Timed, kind_names, schedule};

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order {
    Run(Options),
    PrintSchedule(Vec<Timed>),
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    /// The kinds of faults, if not all.
    pub(crate) only: Vec<String>,
    pub(crate) server: Option<PathBuf>,
    pub(crate) sabotage: Option<Sabotage>,
    /// How long everything may take to come to its end after the faults.
    pub(crate) settle: Duration,
    /// Where folders of evidence are made.
    pub(crate) evidence: PathBuf,
}

impl Options {
    /// The faults of the run.
    pub(crate) fn schedule(&self) -> Vec<Timed> {
        schedule(self.seed, self.length, &self.only)
    }
}

/// Reads the command line; `run` is meant if no subcommand is named.
pub(crate) fn read() -> Order {
    let mut words: Vec<String> = std::env::args().collect();
    let named = words
        .get(1)
        .is_some_and(|word| ["run", "help", "--help", "-h"].contains(&word.as_str()));
    if !named {
        words.insert(1.min(words.len()), "run".to_owned());
    }
    let matches = command().get_matches_from(words);
    let (_, run) = matches.subcommand().expect("a subcommand is required");
    order(run)
}

fn order(matches: &ArgMatches) -> Order {
    let number = |name: &str| *matches.get_one::<u64>(name).expect("it has a default");
    let seconds = |name: &str| Duration::from_secs(number(name));
    let named = matches.get_one::<String>("sabotage");
    let options = Options {
        seed: number("seed"),
        length: seconds("seconds"),
        only: matches
            .get_many::<String>("only")
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
        server: matches.get_one::<PathBuf>("server").cloned(),
        sabotage: named.and_then(|name| Sabotage::ALL.into_iter().find(|one| one.name() == name)),
        settle: seconds("settle"),
        evidence: matches
            .get_one::<PathBuf>("evidence")
            .expect("it has a default")
            .clone(),
    };
    if matches.get_flag("print-schedule") {
        return Order::PrintSchedule(options.schedule());
    }
    Order::Run(options)
}

fn command() -> Command {
    let about = "Runs everything under faults and checks what came of every task (the default)";
    Command::new(env!("CARGO_BIN_NAME"))
        .about("Runs Taskferry under faults from a seeded schedule")
        .subcommand_required(true)
        .subcommand(
            Command::new("run")
                .about(about)
                .args(bounds())
                .args(choices()),
        )
}

/// How much.
fn bounds() -> Vec<Arg> {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .default_value(default)
            .value_parser(value_parser!(u64))
            .help(help)
    };
    let seed = "Chooses faults and calls; of 3, 7, 11, … Redis loses its data";
    let settle = "How many seconds everything may take to end after the faults";
    vec![
        number("seed", "1", seed),
        number("seconds", "30", "How long faults are made")
            .value_parser(value_parser!(u64).range(1..=86_400)),
        number("settle", "60", settle),
    ]
}

/// What, and with what.
fn choices() -> Vec<Arg> {
    let named = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let path = value_parser!(PathBuf);
    let sabotages = PossibleValuesParser::new(Sabotage::ALL.map(Sabotage::name));
    vec![
        named("only", "KINDS", "Makes faults of these kinds alone")
            .value_delimiter(',')
            .value_parser(PossibleValuesParser::new(kind_names())),
        named(
            "server",
            "PATH",
            "The server binary [default: redis-server]",
        )
        .value_parser(path.clone()),
        named(
            "evidence",
            "PATH",
            "Where the evidence of a failed run is left",
        )
        .value_parser(path)
        .default_value("target/chaos"),
        named(
            "sabotage",
            "LAW",
            "Breaks a law on purpose: the run must fail",
        )
        .value_parser(sabotages),
        named("print-schedule", "", "Only prints which fault comes when")
            .action(ArgAction::SetTrue),
    ]
}
