//! `taskferry secret`: what front ends sign with.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::arguments;
use super::output::print;
use crate::operator::Operator;

pub(super) fn command() -> Command {
    let now = Arg::new("now")
        .long("now")
        .action(ArgAction::SetTrue)
        .help("Take nothing any more that the old one signed: it leaked");
    let rotate = Command::new("rotate")
        .about("Give all front ends a new secret; what the old one signed is taken for an hour")
        .arg(now);
    let command = Command::new("secret")
        .about(
            "The secret with which front ends sign what clients carry from one request to the next",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(rotate);
    arguments::with_redis(command)
}

/// Rotates it.
pub(super) async fn run(operator: &Operator, args: &ArgMatches) -> anyhow::Result<()> {
    let rotate = args.subcommand_matches("rotate");
    let now = rotate.is_some_and(|args| args.get_flag("now"));
    operator.rotate_secret(now).await?;
    print(if now {
        "rotated; front ends take nothing of the old secret within 2 s"
    } else {
        "rotated; what the old secret signed is taken for an hour"
    });
    Ok(())
}
