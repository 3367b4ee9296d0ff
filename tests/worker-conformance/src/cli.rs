//! What is to be checked, and what came of it.

use clap::{Arg, ArgAction, Command};
use serde_json::json;

use crate::checks::{CHECKS, Check};
use crate::run::{Plan, Report, Verdict};

fn names(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .long(id)
        .value_name("CHECK,…")
        .value_delimiter(',')
        .action(ArgAction::Append)
        .help(help)
}

fn command() -> Command {
    let jobs = Arg::new("jobs")
        .long("jobs")
        .value_name("N")
        .value_parser(clap::value_parser!(usize))
        .default_value("4")
        .help("How many checks run at a time, each with a system of its own");
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
    Command::new("worker-conformance")
        .about("Starts a worker command against a real system, and says what of docs/CONTRACT.md it does")
        .arg(names("only", "These checks alone"))
        .arg(names("cannot", "What the worker is known not to do: it counts as no failure"))
        .arg(jobs)
        .arg(json.help("A JSON object for each check, a line each"))
        .arg(Arg::new("list").long("list").action(ArgAction::SetTrue).help("List the checks"))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .last(true)
                .required_unless_present("list")
                .help("The worker under test; TASKFERRY_REDIS_URL says where its Redis is"),
        )
}

/// What the command line asks for.
pub(crate) fn plan() -> Result<Plan, String> {
    let args = command().get_matches();
    if args.get_flag("list") {
        for check in CHECKS {
            println!("{:<12} {}", check.name, check.what);
        }
        std::process::exit(0);
    }
    let all = |id: &str| -> Vec<String> {
        let given = args.get_many::<String>(id);
        given.into_iter().flatten().cloned().collect()
    };
    let (only, cannot) = (all("only"), all("cannot"));
    let known = |name: &&String| CHECKS.iter().any(|check| check.name == name.as_str());
    if let Some(unknown) = only.iter().chain(&cannot).find(|name| !known(name)) {
        return Err(format!("there is no check {unknown}: --list lists them"));
    }
    let wanted = |check: &&Check| only.is_empty() || only.iter().any(|name| name == check.name);
    Ok(Plan {
        command: all("command"),
        checks: CHECKS.iter().filter(wanted).copied().collect(),
        cannot,
        at_once: args.get_one("jobs").copied().unwrap_or(4).max(1),
        json: args.get_flag("json"),
    })
}

/// Prints a table, or a line of JSON for each.
pub(crate) fn print(reports: &[Report], as_json: bool) {
    for report in reports {
        let (word, why) = match &report.verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Cannot(why) => ("cannot", why.as_str()),
            Verdict::Failed(why) => ("failed", why.as_str()),
        };
        let (name, seconds) = (report.check.name, report.took.as_secs_f64());
        if as_json {
            let line = json!({ "check": name, "verdict": word, "seconds": seconds, "why": why });
            println!("{line}");
            continue;
        }
        let why = why.replace('\n', " ");
        let told = if why.is_empty() {
            report.check.what
        } else {
            &why
        };
        println!("{word:<7} {name:<12} {seconds:>5.1}s  {told}");
    }
    if !as_json {
        let count = |wanted: fn(&Verdict) -> bool| {
            let all = reports.iter().filter(|report| wanted(&report.verdict));
            all.count()
        };
        println!(
            "{} passed, {} failed, {} cannot",
            count(|verdict| matches!(verdict, Verdict::Passed)),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::Cannot(_))),
        );
    }
}
