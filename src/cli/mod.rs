//! The command line.

mod access;
mod acl;
mod arguments;
mod contract;
mod dead;
mod dev;
mod digest;
mod doctor;
mod format;
mod healthcheck;
mod output;
mod pause;
mod secret;
mod status;
mod tied;
mod tools;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use taskferry_process::choose_crypto;
use taskferry_process::settings::Problems;

use crate::config::OperatorConfig;
use crate::operator::Operator;
use crate::serve;

/// Runs what the command line asks for.
pub(crate) async fn run() -> ExitCode {
    choose_crypto();
    let mut command = command();
    let matches = command.clone().get_matches();
    let outcome = match matches.subcommand() {
        Some(("serve", args)) => match arguments::settings_of_serve(args) {
            Ok(config) => serve::run(config).await.map(|()| true),
            Err(problems) => return refused(&problems),
        },
        Some(("dev", args)) => match arguments::settings_of_dev(args) {
            Ok(config) => dev::run(config).await.map(|()| true),
            Err(problems) => return refused(&problems),
        },
        Some(("healthcheck", args)) => healthcheck::run(args).await.map(|()| true),
        Some(("acl", args)) => {
            acl::run(args);
            Ok(true)
        }
        Some(("digest", args)) => {
            digest::run(args);
            Ok(true)
        }
        Some(("tied", args)) => tied::run(args),
        Some(("access", args)) => access::run(args),
        Some(("contract", args)) if contract::prints(args) => {
            contract::print_it(args);
            Ok(true)
        }
        Some((
            name @ ("contract" | "dead" | "tools" | "status" | "pause" | "resume" | "secret"
            | "doctor"),
            args,
        )) => match arguments::settings_of_operator(args) {
            Ok(config) => operate(name, &config, args).await,
            Err(problems) => return refused(&problems),
        },
        _ => {
            let _closed_stderr = command.print_help();
            return ExitCode::from(2);
        }
    };
    let outcome = outcome.and_then(|well| {
        output::printed().context("the result cannot be written to standard output")?;
        Ok(well)
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let told = message_of(&error, taskferry_contract::Error::sentence);
            output::say(&format!("taskferry: {told}"));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each said once: some say their cause themselves, as all of the contract do.
fn message_of(
    error: &anyhow::Error,
    sentence: impl Fn(&taskferry_contract::Error) -> String,
) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let of_contract = cause.downcast_ref::<taskferry_contract::Error>();
        let cause = of_contract.map_or_else(|| cause.to_string(), &sentence);
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told.push_str(": ");
            told.push_str(&cause);
        }
        if of_contract.is_some() {
            break;
        }
    }
    told
}

/// Runs an operator's command. Returns whether all of it went well; what did not was printed.
async fn operate(name: &str, config: &OperatorConfig, args: &ArgMatches) -> anyhow::Result<bool> {
    for warning in &config.warnings {
        output::say(&format!("taskferry: {warning}"));
    }
    let operator = Operator::new(&config.redis).context("redis_url cannot be used")?;
    let outcome = match name {
        "contract" => contract::install(&operator, args).await,
        "dead" => dead::run(&operator, args).await,
        "tools" => tools::run(&operator, args).await,
        "pause" => pause::pause(&operator, &config.user, args).await,
        "resume" => pause::resume(&operator, args).await,
        "status" => status::run(&operator, args).await.map(|()| true),
        "secret" => secret::run(&operator, args).await.map(|()| true),
        _ => Ok(doctor::run(&operator, config.durability, args).await),
    };
    outcome.map_err(|error| forbidden(error, name, args))
}

/// What an operator's command says if its user may not do it: the user of a front end or a worker is not to be given more,
/// another user is to be taken.
fn forbidden(error: anyhow::Error, name: &str, args: &ArgMatches) -> anyhow::Error {
    let mut causes = error.chain();
    let of_contract = causes.find_map(|cause| cause.downcast_ref::<taskferry_contract::Error>());
    if !of_contract.is_some_and(taskferry_contract::Error::is_forbidden) {
        return error;
    }
    let only_reads = name == "status" || matches!(args.subcommand_name(), Some("list" | "show"));
    let role = if only_reads { "viewer" } else { "operator" };
    let told = message_of(&error, |error| {
        format!(
            "{error}; run it as a user with the role {role}, whose rules this prints: taskferry acl {role}"
        )
    });
    anyhow::Error::msg(told)
}

fn refused(problems: &Problems) -> ExitCode {
    output::say(&format!("taskferry: {problems}"));
    ExitCode::from(2)
}

fn command() -> Command {
    Command::new("taskferry")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carries MCP tool calls to fleets of batch workers through Redis")
        .after_help("Every setting can also be given as TASKFERRY_<NAME> in the environment, or in the file that --config or TASKFERRY_CONFIG names.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(arguments::with_settings(
            Command::new("serve").about("Serve MCP on one port; run as many as you like behind a load balancer"),
        ))
        .subcommand(dev::with_options(arguments::with_settings(
            Command::new("dev").about("Try it: a private Redis, a front end on loopback, and a worker, until Ctrl-C"),
        )))
        .subcommand(acl::command())
        .subcommand(digest::command())
        .subcommand(healthcheck::command())
        .subcommand(tied::command())
        .subcommand(access::command())
        .subcommand(contract::command())
        .subcommand(doctor::command())
        .subcommand(pause::pause_command())
        .subcommand(pause::resume_command())
        .subcommand(secret::command())
        .subcommand(status::command())
        .subcommand(tools::command())
        .subcommand(dead::command())
}
