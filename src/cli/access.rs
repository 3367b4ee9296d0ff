//! `taskferry access`: makes keys, checks access files, and tells which owner somebody is. It talks to nobody.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};

use super::output::{print, say};
use crate::identity::{NewKey, owner_of_key, owner_of_subject, read_access_file};

pub(super) fn command() -> Command {
    Command::new("access")
        .about("Make keys, and check the file that says who may call (see docs/AUTHORIZATION.md)")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("check")
                .about("Say what is wrong with an access file; exit code 0 if nothing is")
                .arg(file()),
        )
        .subcommand(
            Command::new("new-key")
                .about("Make a key: the key on standard output, once; its entry for the access file on standard error")
                .arg(Arg::new("name").value_name("NAME").required(true).help("Whose key it is: the owner of all that is made with it")),
        )
        .subcommand(
            Command::new("owner")
                .about("Print the owner that Redis and logs show for a subject of an issuer, or for a key")
                .arg(text("issuer", "The iss of its tokens").requires("subject"))
                .arg(text("subject", "The sub of its tokens").requires("issuer"))
                .arg(text("client", "The client_id of its tokens, if the issuer has per_client").requires("issuer"))
                .arg(text("key", "The name of a key").conflicts_with("issuer").required_unless_present("issuer")),
        )
}

fn file() -> Arg {
    Arg::new("file")
        .value_name("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("The access file")
}

fn text(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TEXT").help(help)
}

/// Runs a subcommand. Returns whether all is well.
pub(super) fn run(args: &ArgMatches) -> anyhow::Result<bool> {
    match args.subcommand() {
        Some(("check", args)) => check(args),
        Some(("new-key", args)) => {
            new_key(args);
            Ok(true)
        }
        Some((_, args)) => {
            owner(args);
            Ok(true)
        }
        None => Ok(false),
    }
}

fn check(args: &ArgMatches) -> anyhow::Result<bool> {
    let path = args.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    match read_access_file(&text, path.parent().unwrap_or(&path)) {
        Ok(file) => {
            print(&file.summary());
            Ok(true)
        }
        Err(problems) => {
            for problem in problems {
                say(&format!("{}: {problem}", path.display()));
            }
            Ok(false)
        }
    }
}

fn new_key(args: &ArgMatches) {
    let name = args.get_one::<String>("name").map_or("", String::as_str);
    let key = NewKey::random();
    let name = toml::Value::from(name);
    say(&format!(
        "[[key]]\nname = {name}\nsha256 = \"{}\"\nscopes = [\"*\"]",
        key.digest()
    ));
    print(key.expose());
}

fn owner(args: &ArgMatches) {
    let given = |name: &str| args.get_one::<String>(name).map(String::as_str);
    let owner = match (given("issuer"), given("subject"), given("key")) {
        (Some(issuer), Some(subject), _) => owner_of_subject(issuer, subject, given("client")),
        (_, _, key) => owner_of_key(key.unwrap_or_default()),
    };
    print(owner.as_str());
}
