//! `taskferry doctor`: whether this Redis can be trusted with jobs, and what to change.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use taskferry_contract::{Durability, Finding, Store, Verdict};

use super::logging::print;
use super::operator;
use crate::config::OperatorConfig;

/// How long the whole examination may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn command() -> Command {
    let durability = Arg::new("durability")
        .long("durability")
        .value_name("LEVEL")
        .help("Hold Redis against memory, everysec, always or replicated[:N] [default: only tell]");
    let command = Command::new("doctor")
        .about("Examine Redis; exit code 1 if something would break jobs or lose them")
        .arg(durability)
        .arg(operator::json());
    operator::with_redis(command)
}

/// Examines, tells, and says whether nothing failed.
pub(super) async fn run(config: &OperatorConfig, args: &ArgMatches) -> anyhow::Result<bool> {
    let store = Store::new(&config.redis).context("redis_url cannot be used")?;
    let findings = examine(&store, config).await;
    for finding in &findings {
        if args.get_flag("json") {
            print(&operator::json_line(&as_json(finding)));
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
    Ok(findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Fail))
}

async fn examine(store: &Store, config: &OperatorConfig) -> Vec<Finding> {
    let wanted: Option<Durability> = config.durability;
    let unreachable = |found: String, remedy: Option<&str>| {
        let ask = || {
            format!(
                "see whether it answers: redis-cli -u {} PING",
                without_password(&config.redis.url)
            )
        };
        vec![Finding {
            check: "connection",
            verdict: Verdict::Fail,
            found,
            remedy: Some(remedy.map_or_else(ask, str::to_owned)),
        }]
    };
    match tokio::time::timeout(PATIENCE, store.examine(wanted)).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => unreachable(error.to_string(), error.remedy()),
        Err(_elapsed) => unreachable(format!("Redis did not answer within {PATIENCE:?}"), None),
    }
}

fn tell(finding: &Finding) {
    let verdict = finding.verdict.as_str();
    let found = operator::plain(&finding.found);
    print(&format!("{verdict:<5} {:<12} {found}", finding.check));
    if let Some(remedy) = &finding.remedy {
        print(&format!("{:18} {}", "", operator::plain(remedy)));
    }
}

fn as_json(finding: &Finding) -> String {
    json!({
        "check": finding.check, "verdict": finding.verdict.as_str(), "found": finding.found,
        "remedy": finding.remedy,
    })
    .to_string()
}

/// The address with a placeholder for what must not be shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    match rest.rsplit_once('@') {
        Some((_credentials, place)) => format!("{scheme}://USER:PASSWORD@{place}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let shown = without_password("redis://me:p@ss@host:1/0");
        assert_eq!(shown, "redis://USER:PASSWORD@host:1/0");
        assert_eq!(without_password("redis://host/0"), "redis://host/0");
    }
}
