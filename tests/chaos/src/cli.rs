//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::sabotage::Sabotage;
use crate::schedule::{SPARE_WORKERS, Timed, kind_names, schedule};
use crate::topology::Fleet;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Order {
    Run(Options),
    Soak(Soak),
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
    pub(crate) fleet: Fleet,
    pub(crate) lease: Duration,
    /// How long everything may take to come to its end after the faults.
    pub(crate) settle: Duration,
    /// Where folders of evidence are made.
    pub(crate) evidence: PathBuf,
    /// How many producers there are, half of them of either era.
    pub(crate) producers: usize,
    /// Of the schedule's faults only each so manieth comes, and none that ends a process which is watched; all if absent.
    pub(crate) thinned: Option<usize>,
    /// Whether no fault and no job ends or stops a worker, so that none may lose a job.
    pub(crate) spares_workers: bool,
}

/// A long run, in rounds.
#[derive(Debug, Clone)]
pub(crate) struct Soak {
    pub(crate) rounds: u64,
    /// The first round; the others differ in their seeds alone.
    first: Options,
}

impl Soak {
    /// The options of a round. Redis keeps its data in each.
    pub(crate) fn round(&self, number: u64) -> Options {
        Options {
            seed: (self.first.seed + number) * 4,
            ..self.first.clone()
        }
    }
}

/// How many producers a run has.
const PRODUCERS: usize = 24;
/// How many a soak has: it leaves the machine room.
const SOAK_PRODUCERS: usize = 12;
/// A soak makes each so manieth fault: one in some five seconds.
const THINNED: usize = 8;
/// The lease of workers: short, so that many run out.
const LEASE: Duration = Duration::from_secs(1);
/// The lease where none is to run out: the one that workers have by default.
const USUAL_LEASE: Duration = Duration::from_secs(15);

impl Options {
    /// The faults of the run.
    pub(crate) fn schedule(&self) -> Vec<Timed> {
        let all = schedule(self.seed, self.length, &self.only).into_iter();
        match self.thinned {
            None => all.collect(),
            Some(every) => all
                .filter(|timed| !timed.fault.ends_a_watched_one())
                .step_by(every)
                .collect(),
        }
    }
}

/// Reads the command line; `run` is meant if no subcommand is named.
pub(crate) fn read() -> Order {
    let mut words: Vec<String> = std::env::args().collect();
    let named = words
        .get(1)
        .is_some_and(|word| ["run", "soak", "help", "--help", "-h"].contains(&word.as_str()));
    if !named {
        words.insert(1.min(words.len()), "run".to_owned());
    }
    let matches = command().get_matches_from(words);
    match matches.subcommand().expect("a subcommand is required") {
        ("soak", soak) => Order::Soak(soak_of(soak)),
        (_, run) => order(run),
    }
}

fn soak_of(matches: &ArgMatches) -> Soak {
    let number = |name: &str| *matches.get_one::<u64>(name).expect("it has a default");
    let (all, round) = (number("minutes"), number("round-minutes"));
    let spares_workers = matches.get_flag("spare-workers");
    let only: &[&str] = if spares_workers { &SPARE_WORKERS } else { &[] };
    Soak {
        rounds: all.div_ceil(round),
        first: Options {
            seed: number("seed"),
            length: Duration::from_secs(60 * round),
            only: only.iter().map(|&kind| kind.to_owned()).collect(),
            server: matches.get_one::<PathBuf>("server").cloned(),
            sabotage: None,
            fleet: fleet_of(matches),
            lease: if spares_workers { USUAL_LEASE } else { LEASE },
            settle: Duration::from_secs(60),
            evidence: PathBuf::from("target/soak"),
            producers: SOAK_PRODUCERS,
            thinned: Some(THINNED),
            spares_workers,
        },
    }
}

fn fleet_of(matches: &ArgMatches) -> Fleet {
    match matches.get_one::<String>("fleet").map(String::as_str) {
        Some("mixed") => Fleet::Mixed,
        _ => Fleet::Rust,
    }
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
        fleet: fleet_of(matches),
        lease: LEASE,
        settle: seconds("settle"),
        evidence: matches
            .get_one::<PathBuf>("evidence")
            .expect("it has a default")
            .clone(),
        producers: PRODUCERS,
        thinned: None,
        spares_workers: false,
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
        .subcommand(
            Command::new("soak")
                .about("Runs a mixed load with some faults for long, and reports what grows and what gets slower")
                .args([
                    number("minutes", "60", "How long, not counting the rest between rounds")
                        .value_parser(value_parser!(u64).range(1..=10_080)),
                    number("round-minutes", "5", "How long a round is, which ends at rest and is checked")
                        .value_parser(value_parser!(u64).range(1..=600)),
                    number("seed", "1", "Chooses faults and calls"),
                    server(),
                    fleet(),
                    Arg::new("spare-workers")
                        .long("spare-workers")
                        .action(ArgAction::SetTrue)
                        .help("Makes no fault that ends or stops a worker, at the default lease: none may lose a job"),
                ]),
        )
}

fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .default_value(default)
        .value_parser(value_parser!(u64))
        .help(help)
}

fn server() -> Arg {
    Arg::new("server")
        .long("server")
        .value_name("PATH")
        .help("The server binary [default: redis-server]")
        .value_parser(value_parser!(PathBuf))
}

fn fleet() -> Arg {
    Arg::new("fleet")
        .long("fleet")
        .value_name("LANGUAGES")
        .default_value("rust")
        .value_parser(PossibleValuesParser::new(["rust", "mixed"]))
        .help("The workers: all in Rust, or one of them in Python and one in Node")
}

/// How much.
fn bounds() -> Vec<Arg> {
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
        server(),
        fleet(),
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
