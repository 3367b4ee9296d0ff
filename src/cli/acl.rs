//! `taskferry acl`: the rules of Redis for the user of a front end, a worker or an operator.

use clap::{Arg, ArgAction, ArgMatches, Command};
use taskferry_contract::{QueueName, Role};

use super::output::print;

/// How wide a line may be.
const WIDTH: usize = 100;

pub(super) fn command() -> Command {
    let user = Arg::new("user")
        .long("user")
        .value_name("NAME")
        .help("The user's name [default: taskferry-ROLE]");
    let prefix = Arg::new("redis_prefix")
        .long("redis-prefix")
        .value_name("NAME")
        .default_value("tf")
        .help("What every key begins with, as the programs' setting has it");
    let as_file = Arg::new("file")
        .long("file")
        .action(ArgAction::SetTrue)
        .help("As a line of Redis's ACL file, instead of a command for redis-cli");
    Command::new("acl")
        .about("Print the smallest rules of a Redis user for a role, without its password")
        .arg(role().required(true).value_name("ROLE"))
        .arg(queues())
        .arg(user)
        .arg(prefix)
        .arg(as_file)
}

/// The role.
pub(super) fn role() -> Arg {
    Arg::new("role")
        .value_parser(|text: &str| text.parse::<Role>())
        .help("front-end, worker, foreign-worker, viewer or operator")
}

/// The queues of a worker.
pub(super) fn queues() -> Arg {
    Arg::new("queues")
        .long("queues")
        .value_name("NAME,…")
        .value_delimiter(',')
        .value_parser(|text: &str| text.parse::<QueueName>())
        .help("Of a worker: the queues that it serves [default: all]")
}

/// The queues that were named.
pub(super) fn queues_of(args: &ArgMatches) -> Vec<QueueName> {
    let named = args.get_many::<QueueName>("queues");
    named.into_iter().flatten().cloned().collect()
}

/// Prints the rules. Whoever runs what is printed puts a password in the place of `PASSWORD`, or `#` and its SHA-256.
pub(super) fn run(args: &ArgMatches) {
    let role = args.get_one::<Role>("role").copied();
    let role = role.unwrap_or(Role::Viewer);
    let prefix = args.get_one::<String>("redis_prefix");
    let prefix = prefix.map_or("tf", String::as_str);
    let rules = role.rights(prefix, &queues_of(args)).rules();
    let named = format!("taskferry-{role}");
    let user = args.get_one::<String>("user").unwrap_or(&named);
    if args.get_flag("file") {
        print(&format!("user {user} on >PASSWORD {}", rules.join(" ")));
        return;
    }
    let mut line = format!("redis-cli ACL SETUSER {user} reset on '>PASSWORD'");
    for rule in rules {
        let rule = format!(" '{rule}'");
        if line.len() + rule.len() > WIDTH {
            print(&format!("{line} \\"));
            line = "  ".to_owned();
        }
        line.push_str(&rule);
    }
    print(&line);
}
