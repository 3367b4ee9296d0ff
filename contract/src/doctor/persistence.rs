//! Judges how many accepted tasks would survive if Redis went down now.

use crate::connection::Info;
use crate::doctor::config::Config;
use crate::doctor::kept::{Kept, Seen};
use crate::model::durability::Durability;
use crate::model::finding::Finding;

/// The findings on disk and Redis replicas; with `wanted`, whether they are as much as that level asks for.
pub(super) fn judge(info: &Info, config: &Config, wanted: Option<Durability>) -> Vec<Finding> {
    let mut findings = vec![disk(info, config, wanted)];
    findings.extend(trouble(info));
    findings.push(replicas(info, wanted));
    findings
}

fn disk(info: &Info, config: &Config, wanted: Option<Durability>) -> Finding {
    let check = "persistence";
    let needed = wanted.map_or(Kept::Nothing, Kept::needed_for);
    let kept = match Kept::by(info, config) {
        Seen::Kept(kept) => kept,
        Seen::PolicyHidden => {
            let found =
                "appendonly is yes; appendfsync cannot be read, as CONFIG GET is not permitted";
            let remedy = "run as an administrator: redis-cli CONFIG GET appendfsync";
            return Finding::warn(check, found, remedy);
        }
        Seen::Nothing => {
            let found = "cannot be read: INFO is not permitted, or does not report it";
            return Finding::warn(check, found, "ask whoever runs this Redis");
        }
    };
    match wanted {
        None if kept == Kept::Nothing => Finding::warn(check, kept.words(), needed.remedy()),
        None => Finding::ok(check, kept.words()),
        Some(level) if kept >= needed => Finding::ok(check, format!("{level}: {}", kept.words())),
        Some(level) => Finding::fail(
            check,
            format!("durability {level} is asked for, and {}", kept.words()),
            needed.remedy(),
        ),
    }
}

/// Writes to disk that failed.
fn trouble(info: &Info) -> Vec<Finding> {
    let remedy = "see Redis's log; free disk space, or mend the disk";
    let failed = |field: &str| info.text(field).is_some_and(|status| status != "ok");
    let mut findings = Vec::new();
    if info.text("aof_enabled") == Some("1") && failed("aof_last_write_status") {
        findings.push(Finding::fail(
            "disk",
            "the last write to the append-only file failed: Redis refuses new jobs",
            remedy,
        ));
    }
    if failed("rdb_last_bgsave_status") {
        findings.push(Finding::warn(
            "disk",
            "the last snapshot failed: Redis may refuse new jobs",
            remedy,
        ));
    }
    findings
}

fn replicas(info: &Info, wanted: Option<Durability>) -> Finding {
    let (online, needed) = (
        info.replicas_online(),
        wanted.map_or(0, Durability::replicas),
    );
    let found = match online {
        0 => "no replica follows".to_owned(),
        1 => "1 replica follows".to_owned(),
        _ => format!("{online} replicas follow"),
    };
    if online >= usize::from(needed) {
        return Finding::ok("replicas", found);
    }
    Finding::fail(
        "replicas",
        format!("{found}, and {needed} are asked for"),
        "on each replica run, with this server's host and port: redis-cli REPLICAOF HOST PORT",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::model::finding::Verdict;

    fn verdict(aof: &str, fsync: Option<&str>, wanted: Option<&str>) -> Verdict {
        let info = Info::parse(&format!("aof_enabled:{aof}"));
        let config =
            fsync.map(|fsync| HashMap::from([("appendfsync".to_owned(), fsync.to_owned())]));
        disk(
            &info,
            &Config(config),
            wanted.map(|level| level.parse().unwrap()),
        )
        .verdict
    }

    #[test]
    fn what_is_kept_is_held_against_what_is_wanted() {
        let kept = [
            ("0", "everysec"),
            ("1", "no"),
            ("1", "everysec"),
            ("1", "always"),
        ];
        let table = [
            ("memory", 0),
            ("everysec", 2),
            ("replicated", 2),
            ("always", 3),
        ];
        for (level, enough) in table {
            for (at, (aof, fsync)) in kept.iter().enumerate() {
                let expected = if at >= enough {
                    Verdict::Ok
                } else {
                    Verdict::Fail
                };
                assert_eq!(
                    verdict(aof, Some(fsync), Some(level)),
                    expected,
                    "{level} {at}"
                );
            }
        }
    }

    #[test]
    fn without_a_level_only_memory_is_warned_of() {
        assert_eq!(verdict("0", None, None), Verdict::Warn);
        assert_eq!(verdict("1", Some("no"), None), Verdict::Ok);
        assert_eq!(verdict("1", None, Some("always")), Verdict::Warn);
    }

    #[test]
    fn writes_that_failed_are_reported() {
        let info =
            Info::parse("aof_enabled:1\naof_last_write_status:err\nrdb_last_bgsave_status:err");
        let verdicts: Vec<Verdict> = trouble(&info).iter().map(|found| found.verdict).collect();
        assert_eq!(verdicts, [Verdict::Fail, Verdict::Warn]);
        assert!(trouble(&Info::parse("aof_enabled:1\naof_last_write_status:ok")).is_empty());
    }

    #[test]
    fn replicas_count_once_they_are_online() {
        let info = Info::parse(
            "connected_slaves:2\nslave0:ip=::1,port=1,state=online\nslave1:ip=::1,port=2,state=wait_bgsave\nslave_expires:1",
        );
        let wanted = |level: &str| Some(level.parse().unwrap());
        assert_eq!(replicas(&info, wanted("replicated")).verdict, Verdict::Ok);
        assert_eq!(
            replicas(&info, wanted("replicated:2")).verdict,
            Verdict::Fail
        );
    }
}
