//! A long run under a mixed load with faults now and then: whether anything grows, and whether anything gets slower.
//! Rounds of some minutes each end at rest and are checked like any run; what has ended is then removed, as its ttl would,
//! so that whatever is left is compared from round to round.

use std::error::Error;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use taskferry_testing::redis::{self, aio::MultiplexedConnection};

use crate::check::{check, lost};
use crate::cli::{Options, Soak};
use crate::connect::connect;
use crate::history::{History, What};
use crate::member::Usage;
use crate::producer::World;
use crate::report::{self, Report, say};
use crate::run::{folder, live};
use crate::schedule::keeps_data;
use crate::topology::{Setup, Topology};

/// What is removed between two rounds: what expires by itself later, or is kept for people. Says how many keys are left.
const PASSING: &str = "
for _, pattern in ipairs(ARGV) do
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
    cursor = page[1]
    if #page[2] > 0 then redis.call('UNLINK', unpack(page[2])) end
  until cursor == '0'
end
return redis.call('DBSIZE')";
const PATTERNS: [&str; 12] = [
    "tf:{0}:task:*",
    "tf:{0}:log:*",
    "tf:{0}:owned:*",
    "tf:{0}:active:*",
    "tf:{0}:stored:*",
    "tf:{0}:bytes:*",
    "tf:{0}:idem:*",
    "tf:{0}:same:*",
    "tf:{0}:dead",
    "tf:{0}:expired",
    "tf:{s:*}:session*",
    "tf:{fleet}:worker:*",
];
/// A process may grow by this share, and by so many KiB beside it, between the second round and the last.
const MAY_GROW: f64 = 1.1;
const MAY_GROW_KIB: f64 = 2_048.0;
/// From the first half of the rounds to the second, polls may become slower by this factor, and by so many ms beside it:
/// half of them, and all but one in a hundred.
const MAY_SLOW: u64 = 2;
const MAY_SLOW_MS: [u64; 2] = [5, 50];
/// So many connections may come beside: some processes are just being started when they are counted.
const MAY_CONNECT: u64 = 2;

/// What one round came to.
#[derive(Debug)]
struct Round {
    tasks: usize,
    lost: usize,
    broken: usize,
    /// How long a poll took, ms: half of them, and all but one in a hundred.
    poll_ms: [u64; 2],
    usage: Vec<Usage>,
    redis_kib: f64,
    keys: u64,
    clients: u64,
}

/// Runs rounds until the time is over, and tells whether every law held and nothing grew.
pub(crate) async fn run(soak: &Soak) -> anyhow::Result<bool> {
    let options = soak.round(0);
    let folder = folder(&options)?;
    let setup = Setup {
        server: options.server.clone(),
        keeps_data: keeps_data(options.seed),
        sabotage: None,
        fleet: options.fleet,
        lease: options.lease,
        folder: folder.clone(),
    };
    let topology = Arc::new(Topology::start(&setup).await?);
    let rounds = tokio::select! {
        rounds = rounds(soak, &topology, &folder) => rounds?,
        () = topology.keep_alive() => unreachable!("it has no end"),
    };
    let good = judge(&rounds);
    if good {
        drop(topology);
        std::fs::remove_dir_all(&folder).context("the folder of a run that passed stays")?;
    }
    Ok(good)
}

async fn rounds(
    soak: &Soak,
    topology: &Arc<Topology>,
    folder: &Path,
) -> anyhow::Result<Vec<Round>> {
    say(&format!(
        "{:>5} {:>7} {:>5} {:>9} {:>9} {:>11} {:>11} {:>11} {:>9} {:>5} {:>8} {:>7}",
        "round",
        "tasks",
        "lost",
        "p50 ms",
        "p99 ms",
        "replica MiB",
        "worker MiB",
        "exec MiB",
        "redis MiB",
        "keys",
        "clients",
        "broken"
    ));
    let mut rounds = Vec::new();
    for number in 0..soak.rounds {
        let round = round(&soak.round(number), topology, folder).await?;
        say(&line(number, &round));
        rounds.push(round);
    }
    Ok(rounds)
}

async fn round(
    options: &Options,
    topology: &Arc<Topology>,
    folder: &Path,
) -> anyhow::Result<Round> {
    let world = World::new(topology.endpoints(), folder)?;
    let history = Box::pin(live(options, topology, &world, folder)).await?;
    let violations = check(&history);
    if !violations.is_empty() {
        let report = Report {
            options,
            history: &history,
            violations: &violations,
            folder,
        };
        report::print(&report);
        report::leave(&report)?;
    }
    let mut redis = connect(topology)
        .await
        .context("Redis is away between two rounds")?;
    let keys = tidy(&mut redis, folder).await?;
    Ok(Round {
        tasks: report::accepted(&history).len(),
        lost: lost(&history),
        broken: violations.len(),
        poll_ms: polls(&history),
        usage: topology.usage().await,
        redis_kib: info::<f64>(&mut redis, "memory", "used_memory").await? / 1024.0,
        keys,
        clients: info(&mut redis, "clients", "connected_clients").await?,
    })
}

/// Removes what has ended, from Redis and from the log of the attempts. The keys that are left.
async fn tidy(redis: &mut MultiplexedConnection, folder: &Path) -> anyhow::Result<u64> {
    let mut remove = redis::cmd("EVAL");
    remove.arg(PASSING).arg(0).arg(&PATTERNS);
    let left = remove.query_async(redis).await?;
    std::fs::write(folder.join("attempts.jsonl"), "").context("the log of the attempts stays")?;
    Ok(left)
}

async fn info<T: FromStr<Err: Error + Send + Sync + 'static>>(
    redis: &mut MultiplexedConnection,
    section: &str,
    name: &str,
) -> anyhow::Result<T> {
    let text: String = redis::cmd("INFO").arg(section).query_async(redis).await?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.with_context(|| format!("INFO {section} has no {name}"))?;
    Ok(value.trim().parse()?)
}

/// The median and the 99th percentile of what polls took.
fn polls(history: &History) -> [u64; 2] {
    let polls = history.seen.iter().filter(|seen| {
        !seen.task.is_empty() && matches!(seen.what, What::Runs { .. } | What::Ended(_))
    });
    let mut took: Vec<u64> = polls
        .map(|seen| seen.seen_ms.saturating_sub(seen.sent_ms))
        .collect();
    took.sort_unstable();
    [50, 99].map(|percent| {
        let rank = (took.len() * percent).div_ceil(100).max(1);
        took.get(rank - 1).copied().unwrap_or_default()
    })
}

/// The memory of a member that was never started again, KiB.
fn lasting(round: &Round, name: &str) -> Option<f64> {
    let of_name = round.usage.iter().find(|usage| usage.name == name)?;
    (of_name.starts == 1).then_some(of_name.rss_kib)
}

/// Those whose end no fault brings: a front end, a worker with handlers, a worker with commands.
const LASTING: [&str; 3] = ["replica-0", "worker-0", "worker-3"];

fn line(number: u64, round: &Round) -> String {
    let [replica, worker, exec] = LASTING.map(|name| {
        let kib = lasting(round, name);
        kib.map_or_else(|| "-".to_owned(), |kib| format!("{:.1}", kib / 1024.0))
    });
    let [p50, p99] = round.poll_ms;
    format!(
        "{:>5} {:>7} {:>5} {p50:>9} {p99:>9} {replica:>11} {worker:>11} {exec:>11} {:>9.1} {:>5} {:>8} {:>7}",
        number + 1,
        round.tasks,
        round.lost,
        round.redis_kib / 1024.0,
        round.keys,
        round.clients,
        round.broken,
    )
}

/// Says what grew and what got slower, and whether all is well.
fn judge(rounds: &[Round]) -> bool {
    let lawful = rounds
        .iter()
        .all(|round| round.broken == 0 && round.lost == 0);
    // All are said.
    let findings = [memory(rounds), halves(rounds)].concat();
    for (text, _) in &findings {
        say(text);
    }
    let good = lawful && findings.iter().all(|(_, good)| *good);
    say(if good {
        "nothing leaks, and every law held"
    } else {
        "something leaks or gets slower, or a law was broken"
    });
    good
}

/// A line, and whether what it says is well.
type Finding = (String, bool);

/// What is held at rest, from the second round to the last; the first warms everything up.
fn memory(rounds: &[Round]) -> Vec<Finding> {
    let (Some(first), Some(last)) = (rounds.get(1).or(rounds.first()), rounds.last()) else {
        return Vec::new();
    };
    let compare = |what: &str, before: Option<f64>, after: Option<f64>| match (before, after) {
        (Some(before), Some(after)) => {
            let grown = after > before * MAY_GROW + MAY_GROW_KIB;
            let verdict = if grown { "GREW" } else { "steady" };
            let [before, after] = [before, after].map(|kib| kib / 1024.0);
            let text = format!("{what}: {before:.1} to {after:.1} MiB, {verdict}");
            (text, !grown)
        }
        _ => (
            format!("{what}: ENDED, although nothing is to end it"),
            false,
        ),
    };
    let mut all: Vec<Finding> = LASTING
        .iter()
        .map(|name| compare(name, lasting(first, name), lasting(last, name)))
        .collect();
    let (before, after) = (Some(first.redis_kib), Some(last.redis_kib));
    all.push(compare("redis, at rest", before, after));
    let steady = last.keys <= first.keys;
    let verdict = if steady { "steady" } else { "GREW" };
    let (before, after) = (first.keys, last.keys);
    all.push((
        format!("keys at rest: {before} to {after}, {verdict}"),
        steady,
    ));
    all
}

/// What goes up and down from round to round: the median of the first half, and that of the second.
fn halves(rounds: &[Round]) -> Vec<Finding> {
    let (first, second) = rounds.split_at(rounds.len() / 2);
    if first.is_empty() {
        return Vec::new();
    }
    let compare = |what: &str, of: fn(&Round) -> u64, most: &dyn Fn(u64) -> u64| {
        let (before, after) = (median(first, of), median(second, of));
        let steady = after <= most(before);
        let verdict = if steady { "steady" } else { "GREW" };
        let text = format!("{what}, first half to second: {before} to {after}, {verdict}");
        (text, steady)
    };
    let [half_ms, most_ms] = MAY_SLOW_MS;
    vec![
        compare("median poll, ms", |round| round.poll_ms[0], &|before| {
            before * MAY_SLOW + half_ms
        }),
        compare("slowest polls, ms", |round| round.poll_ms[1], &|before| {
            before * MAY_SLOW + most_ms
        }),
        compare("connections", |round| round.clients, &|before| {
            before + MAY_CONNECT
        }),
    ]
}

fn median(rounds: &[Round], of: fn(&Round) -> u64) -> u64 {
    let mut all: Vec<u64> = rounds.iter().map(of).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rss_kib: f64, keys: u64) -> Round {
        let usage = |name: &&str| Usage {
            name: (*name).to_owned(),
            starts: 1,
            rss_kib,
        };
        Round {
            tasks: 1,
            lost: 0,
            broken: 0,
            poll_ms: [1, 2],
            usage: LASTING.iter().map(usage).collect(),
            redis_kib: 2_000.0,
            keys,
            clients: 9,
        }
    }

    #[test]
    fn growth_after_the_second_round_is_a_leak() {
        let warm = || vec![round(10_000.0, 5), round(30_000.0, 5)];
        let with = |last: Round| {
            let mut rounds = warm();
            rounds.push(last);
            judge(&rounds)
        };
        assert!(judge(&warm()), "the first round warms up");
        assert!(with(round(34_000.0, 5)));
        assert!(!with(round(36_000.0, 5)), "memory");
        assert!(!with(round(30_000.0, 6)), "keys");
        let mut broken = round(30_000.0, 5);
        broken.broken = 1;
        assert!(!with(broken), "a law");
    }

    #[test]
    fn the_second_half_is_not_slower_and_has_no_more_connections() {
        let with = |change: fn(&mut Round)| {
            let mut rounds: Vec<Round> = (0..4).map(|_| round(10.0, 5)).collect();
            rounds.iter_mut().skip(2).for_each(change);
            judge(&rounds)
        };
        assert!(with(|_| {}));
        assert!(with(|round| round.poll_ms = [6, 50]));
        assert!(!with(|round| round.poll_ms[0] = 8), "half of the polls");
        assert!(!with(|round| round.poll_ms[1] = 55), "the slowest");
        assert!(with(|round| round.clients = 11));
        assert!(!with(|round| round.clients = 12), "connections");
    }

    #[test]
    fn a_member_that_was_started_again_although_nothing_ends_it_fails() {
        let mut last = round(10.0, 5);
        for usage in &mut last.usage {
            usage.starts = 2;
        }
        assert!(!judge(&[round(10.0, 5), round(10.0, 5), last]));
    }
}
