//! Fuzz targets: what must hold of any bytes. `scripts/fuzz` runs them for long, the tests below for a moment.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::raw::{RawObject, compact};
use crate::json::readable::{PART_DEPTH, check_readable};
use crate::json::schema::unique_names;
use crate::model::arguments::Arguments;
use crate::model::client_task::ClientTask;
use crate::model::dead_letter::{DeadLetter, LetterId};
use crate::model::ids::{AttemptNumber, SenderId, SessionId, TaskId};
use crate::model::shard::Shards;
use crate::model::tool::{ToolChecks, ToolDefinition};
use crate::model::waits::Waits;
use crate::store::record::{job_from_pairs, view_from_pairs};

/// The longest text that a caller is told about a fault, bytes.
const LONGEST_TOLD: usize = 16 << 10;

/// Any JSON: its readers agree on it.
///
/// # Panics
///
/// If they do not.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let readable = check_readable(text, PART_DEPTH);
    let unique = unique_names(text);
    let value: Option<Value> = serde_json::from_str(text).ok();
    // What is JSON by its grammar, and readable, every reader takes.
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    if is_json && readable.is_ok() {
        assert!(value.is_some(), "readable, and not read");
    }
    let Some(value) = value else {
        return;
    };
    let packed = compact(text);
    assert!(
        packed.len() <= text.len(),
        "what is left out makes it shorter"
    );
    assert_eq!(
        serde_json::from_str::<Value>(&packed).ok().as_ref(),
        Some(&value)
    );
    let Ok(object) = RawObject::parse(text) else {
        assert!(!value.is_object(), "an object that cannot be read as one");
        return;
    };
    let written = serde_json::to_string(&object).expect("what was read is written");
    assert_eq!(
        serde_json::from_str::<Value>(&written).ok().as_ref(),
        Some(&value)
    );
    let members: HashMap<String, Value> =
        serde_json::from_str(text).expect("an object has members");
    for (name, member) in &members {
        let read = object.get(name).map(serde_json::from_str::<Value>);
        assert!(
            matches!(read, Some(Ok(read)) if read == *member),
            "{name:?} differs"
        );
    }
    if unique.is_ok() {
        let names = written_names(&written);
        assert_eq!(
            names,
            members.len(),
            "a name that is there twice was not seen"
        );
    }
}

/// How many members an object has as it is written.
fn written_names(object: &str) -> usize {
    struct Count(usize);
    impl<'de> serde::Deserialize<'de> for Count {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Members;
            impl<'de> serde::de::Visitor<'de> for Members {
                type Value = Count;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Count, A::Error> {
                    let mut count = 0;
                    while map
                        .next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?
                        .is_some()
                    {
                        count += 1;
                    }
                    Ok(Count(count))
                }
            }
            from.deserialize_map(Members)
        }
    }
    serde_json::from_str(object).map_or(0, |Count(count)| count)
}

/// A tool's definition, and on the next line arguments, or a result: what is admitted can be used.
///
/// # Panics
///
/// If a fault that is told has no bounds, or a definition does not read back.
pub fn definition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (definition, arguments) = text.split_once('\n').unwrap_or((&text, "{}"));
    let Ok(tool) = serde_json::from_str::<ToolDefinition>(definition) else {
        return;
    };
    let written = serde_json::to_string(&tool).expect("what was read is written");
    let again: ToolDefinition = serde_json::from_str(&written).expect("what was written is read");
    let checks = match ToolChecks::of(&tool) {
        Ok(checks) => checks,
        Err(told) => return assert!(told.len() <= LONGEST_TOLD, "{} bytes are told", told.len()),
    };
    assert!(
        ToolChecks::of(&again).is_ok(),
        "it is taken once, and not again"
    );
    if unique_names(arguments).is_err() || check_readable(arguments, PART_DEPTH).is_err() {
        return;
    }
    let faults = [
        checks.arguments(&Arguments::from(arguments)),
        checks.result(arguments),
    ];
    for told in faults.into_iter().filter_map(Result::err) {
        assert!(told.len() <= LONGEST_TOLD, "{} bytes are told", told.len());
    }
}

/// A record of any fields, a line each as `name=value`: it is read, or refused with its name.
///
/// # Panics
///
/// If a record that is read is of another task, or if an id is not written as it was read.
pub fn record(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let shard = Shards::default().all().next().expect("there is a shard");
    let id = TaskId::random(shard);
    match view_from_pairs(id, pairs.clone()) {
        Ok(view) => assert_eq!(view.id, id),
        Err(error) => assert!(error.to_string().contains("the record of"), "{error}"),
    }
    match job_from_pairs(id, AttemptNumber(1), pairs.clone()) {
        Ok(job) => assert_eq!(job.id, id),
        Err(error) => assert!(error.to_string().contains("the record of"), "{error}"),
    }
    let letter = DeadLetter::from_entry(shard, "1-1", pairs.clone());
    assert!(letter.is_some(), "a dead letter cannot be read");
    for (_, value) in &pairs {
        let _ = (ClientTask::read(value), Waits::read(value));
        // However an id is written, it means one thing.
        reads_back::<TaskId>(value);
        reads_back::<SessionId>(value);
        reads_back::<SenderId>(value);
        reads_back::<LetterId>(value);
    }
}

/// What is read from a text is read from what it is written as.
fn reads_back<T: std::str::FromStr + std::fmt::Display + PartialEq>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let written = read.to_string();
        assert!(
            written.parse::<T>().is_ok_and(|again| again == read),
            "{text:?} became {written:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    taskferry_testing::fuzz_tests! { json, definition, record }
}
