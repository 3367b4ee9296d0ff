//! Arguments that several commands take, and the settings that they make.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use taskferry_process::settings::{Problems, Setting};

use crate::config::{self, DevConfig, OperatorConfig, ServeConfig};

pub(super) fn with_settings(command: Command) -> Command {
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
            .hide(setting.is_secret())
            .help(setting.help),
    )
}

pub(super) fn settings_of_serve(args: &ArgMatches) -> Result<ServeConfig, Problems> {
    let flags = flags(args, config::settings_of_serve());
    config::serve(flags, args.get_one::<PathBuf>("config").cloned())
}

pub(super) fn settings_of_dev(args: &ArgMatches) -> Result<DevConfig, Problems> {
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

/// Adds what leads to Redis, also for the subcommands.
pub(super) fn with_redis(command: Command) -> Command {
    config::settings_of_operator()
        .into_iter()
        .fold(command.arg(config_file()), with_setting)
        .mut_args(|arg| arg.global(true))
}

/// `--json`.
pub(super) fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("For machines: one JSON object a line")
}

pub(super) fn settings_of_operator(args: &ArgMatches) -> Result<OperatorConfig, Problems> {
    let mut flags = flags(args, config::settings_of_operator());
    // Only one of the commands has it.
    if let Ok(Some(level)) = args.try_get_one::<String>("durability") {
        flags.push(("durability", level.clone()));
    }
    config::operator(flags, args.get_one::<PathBuf>("config").cloned())
}
