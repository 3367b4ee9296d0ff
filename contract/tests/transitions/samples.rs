//! What tests of transitions store and find, as it most often is.

use std::time::Duration;

use taskferry_contract::{
    Alias, ClaimReply, DeliveredEntry, Delivery, HeldAttempt, Job, Look, NewQuestion, Outcome,
    Owner, QueueName, RedisSettings, Scope, Sender, SessionId, ToolDefinition, WorkerId,
    WorkerInfo,
};

/// What a store may wait for an answer where the test is not about that: longer than any machine stalls.
const PATIENCE: Duration = Duration::from_secs(30);
/// A question, as a worker puts it.
pub(crate) const QUESTION: &str =
    r#"{"method":"elicitation/create","params":{"message":"which?"}}"#;

/// A question under this key.
pub(crate) const fn asking(key: &str) -> NewQuestion<'_> {
    NewQuestion {
        key,
        request: QUESTION,
    }
}

/// Keys with questions or answers.
pub(crate) fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(key, answer)| ((*key).to_owned(), (*answer).to_owned()))
        .collect()
}

/// A connection of this front end, of one session.
pub(crate) fn sender(replica: &str) -> Sender {
    sender_of(replica, session(1))
}

pub(crate) fn sender_of(replica: &str, session: SessionId) -> Sender {
    Sender {
        id: format!("{replica}:00c0ffee").parse().unwrap(),
        session,
        right_lasts: Duration::from_secs(60),
    }
}

/// One of several sessions.
pub(crate) fn session(number: u8) -> SessionId {
    format!("00000000-0000-4000-8000-{number:012}")
        .parse()
        .unwrap()
}

/// An idempotency key of an owner, for one call.
pub(crate) fn key(owner: &Owner, key: &str) -> Alias {
    let scope = Scope {
        owner,
        session: None,
    };
    Alias::key(scope, key, "the-call".into())
}

/// Settings under which a slow answer is no error.
pub(crate) fn patient(url: &str) -> RedisSettings {
    let mut settings = RedisSettings::new(url);
    settings.response_timeout = PATIENCE;
    settings
}

pub(crate) fn tool(name: &str) -> ToolDefinition {
    let schema = serde_json::value::RawValue::from_string(r#"{"type":"object"}"#.to_owned());
    ToolDefinition::new(name.parse().unwrap(), schema.unwrap())
}

/// A worker as it tells of itself.
pub(crate) fn worker(id: &str) -> WorkerInfo {
    WorkerInfo {
        queues: "default,reports".to_owned(),
        id: id.parse().unwrap(),
        host: "host-a".to_owned(),
        pid: 7,
        version: "0.1.0".to_owned(),
        slots: 4,
        busy: 1,
        doing: "fetching".to_owned(),
        tools: "a,b".to_owned(),
        digests: "a 1-0a".to_owned(),
    }
}

pub(crate) fn completed() -> Outcome {
    Outcome::Completed {
        result: r#"{"content":[ ],"n":1}"#.to_owned(),
        is_error: false,
        message: None,
    }
}

pub(crate) fn failed(message: &str) -> Outcome {
    Outcome::Failed {
        error: r#"{"code":-32000,"message":"no"}"#.to_owned(),
        message: message.to_owned(),
    }
}

/// Text that it takes Redis some milliseconds to copy.
pub(crate) fn slow() -> String {
    "x".repeat(32 << 20)
}

pub(crate) fn started(
    claimed: DeliveredEntry,
    worker: &WorkerId,
    reply: ClaimReply,
) -> (HeldAttempt, Job) {
    let ClaimReply::Started(job) = reply else {
        panic!("the attempt did not start: {reply:?}");
    };
    let hold = HeldAttempt {
        claimed,
        attempt: job.attempt,
        worker: worker.clone(),
    };
    (hold, *job)
}

/// So many pending entries, however short a time they were left alone.
pub(crate) fn look_at(count: u32) -> Look<'static> {
    Look {
        count,
        idle: Duration::ZERO,
        silent: &[],
    }
}

/// The one job in what was delivered.
pub(crate) fn job_in(mut deliveries: Vec<Delivery>) -> DeliveredEntry {
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    match deliveries.pop() {
        Some(Delivery::Job(claimed)) => claimed,
        other => panic!("not a job: {other:?}"),
    }
}

pub(crate) fn queue(name: &str) -> QueueName {
    name.parse().unwrap()
}
