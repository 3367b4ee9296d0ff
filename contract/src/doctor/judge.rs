//! Judges what a server reports in INFO and CONFIG, and the keys and clocks that were read. Pure: nothing here reads
//! anything.

use crate::connection::Info;
use crate::doctor::config::Config;
use crate::model::finding::Finding;
use crate::model::overview::Misplaced;

/// Above this difference of clocks, ms: a warning.
const CLOCK_WARN_MS: u64 = 2_000;
/// Above this, ms: a failure. Times that people and clients rely on are wrong then.
const CLOCK_FAIL_MS: u64 = 30_000;
/// Warn above this use of `maxmemory`, percent.
const MEMORY_HIGH: u64 = 90;
/// The `hash-max-listpack-value` that Taskferry wants: a record is stored compactly (as a listpack) only while no value of
/// it is longer.
const LISTPACK_VALUE: u64 = 1024;

const INFO_UNREADABLE: &str =
    "cannot be read: INFO is not permitted, or this server does not have it";
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
        // A server that answers INFO without a policy has no setting for it (some managed servers).
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
            "use a Redis with cluster-enabled no, or a proxy that speaks to the Cluster for its clients",
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

/// At most so many keys are listed by name.
const MOST_KEYS_LISTED: usize = 10;

/// Whether any key holds another type than its name calls for, because something other than Taskferry wrote to it.
pub(super) fn keys(misplaced: &[Misplaced]) -> Finding {
    let check = "keys";
    if misplaced.is_empty() {
        return Finding::ok(check, "every queue and index has its type");
    }
    let named = misplaced
        .iter()
        .take(MOST_KEYS_LISTED)
        .map(ToString::to_string);
    let mut found = named.collect::<Vec<_>>().join(", ");
    if misplaced.len() > MOST_KEYS_LISTED {
        found.push_str(&format!(" and {} more", misplaced.len() - MOST_KEYS_LISTED));
    }
    Finding::fail(
        check,
        format!("{found}: queues or tools that need these keys do not work"),
        "find out what wrote them, then remove each: redis-cli DEL KEY",
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
                "Redis closes connections that are idle for {seconds} s, which breaks blocking reads and subscriptions"
            ),
            "run: redis-cli CONFIG SET timeout 0",
        ),
    };
    vec![listpack, timeout]
}

/// By how much another clock is ahead of this machine's, ms; negative if behind. `theirs` was read after `before` and
/// before `after`, so any value between them counts as no difference.
pub(super) fn lead_ms(before: i64, theirs: i64, after: i64) -> i64 {
    match theirs {
        _ if theirs < before => theirs.saturating_sub(before),
        _ if theirs > after => theirs.saturating_sub(after),
        _ => 0,
    }
}

/// `lead_ms` is by how much Redis's clock is ahead of this machine's.
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
    use crate::model::finding::Verdict;

    #[test]
    fn the_time_of_the_round_trip_is_not_counted() {
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
    fn memory_without_a_limit_or_nearly_used_up_is_a_warning() {
        let verdict = |text: &str| memory(&Info::parse(text)).verdict;
        assert_eq!(verdict("used_memory:5\r\nmaxmemory:0"), Verdict::Warn);
        assert_eq!(verdict("used_memory:90\r\nmaxmemory:100"), Verdict::Ok);
        assert_eq!(verdict("used_memory:91\r\nmaxmemory:100"), Verdict::Warn);
        assert_eq!(verdict(""), Verdict::Warn);
    }

    #[test]
    fn unreadable_settings_are_a_warning() {
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
    fn without_info_everything_is_a_warning() {
        let info = Info::default();
        for finding in [version(&info), eviction(&info), cluster(&info), role(&info)] {
            assert_eq!(finding.verdict, Verdict::Warn, "{finding:?}");
        }
    }
}
