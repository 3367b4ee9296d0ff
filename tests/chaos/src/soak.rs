//! A long run under a mixed load with faults now and then: whether anything grows, and whether anything gets slower.
//! Rounds of some minutes each end at rest and are checked like any run; what has ended is then removed, as its ttl would,
//! so that whatever is left is compared from round to round.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use taskferry_testing::redis::{self, aio::MultiplexedConnection};
use tokio_util::sync::CancellationToken;

use crate::check::{check, lost};
use crate::cli::{Options, Soak};
use crate::faults::connect;
use crate::history::{History, Recorder, What};
use crate::http;
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
const PATTERNS: [&str; 9] = [
    "tf:{0}:task:*",
    "tf:{0}:log:*",
    "tf:{0}:owned:*",
    "tf:{0}:active:*",
    "tf:{0}:idem:*",
    "tf:{0}:same:*",
    "tf:{0}:dead",
    "tf:session:*",
    "tf:worker:*",
];
/// A process that never ended may grow by this share, and by so many KiB beside it, between the second round and the last.
const MAY_GROW: f64 = 1.25;
const MAY_GROW_KIB: f64 = 8_192.0;

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
    clients: f64,
}

/// Runs rounds until the time is over, and tells whether every law held and nothing grew.
pub(crate) async fn run(soak: &Soak) -> anyhow::Result<bool> {
    let options = soak.round(0);
    let folder = folder(&options)?;
    let setup = Setup {
        server: options.server.clone(),
        keeps_data: keeps_data(options.seed),
        sabotage: None,
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
    let world = Arc::new(World {
        http: http::client()?,
        endpoints: topology.endpoints(),
        recorder: Arc::new(Recorder::new(folder)?),
        stop: CancellationToken::new(),
        end: CancellationToken::new(),
    });
    let history = Box::pin(live(options, (topology, &world), folder)).await?;
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
        redis_kib: info(&mut redis, "memory", "used_memory").await? / 1024.0,
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

async fn info(redis: &mut MultiplexedConnection, section: &str, name: &str) -> anyhow::Result<f64> {
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
        "{:>5} {:>7} {:>5} {p50:>9} {p99:>9} {replica:>11} {worker:>11} {exec:>11} {:>9.1} {:>5} {:>8.0} {:>7}",
        number + 1,
        round.tasks,
        round.lost,
        round.redis_kib / 1024.0,
        round.keys,
        round.clients,
        round.broken,
    )
}

/// Says what grew and what got slower since the second round; the first warms everything up.
fn judge(rounds: &[Round]) -> bool {
    let mut good = rounds
        .iter()
        .all(|round| round.broken == 0 && round.lost == 0);
    let (Some(first), Some(last)) = (rounds.get(1).or(rounds.first()), rounds.last()) else {
        return good;
    };
    let mut compare = |what: &str, before: Option<f64>, after: Option<f64>| match (before, after) {
        (Some(before), Some(after)) => {
            let grown = after > before * MAY_GROW + MAY_GROW_KIB;
            let verdict = if grown { "GREW" } else { "steady" };
            say(&format!(
                "{what}: {:.1} to {:.1} MiB, {verdict}",
                before / 1024.0,
                after / 1024.0
            ));
            good &= !grown;
        }
        _ => {
            say(&format!("{what}: ENDED, although nothing is to end it"));
            good = false;
        }
    };
    for name in LASTING {
        compare(name, lasting(first, name), lasting(last, name));
    }
    compare(
        "redis, at rest",
        Some(first.redis_kib),
        Some(last.redis_kib),
    );
    let keys = if last.keys <= first.keys {
        "steady"
    } else {
        "GREW"
    };
    say(&format!(
        "keys at rest: {} to {}, {keys}",
        first.keys, last.keys
    ));
    good &= last.keys <= first.keys;
    let middle = rounds.len() / 2;
    let median = |rounds: &[Round]| {
        let mut all: Vec<u64> = rounds.iter().map(|round| round.poll_ms[0]).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let (before, after) = rounds.split_at(middle);
    say(&format!(
        "median poll, first half to second: {} to {} ms",
        median(before),
        median(after)
    ));
    say(if good {
        "nothing leaks, and every law held"
    } else {
        "something leaks, or a law was broken"
    });
    good
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
            clients: 9.0,
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
        assert!(with(round(35_000.0, 5)));
        assert!(!with(round(60_000.0, 5)), "memory");
        assert!(!with(round(30_000.0, 6)), "keys");
        let mut broken = round(30_000.0, 5);
        broken.broken = 1;
        assert!(!with(broken), "a law");
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
