//! `taskferry doctor`: whether this Redis can be trusted with jobs, and what to change.

use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use taskferry_contract::{Durability, Finding, Role, Verdict};

use super::arguments;
use super::format::{json_line, plain};
use super::output::print;
use crate::operator::Operator;

pub(super) fn command() -> Command {
    let durability = Arg::new("durability")
        .long("durability")
        .value_name("LEVEL")
        .help("Hold Redis against memory, everysec, always or replicated[:N] [default: only tell]");
    let command = Command::new("doctor")
        .about("Examine Redis; exit code 1 if something would break jobs or lose them")
        .arg(durability)
        .arg(super::acl::role().long("role").value_name("ROLE"))
        .arg(super::acl::queues())
        .arg(arguments::json());
    arguments::with_redis(command)
}

/// Examines Redis, prints the findings, and returns whether nothing failed.
pub(super) async fn run(
    operator: &Operator,
    wanted: Option<Durability>,
    args: &ArgMatches,
) -> bool {
    let role = args.get_one::<Role>("role").copied();
    let queues = super::acl::queues_of(args);
    let role = role.map(|role| (role, queues.as_slice()));
    let findings = operator.examine(wanted, role).await;
    for finding in &findings {
        if args.get_flag("json") {
            print(&json_line(&as_json(finding)));
        } else {
            tell(finding);
        }
    }
    let changes = |finding: &Finding| finding.sentence().contains("CONFIG SET");
    if !args.get_flag("json") && findings.iter().any(changes) {
        print(
            "What CONFIG SET changes lasts until Redis restarts: put it into redis.conf as well.",
        );
    }
    findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Fail)
}

fn tell(finding: &Finding) {
    let verdict = finding.verdict.as_str();
    let found = plain(&finding.found);
    print(&format!("{verdict:<5} {:<12} {found}", finding.check));
    if let Some(remedy) = &finding.remedy {
        print(&format!("{:18} {}", "", plain(remedy)));
    }
}

fn as_json(finding: &Finding) -> String {
    json!({
        "check": finding.check, "verdict": finding.verdict.as_str(), "found": finding.found,
        "remedy": finding.remedy,
    })
    .to_string()
}
