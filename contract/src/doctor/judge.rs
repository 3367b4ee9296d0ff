//! What to think of a server's own words. Pure: nothing here reads anything.

use crate::connection::Info;
use crate::doctor::config::Config;
use crate::doctor::finding::Finding;
use crate::model::overview::Misplaced;

/// A clock that is further off than this is worth a word, ms.
const CLOCK_WARN_MS: u64 = 2_000;
/// One that is further off than this makes times wrong by which people and clients act, ms.
const CLOCK_FAIL_MS: u64 = 30_000;
/// Above this much of `maxmemory`, in percent, there is little left.
const MEMORY_HIGH: u64 = 90;
/// Arguments and results up to this size are kept compactly.
const LISTPACK_VALUE: u64 = 1024;

const INFO_UNREADABLE: &str = "cannot be read, as INFO is not permitted or not there";
const PERMIT_INFO: &str = "let the user run INFO (see permissions)";

pub(super) fn version(info: &Info) -> Finding {
    let Some(product) = info.product() else {
        return Finding::warn("version", INFO_UNREADABLE, PERMIT_INFO);
    };
    let version = info.text("redis_version").unwrap_or("unknown");
    let major = version.split('.').next().and_then(|n| n.parse().ok());
    if major.unwrap_or(0_u32) < 7 {
        return Finding::fail(
            "version",
            format!("it is version {version}"),
            "use Redis 7.0 or later, or Valkey",
        );
    }
    Finding::ok("version", product)
}

pub(super) fn eviction(info: &Info) -> Finding {
    let check = "eviction";
    match info.text("maxmemory_policy") {
        // Servers that do not tell have none to choose.
        None if info.product().is_some() => Finding::ok(check, "none is reported"),
        None => Finding::warn(check, INFO_UNREADABLE, PERMIT_INFO),
        Some("noeviction") => Finding::ok(check, "maxmemory-policy is noeviction"),
        Some(policy) => Finding::fail(
            check,
            format!("maxmemory-policy is {policy}, which deletes jobs when memory runs out"),
            "run: redis-cli CONFIG SET maxmemory-policy noeviction",
        ),
    }
}

pub(super) fn memory(info: &Info) -> Finding {
    let check = "memory";
    let mib = |bytes: u64| bytes >> 20;
    match (info.number("maxmemory"), info.number("used_memory")) {
        (Some(0), used) => Finding::warn(
            check,
            format!(
                "{} MiB are used and maxmemory is not set: Redis grows until the system kills it, instead of refusing new jobs",
                mib(used.unwrap_or(0))
            ),
            "run, with a size that fits the machine: redis-cli CONFIG SET maxmemory 1gb",
        ),
        (Some(most), Some(used)) => {
            let found = format!("{} of {} MiB are used", mib(used), mib(most));
            if used.saturating_mul(100) > most.saturating_mul(MEMORY_HIGH) {
                Finding::warn(
                    check,
                    format!("{found}: new jobs will be refused soon"),
                    "give Redis more memory, or tasks a shorter ttl",
                )
            } else {
                Finding::ok(check, found)
            }
        }
        _ => Finding::warn(check, INFO_UNREADABLE, PERMIT_INFO),
    }
}

pub(super) fn cluster(info: &Info) -> Finding {
    let check = "cluster";
    match info.text("cluster_enabled") {
        Some("1") => Finding::fail(
            check,
            "it is a node of a Redis Cluster, and Taskferry does not follow MOVED: whatever lives on another node would fail",
            "use a Redis with cluster-enabled no, or an address that hides the Cluster",
        ),
        Some(_) => Finding::ok(check, "cluster mode is off"),
        None if info.product().is_some() => Finding::ok(check, "no cluster mode is reported"),
        None => Finding::warn(check, INFO_UNREADABLE, PERMIT_INFO),
    }
}

pub(super) fn role(info: &Info) -> Finding {
    let check = "role";
    match info.text("role") {
        Some("slave") => {
            let host = info.text("master_host").unwrap_or("?");
            let port = info.text("master_port").unwrap_or("?");
            Finding::fail(
                check,
                format!("it is a replica of {host}:{port}, which takes no writes"),
                &format!("let redis_url lead to the primary: --redis-url redis://{host}:{port}/0"),
            )
        }
        Some(_) => Finding::ok(check, "primary"),
        None if info.product().is_some() => Finding::ok(check, "no role is reported"),
        None => Finding::warn(check, INFO_UNREADABLE, PERMIT_INFO),
    }
}

/// So many keys are named.
const KEYS_NAMED: usize = 10;

/// Keys that somebody else wrote to.
pub(super) fn keys(misplaced: &[Misplaced]) -> Finding {
    let check = "keys";
    if misplaced.is_empty() {
        return Finding::ok(check, "queues and indexes are what they should be");
    }
    let named = misplaced.iter().take(KEYS_NAMED).map(ToString::to_string);
    let mut found = named.collect::<Vec<_>>().join(", ");
    if misplaced.len() > KEYS_NAMED {
        found.push_str(&format!(" and {} more", misplaced.len() - KEYS_NAMED));
    }
    Finding::fail(
        check,
        format!("{found}: what they are for stands still"),
        "see what they hold and who wrote it, and remove them: redis-cli DEL KEY",
    )
}

/// Settings that cost memory or connections.
pub(super) fn settings(config: &Config) -> Vec<Finding> {
    if config.0.is_none() {
        return vec![Finding::warn(
            "settings",
            "hash-max-listpack-value and timeout cannot be read, as CONFIG GET is not permitted",
            "run as an administrator: redis-cli CONFIG GET hash-max-listpack-value timeout; they should be 1024 and 0",
        )];
    }
    let listpack = match config.number("hash-max-listpack-value") {
        Some(value) if value < LISTPACK_VALUE => Finding::warn(
            "listpack",
            format!(
                "hash-max-listpack-value is {value}: records with a longer value take up to twice the memory"
            ),
            "run: redis-cli CONFIG SET hash-max-listpack-value 1024",
        ),
        Some(value) => Finding::ok("listpack", format!("hash-max-listpack-value is {value}")),
        None => Finding::ok("listpack", "hash-max-listpack-value is not reported"),
    };
    let timeout = match config.number("timeout") {
        None | Some(0) => Finding::ok("timeout", "idle connections are kept"),
        Some(seconds) => Finding::warn(
            "timeout",
            format!(
                "connections that are idle for {seconds} s are closed, as blocking reads and doorbells are"
            ),
            "run: redis-cli CONFIG SET timeout 0",
        ),
    };
    vec![listpack, timeout]
}

/// By how much a clock is ahead that was read between two readings of this machine's, all ms since the epoch. Whatever lies
/// between the two is nobody's fault.
pub(super) fn lead_ms(before: i64, theirs: i64, after: i64) -> i64 {
    match theirs {
        _ if theirs < before => theirs.saturating_sub(before),
        _ if theirs > after => theirs.saturating_sub(after),
        _ => 0,
    }
}

/// `lead_ms`: by how much Redis's clock is ahead of this machine's.
pub(super) fn clock(lead_ms: i64) -> Finding {
    let check = "clock";
    let off = lead_ms.unsigned_abs();
    let side = if lead_ms > 0 { "ahead of" } else { "behind" };
    let found = format!("Redis's clock is {off} ms {side} this machine's");
    let remedy = "set both machines' clocks by NTP; see: timedatectl status";
    match off {
        0..=CLOCK_WARN_MS => {
            Finding::ok(check, "Redis's clock and this machine's agree within 2 s")
        }
        _ if off <= CLOCK_FAIL_MS => Finding::warn(check, found, remedy),
        _ => Finding::fail(check, found, remedy),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::doctor::finding::Verdict;

    #[test]
    fn the_time_on_the_wire_is_no_fault_of_a_clock() {
        assert_eq!(lead_ms(1_000, 4_000, 9_000), 0);
        assert_eq!(lead_ms(1_000, 400, 9_000), -600);
        assert_eq!(lead_ms(1_000, 9_700, 9_000), 700);
    }

    #[test]
    fn a_clock_warns_beyond_two_seconds_and_fails_beyond_thirty() {
        for (lead_ms, verdict) in [
            (0, Verdict::Ok),
            (2_000, Verdict::Ok),
            (-2_001, Verdict::Warn),
            (30_000, Verdict::Warn),
            (30_001, Verdict::Fail),
            (i64::MIN, Verdict::Fail),
        ] {
            assert_eq!(clock(lead_ms).verdict, verdict, "{lead_ms}");
        }
        assert!(clock(-5_000).found.contains("5000 ms behind"));
        assert!(clock(5_000).found.contains("ahead of"));
    }

    #[test]
    fn versions_from_seven_on_are_good() {
        let verdict = |text: &str| version(&Info::parse(text)).verdict;
        for old in ["redis_version:6.2.14", "redis_version:nonsense"] {
            assert_eq!(verdict(old), Verdict::Fail, "{old}");
        }
        for new in ["redis_version:7.0.0", "redis_version:10.1"] {
            assert_eq!(verdict(new), Verdict::Ok, "{new}");
        }
        let valkey = Info::parse("redis_version:7.2.4\r\nvalkey_version:8.0.1");
        assert_eq!(version(&valkey).found, "Valkey 8.0.1");
    }

    #[test]
    fn memory_without_a_limit_or_nearly_used_up_is_told() {
        let found = |text: &str| memory(&Info::parse(text)).verdict;
        assert_eq!(found("used_memory:5\r\nmaxmemory:0"), Verdict::Warn);
        assert_eq!(found("used_memory:90\r\nmaxmemory:100"), Verdict::Ok);
        assert_eq!(found("used_memory:91\r\nmaxmemory:100"), Verdict::Warn);
        assert_eq!(found(""), Verdict::Warn);
    }

    #[test]
    fn settings_that_cannot_be_read_are_not_called_well() {
        assert_eq!(settings(&Config(None))[0].verdict, Verdict::Warn);
        let read = |timeout: &str, value: &str| {
            let read = HashMap::from([
                ("timeout".to_owned(), timeout.to_owned()),
                ("hash-max-listpack-value".to_owned(), value.to_owned()),
            ]);
            settings(&Config(Some(read)))
                .into_iter()
                .map(|finding| finding.verdict)
                .collect::<Vec<_>>()
        };
        assert_eq!(read("0", "1024"), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(read("300", "64"), [Verdict::Warn, Verdict::Warn]);
    }

    #[test]
    fn without_info_nothing_is_called_well() {
        let info = Info::default();
        for finding in [version(&info), eviction(&info), cluster(&info), role(&info)] {
            assert_eq!(finding.verdict, Verdict::Warn, "{finding:?}");
        }
    }
}
