//! The command line.

mod dev;
mod healthcheck;
mod logging;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::{self, ServeConfig};

/// Runs what the command line asks for.
pub(crate) async fn run() -> ExitCode {
    let mut command = command();
    let matches = command.clone().get_matches();
    let outcome = match matches.subcommand() {
        Some(("serve", args)) => match settings(args) {
            Ok(config) => serve::run(config).await,
            Err(problems) => return refused(&problems),
        },
        Some(("dev", args)) => match settings(args) {
            Ok(config) => dev::run(config.for_one_user(), dev::Options::from(args)).await,
            Err(problems) => return refused(&problems),
        },
        Some(("healthcheck", args)) => healthcheck::run(args).await,
        _ => {
            let _closed_stderr = command.print_help();
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::say(&format!("taskferry: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn refused(problems: &taskferry_contract::settings::Problems) -> ExitCode {
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
}

fn with_settings(command: Command) -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("A TOML file of settings");
    config::settings_of_serve()
        .into_iter()
        .fold(command.arg(file), |command, setting| {
            command.arg(
                Arg::new(setting.name)
                    .long(setting.flag())
                    .value_name(setting.value)
                    .help(setting.help),
            )
        })
}

fn settings(args: &ArgMatches) -> Result<ServeConfig, taskferry_contract::settings::Problems> {
    let flags = config::settings_of_serve()
        .into_iter()
        .filter_map(|setting| Some((setting.name, args.get_one::<String>(setting.name)?.clone())))
        .collect();
    config::serve(flags, args.get_one::<PathBuf>("config").cloned())
}
