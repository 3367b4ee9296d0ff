//! Whether workers in other languages find the functions that they call.

use crate::library::LIBRARY;
use crate::model::finding::Finding;
use crate::model::library::Libraries;

const CHECK: &str = "functions";

/// How to put the library there.
const INSTALL: &str = "run: taskferry contract install";

/// Nothing of this fails: the programs themselves call scripts, and so can others.
pub(super) fn judge(libraries: &Libraries) -> Finding {
    let name = &LIBRARY.name;
    let (own, others) = match libraries {
        Libraries::Seen { own, others } => (own, others),
        Libraries::Hidden => {
            return Finding::ok(
                CHECK,
                "this user may not see them; only workers in other languages call any",
            );
        }
        Libraries::Unsupported => {
            return noted(
                "this Redis has none",
                "workers in other languages call scripts there: taskferry contract print --eval",
            );
        }
    };
    match own {
        Some(Some(version)) if *version == LIBRARY.version => {
            Finding::ok(CHECK, format!("{name} is of this release, {version}"))
        }
        Some(Some(version)) if version.is_newer_than(&LIBRARY.version) => {
            Finding::ok(CHECK, format!("{name} is of a newer release, {version}"))
        }
        Some(Some(version)) => Finding::warn(
            CHECK,
            format!(
                "{name} is another than this program's ({}): {version}",
                LIBRARY.version
            ),
            INSTALL,
        ),
        Some(None) => Finding::warn(
            CHECK,
            format!("a library {name} is there, and is none of Taskferry's"),
            "see what it is with redis-cli FUNCTION LIST, and run: taskferry contract install",
        ),
        None if others.is_empty() => noted(
            &format!("no library {name}; only workers in other languages need it"),
            INSTALL,
        ),
        None => Finding::warn(
            CHECK,
            format!(
                "no library {name}, but {}, of another major of the contract",
                others.join(", ")
            ),
            INSTALL,
        ),
    }
}

fn noted(found: &str, remedy: &str) -> Finding {
    Finding {
        remedy: Some(remedy.to_owned()),
        ..Finding::ok(CHECK, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Verdict;
    use crate::model::library::LibraryVersion;

    fn seen(own: Option<Option<LibraryVersion>>, others: &[&str]) -> Finding {
        judge(&Libraries::Seen {
            own,
            others: others.iter().map(|name| (*name).to_owned()).collect(),
        })
    }

    #[test]
    fn only_what_another_worker_would_miss_is_a_warning() {
        let own = LIBRARY.version.clone();
        let of = |release: &str| LibraryVersion {
            release: release.to_owned(),
            ..own.clone()
        };
        for (finding, verdict, part) in [
            (
                seen(Some(Some(own.clone())), &["taskferry_2"]),
                Verdict::Ok,
                "this release",
            ),
            (seen(Some(Some(of("999.0.0"))), &[]), Verdict::Ok, "newer"),
            (
                seen(Some(Some(of("0.0.1"))), &[]),
                Verdict::Warn,
                "contract install",
            ),
            (seen(Some(None), &[]), Verdict::Warn, "FUNCTION LIST"),
            (seen(None, &[]), Verdict::Ok, "contract install"),
            (seen(None, &["taskferry_2"]), Verdict::Warn, "taskferry_2"),
            (judge(&Libraries::Hidden), Verdict::Ok, "may not see"),
            (judge(&Libraries::Unsupported), Verdict::Ok, "print --eval"),
        ] {
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.sentence().contains(part), "{finding:?}");
        }
    }
}
