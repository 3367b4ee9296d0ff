//! Jobs as Redis holds them, and tools that go on when a file says so.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use taskferry_testing::{TestServer, eventually, eventually_some, redis};

use crate::fleet::Fleet;

const SOON: Duration = Duration::from_secs(20);

/// The records of all jobs, by key.
pub(crate) async fn records(fleet: &Fleet) -> HashMap<String, HashMap<String, String>> {
    let mut connection = fleet.redis.raw().await;
    let mut keys = redis::cmd("KEYS");
    keys.arg("tf:*:task:*");
    let keys: Vec<String> = keys.query_async(&mut connection).await.unwrap();
    let mut records = HashMap::new();
    for key in keys {
        let mut read = redis::cmd("HGETALL");
        read.arg(&key);
        records.insert(key, read.query_async(&mut connection).await.unwrap());
    }
    records
}

/// Loses the records of all jobs.
pub(crate) async fn lose_records(fleet: &Fleet) {
    let keys: Vec<String> = records(fleet).await.into_keys().collect();
    let lose = redis::cmd("DEL").arg(&keys).to_owned();
    let lost: usize = lose
        .query_async(&mut fleet.redis.raw().await)
        .await
        .unwrap();
    assert_eq!(lost, keys.len());
}

/// Lets a record expire now, as if its time had come.
pub(crate) async fn expire(server: &TestServer, id: &str) {
    let mut connection = server.raw().await;
    let shard = id.split('-').next().unwrap();
    for index in ["active", "owned"] {
        let mut keys = redis::cmd("KEYS");
        keys.arg(format!("tf:{{{shard}}}:{index}:*"));
        let keys: Vec<String> = keys.query_async(&mut connection).await.unwrap();
        for key in keys {
            let mut ended = redis::cmd("ZADD");
            ended.arg(key).arg("XX").arg(1).arg(id);
            ended.query_async::<()>(&mut connection).await.unwrap();
        }
    }
    let record = format!("tf:{{{shard}}}:task:{id}");
    let mut end = redis::cmd("PEXPIRE");
    end.arg(&record).arg(1);
    let ended: i64 = end.query_async(&mut connection).await.unwrap();
    assert_eq!(ended, 1, "there is no record {record}");
    eventually(SOON, "the record expires", async || {
        let exists = redis::cmd("EXISTS").arg(&record).to_owned();
        exists.query_async::<i64>(&mut connection).await.unwrap() == 0
    })
    .await;
}

/// The one job there is, once it is as wanted.
pub(crate) async fn the_job(
    fleet: &Fleet,
    what: &str,
    wanted: impl Fn(&HashMap<String, String>) -> bool,
) -> HashMap<String, String> {
    eventually_some(SOON, what, async || {
        let mut records = records(fleet).await.into_values();
        let (job, more) = (records.next()?, records.next());
        assert_eq!(more, None, "there is one job");
        wanted(&job).then_some(job)
    })
    .await
}

/// Waits until a field of the one job there is has a value.
pub(crate) async fn job_has(fleet: &Fleet, name: &str, value: &str) {
    let what = format!("{name} is {value}");
    let has_it = |job: &HashMap<String, String>| job.get(name).is_some_and(|has| has == value);
    the_job(fleet, &what, has_it).await;
}

/// Whether so many plain calls hold a job.
pub(crate) fn held_by(count: usize) -> impl Fn(&HashMap<String, String>) -> bool {
    move |job| {
        job.get("holders")
            .is_some_and(|held| held.split(',').count() == count)
    }
}

/// Whether an attempt of a job runs.
pub(crate) fn runs(job: &HashMap<String, String>) -> bool {
    job["status"] == "working"
}

/// Lets a paced tool take steps; the fourth is its end.
pub(crate) fn take_steps(folder: &Path, steps: impl IntoIterator<Item = u32>) {
    for step in steps {
        std::fs::write(folder.join(step.to_string()), "").unwrap();
    }
}

/// The arguments of the tool that takes them.
pub(crate) fn paced(folder: &Path) -> Value {
    json!({ "folder": folder })
}

/// The params of a call with `_meta`.
pub(crate) fn call(tool: &str, arguments: &Value, meta: Value) -> Value {
    json!({ "name": tool, "arguments": arguments, "_meta": meta })
}

/// The text of a tool's result.
pub(crate) fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}
