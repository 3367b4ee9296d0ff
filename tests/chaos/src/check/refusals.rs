//! Somebody is served: enough while faults are made, everybody after them, and whoever is not is told so in a way that a
//! fault explains.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{History, Outcome, Turned, What};
use crate::plan::{Era, PROBE};

/// While faults are made, one task of either era is to be completed in so many seconds, and one plain call answered with
/// its result. An idle machine does eight times as much.
const SECONDS_A_TASK: u64 = 4;
const SECONDS_A_CALL: u64 = 10;

const INTERNAL: i64 = -32603;
const INVALID_REQUEST: i64 = -32600;
const INVALID_PARAMS: i64 = -32602;

/// A request is refused with what a fault explains: Redis away, full or without its data.
pub(super) fn refusals_are_explained(history: &History) -> Vec<Violation> {
    let law = "a refusal has its reason";
    let mut broken = Vec::new();
    for (turned, times) in &history.turned {
        if !explains(history, turned) {
            let text = format!("{times} times {turned:?}");
            broken.push(Violation::of(law, "", text));
        }
    }
    for seen in &history.seen {
        let code =
            |error: &serde_json::Value| error.get("code").and_then(serde_json::Value::as_i64);
        let explained = match &seen.what {
            What::Refused(error) => !history.keeps_data && code(error) == Some(INVALID_PARAMS),
            _ => true,
        };
        if !explained {
            let text = format!("{} got {:?}", seen.label, seen.what);
            broken.push(Violation::of(law, &seen.task, text));
        }
    }
    broken
}

fn explains(history: &History, turned: &Turned) -> bool {
    match (turned.status, turned.code) {
        (503, INTERNAL) => turned.retry_after,
        // A session goes with Redis's data alone.
        (404, INVALID_REQUEST) => !history.keeps_data,
        _ => false,
    }
}

/// A system that refuses everything breaks no other law.
pub(super) fn something_is_served(history: &History) -> Vec<Violation> {
    let mut broken = Vec::new();
    for era in [Era::Legacy, Era::Modern] {
        let floors = [
            (
                false,
                "tasks were completed",
                history.faults_s / SECONDS_A_TASK,
            ),
            (
                true,
                "plain calls had their result",
                history.faults_s / SECONDS_A_CALL,
            ),
        ];
        for (plain, what, least) in floors {
            let labels = served(history).into_iter();
            let calls = labels.filter_map(|label| history.calls.get(label));
            let found = calls
                .filter(|call| {
                    call.era == era && call.plain == plain && !call.label.starts_with(PROBE)
                })
                .count();
            if u64::try_from(found).unwrap_or(u64::MAX) < least {
                let text = format!("{found} {what} in the {era:?} era, and {least} is the least");
                broken.push(Violation::of("something is served meanwhile", "", text));
            }
        }
    }
    broken
}

/// Once all faults are over, each replica takes a task and a plain call of either era, and they are completed.
pub(super) fn every_replica_serves_again(history: &History) -> Vec<Violation> {
    let law = "every replica serves after the faults";
    let served = served(history);
    let probes: Vec<&String> = history
        .calls
        .keys()
        .filter(|label| label.starts_with(PROBE))
        .collect();
    let failed = probes
        .iter()
        .filter(|label| !served.contains(label.as_str()));
    let mut broken: Vec<Violation> = failed
        .map(|label| Violation::of(law, "", format!("{label} was not served")))
        .collect();
    if probes.len() != 4 * history.replicas {
        let text = format!("{} probes of {} replicas", probes.len(), history.replicas);
        broken.push(Violation::of(law, "", text));
    }
    broken
}

/// The names of calls that came to a result.
fn served(history: &History) -> BTreeSet<&str> {
    let results = history.seen.iter().filter(|seen| {
        matches!(
            seen.what,
            What::Ended(Outcome::Result(_)) | What::Answered(Outcome::Result(_))
        )
    });
    results.map(|seen| seen.label.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::samples::{a_good_run, broken_laws, ended, result};
    use crate::history::Seen;
    use crate::plan::Call;

    fn turned(status: u16, code: i64, retry_after: bool) -> Turned {
        Turned {
            status,
            retry_after,
            code,
            message: "no".to_owned(),
        }
    }

    #[test]
    fn a_refusal_that_no_fault_explains_is_reported() {
        let laws = |turned: Turned, keeps_data| {
            let mut history = a_good_run();
            history.keeps_data = keeps_data;
            history.turned.insert(turned, 1);
            broken_laws(&history)
        };
        let law = ["a refusal has its reason"];
        assert!(laws(turned(503, INTERNAL, true), true).is_empty());
        assert_eq!(laws(turned(503, INTERNAL, false), true), law);
        assert_eq!(laws(turned(500, INTERNAL, false), true), law);
        assert_eq!(laws(turned(429, INTERNAL, true), true), law);
        assert_eq!(laws(turned(400, INVALID_REQUEST, false), false), law);
        assert!(laws(turned(404, INVALID_REQUEST, false), false).is_empty());
        assert_eq!(laws(turned(404, INVALID_REQUEST, false), true), law);
    }

    #[test]
    fn a_task_call_that_is_refused_although_redis_has_its_data_is_reported() {
        let mut history = a_good_run();
        history.seen.push(Seen {
            task: String::new(),
            what: What::Refused(json!({ "code": INVALID_PARAMS, "message": "no such tool" })),
            ..ended(45, result(2))
        });
        assert_eq!(broken_laws(&history), ["a refusal has its reason"]);
        history.keeps_data = false;
        assert!(broken_laws(&history).is_empty());
    }

    #[test]
    fn a_run_in_which_too_little_is_served_is_reported() {
        let mut history = a_good_run();
        history.faults_s = SECONDS_A_TASK;
        let broken = something_is_served(&history);
        assert_eq!(broken.len(), 1, "the modern era has no task: {broken:?}");
        history.faults_s = SECONDS_A_CALL;
        // Two tasks and a plain call of either era, and one task is there.
        assert_eq!(something_is_served(&history).len(), 4);
        assert_eq!(broken_laws(&history), ["something is served meanwhile"]);
    }

    #[test]
    fn a_replica_that_does_not_serve_again_is_reported() {
        let law = ["every replica serves after the faults"];
        let mut history = a_good_run();
        history.replicas = 1;
        assert_eq!(broken_laws(&history), law, "it was not asked");
        let sample = ended(70, result(2));
        for call in Call::probes(0) {
            history.seen.push(Seen {
                label: call.label.clone(),
                task: String::new(),
                what: What::Answered(Outcome::Result(json!({}))),
                ..sample.clone()
            });
            history.calls.insert(call.label.clone(), call);
        }
        assert!(broken_laws(&history).is_empty());
        history.seen.pop();
        assert_eq!(broken_laws(&history), law);
    }
}
