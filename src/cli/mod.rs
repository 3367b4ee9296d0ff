//! The command line.

mod dead;
mod dev;
mod doctor;
mod healthcheck;
mod logging;
mod open_files;
mod operator;
mod serve;
mod status;
mod tied;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use taskferry_process::settings::{Problems, Setting};

use crate::config::{self, DevConfig, OperatorConfig, ServeConfig};

/// Runs what the command line asks for.
pub(crate) async fn run() -> ExitCode {
    let mut command = command();
    let matches = command.clone().get_matches();
    let outcome = match matches.subcommand() {
        Some(("serve", args)) => match settings(args) {
            Ok(config) => serve::run(config).await.map(|()| true),
            Err(problems) => return refused(&problems),
        },
        Some(("dev", args)) => match settings_of_dev(args) {
            Ok(config) => dev::run(config).await.map(|()| true),
            Err(problems) => return refused(&problems),
        },
        Some(("healthcheck", args)) => healthcheck::run(args).await.map(|()| true),
        Some(("tied", args)) => tied::run(args),
        Some((name @ ("dead" | "tools" | "status" | "doctor"), args)) => {
            match operator::settings(args) {
                Ok(config) => operate(name, &config, args).await,
                Err(problems) => return refused(&problems),
            }
        }
        _ => {
            let _closed_stderr = command.print_help();
            return ExitCode::from(2);
        }
    };
    let outcome = outcome.and_then(|well| {
        logging::printed().context("the result cannot be written to standard output")?;
        Ok(well)
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            logging::say(&format!("taskferry: {}", told(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each said once: some say their cause themselves, as all of the contract do.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let of_contract = cause.downcast_ref::<taskferry_contract::Error>();
        let cause =
            of_contract.map_or_else(|| cause.to_string(), taskferry_contract::Error::sentence);
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

/// Runs an operator's command; says whether all of it went well. What did not has been told.
async fn operate(name: &str, config: &OperatorConfig, args: &ArgMatches) -> anyhow::Result<bool> {
    match name {
        "dead" => dead::run(config, args).await,
        "tools" => tools::run(config, args).await,
        "status" => status::run(config, args).await.map(|()| true),
        _ => doctor::run(config, args).await,
    }
}

fn refused(problems: &Problems) -> ExitCode {
    logging::say(&format!("taskferry: {problems}"));
    ExitCode::from(2)
}

fn command() -> Command {
    Command::new("taskferry")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carries MCP tool calls to fleets of batch workers through Redis")
        .after_help("Every setting can also be given as TASKFERRY_<NAME> in the environment, or in the file that --config or TASKFERRY_CONFIG names.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(
            Command::new("serve").about("Serve MCP on one port; run as many as you like behind a load balancer"),
        ))
        .subcommand(dev::with_options(with_settings(
            Command::new("dev").about("Try it: a private Redis, a front end on loopback, and a worker, until Ctrl-C"),
        )))
        .subcommand(healthcheck::command())
        .subcommand(tied::command())
        .subcommand(doctor::command())
        .subcommand(status::command())
        .subcommand(tools::command())
        .subcommand(dead::command())
}

fn with_settings(command: Command) -> Command {
    let file = config_file();
    config::settings_of_serve()
        .into_iter()
        .fold(command.arg(file), with_setting)
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("A TOML file of settings")
}

fn with_setting(command: Command, setting: Setting) -> Command {
    command.arg(
        Arg::new(setting.name)
            .long(setting.flag())
            .value_name(setting.value)
            .help(setting.help),
    )
}

fn settings(args: &ArgMatches) -> Result<ServeConfig, Problems> {
    let flags = flags(args, config::settings_of_serve());
    config::serve(flags, args.get_one::<PathBuf>("config").cloned())
}

fn settings_of_dev(args: &ArgMatches) -> Result<DevConfig, Problems> {
    let mut flags = flags(args, config::settings_of_serve());
    if let Some(manifest) = args.get_one::<String>("manifest") {
        flags.push(("manifest", manifest.clone()));
    }
    config::dev(flags, args.get_one::<PathBuf>("config").cloned())
}

/// Which of these settings were given as flags.
fn flags(args: &ArgMatches, settings: Vec<Setting>) -> Vec<(&'static str, String)> {
    settings
        .into_iter()
        .filter_map(|setting| {
            let value = args.get_one::<String>(setting.name)?;
            Some((setting.name, value.clone()))
        })
        .collect()
}
