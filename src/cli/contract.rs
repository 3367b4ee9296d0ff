//! `taskferry contract`: what workers in other languages call.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;
use taskferry_contract::{CONTRACT_VERSION, Installed, LIBRARY, Replaces, portable_scripts};

use super::arguments;
use super::format::json_line;
use super::output::{print, say};
use crate::operator::Operator;

pub(super) fn command() -> Command {
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .help("Replace a newer one, too");
    let eval = Arg::new("eval")
        .long("eval")
        .action(ArgAction::SetTrue)
        .help(
            "Instead of the library, each script with its SHA-1, for EVALSHA, as one JSON object",
        );
    let command = Command::new("contract")
        .about("What workers in other languages call: a library of Redis Functions, or scripts")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("install")
                .about("Put the library into Redis; exit code 1 if it is not there then")
                .arg(force),
        )
        .subcommand(
            Command::new("print")
                .about("Print the library, as FUNCTION LOAD takes it")
                .arg(eval),
        );
    arguments::with_redis(command)
}

/// Whether it is the part that needs no Redis.
pub(super) fn prints(args: &ArgMatches) -> bool {
    args.subcommand_name() == Some("print")
}

/// Prints the library, or the scripts.
pub(super) fn print_it(args: &ArgMatches) {
    let eval = args.subcommand_matches("print");
    if eval.is_some_and(|args| args.get_flag("eval")) {
        print(&json_line(&scripts()));
    } else {
        print(LIBRARY.source.trim_end());
    }
}

fn scripts() -> String {
    let scripts = portable_scripts().map(|script| {
        json!({
            "name": script.name, "function": script.function, "sha1": script.sha1, "summary": script.summary,
            "keys": script.keys, "argv": script.argv, "replies": script.replies, "source": script.source,
        })
    });
    json!({
        "contract": CONTRACT_VERSION.to_string(), "release": LIBRARY.version.release, "library": LIBRARY.name,
        "scripts": scripts.collect::<Vec<_>>(),
    })
    .to_string()
}

/// Installs the library. Returns whether one that can be used is there.
pub(super) async fn install(operator: &Operator, args: &ArgMatches) -> anyhow::Result<bool> {
    let install = args.subcommand_matches("install");
    let replaces = if install.is_some_and(|args| args.get_flag("force")) {
        Replaces::Any
    } else {
        Replaces::Same
    };
    let (name, own) = (&LIBRARY.name, &LIBRARY.version);
    let refusal = match operator.install_functions(replaces).await? {
        Installed::New => {
            print(&format!("installed {name}, {own}"));
            return Ok(true);
        }
        Installed::Replaced(before) => {
            let before = before.map_or_else(String::new, |before| format!(" in place of {before}"));
            print(&format!("installed {name}, {own}{before}"));
            return Ok(true);
        }
        Installed::Kept(there) if there.is_newer_than(own) => {
            print(&format!(
                "{name} is of a newer release and stays: {there}; to replace it give --force"
            ));
            return Ok(true);
        }
        Installed::Kept(_) => {
            print(&format!("{name} is there already, {own}"));
            return Ok(true);
        }
        Installed::NamesTaken { by } => format!(
            "the library {by} has functions of the same names; see what it is with redis-cli FUNCTION LIST, and remove it: redis-cli FUNCTION DELETE {by}"
        ),
        Installed::Forbidden(command) => format!(
            "this user may not run {command}: run it as one that may, or as an administrator give the right: redis-cli ACL SETUSER NAME '+function|list' '+function|load'"
        ),
        Installed::Unsupported => "this Redis has no functions (FUNCTION is unknown to it); workers in other languages call the scripts that taskferry contract print --eval prints".to_owned(),
    };
    say(&format!("taskferry: {name} is not installed: {refusal}"));
    Ok(false)
}
