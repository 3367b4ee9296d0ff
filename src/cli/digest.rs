//! `taskferry digest`: how logs name what an id stands for.

use clap::{Arg, ArgAction, ArgMatches, Command};
use taskferry_contract::HandleDigest;

use super::output::print;

pub(super) fn command() -> Command {
    Command::new("digest")
        .about("Say how logs name a task or a session: they show a digest of its id")
        .arg(
            Arg::new("id")
                .value_name("ID")
                .required(true)
                .action(ArgAction::Append)
                .help("The id of a task or a session"),
        )
}

pub(super) fn run(args: &ArgMatches) {
    for id in args.get_many::<String>("id").into_iter().flatten() {
        print(&HandleDigest::of(id).to_string());
    }
}
