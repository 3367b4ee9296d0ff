//! Schemas that cost much to apply, and what is sent to tools that have them.

use futures_util::future::join_all;
use serde_json::Value;

use super::*;
use crate::client::Legacy;

/// An array of so many numbers, all the same.
fn numbers(count: usize) -> Value {
    json!({ "list": vec![1; count] })
}

/// Holds each item of a list to so many subschemas, and compares it with more.
fn held_to(count: usize) -> Value {
    let held = vec![json!({ "minimum": 0 }); count];
    let items = json!({ "allOf": held, "enum": vec![1; count * 9] });
    json!({ "type": "object", "properties": { "list": { "items": items } } })
}

/// Each level holds a value to the next one twice.
fn doubling() -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
        let twice = json!({ "allOf": [{ "items": next }, { "items": next }] });
        defs.insert(format!("d{level}"), twice);
    }
    defs.insert("d40".to_owned(), json!({ "type": "object" }));
    json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/d0" } }, "$defs": defs })
}

#[tokio::test]
async fn costly_schemas_and_arguments_cost_others_nothing() {
    let mut attacked = Attacked::start(&[]).await;
    register(&attacked.server, "doubling", &doubling()).await;
    let refused = attacked
        .replica
        .process
        .wait_for_line(SOON, "tool=doubling");
    let line = refused.await;
    assert!(line.contains("more than 10000 subschemas"), "{line}");
    register(&attacked.server, "strict", &held_to(1_900)).await;
    register(&attacked.server, "costly", &held_to(30)).await;
    attacked.replica.lists("costly").await;
    let (modern, legacy) = (
        attacked.other.clone(),
        Legacy::open_with_tasks(&attacked.replica.endpoint).await,
    );
    let attack = async move || {
        // None of them fits: so no job is left.
        let mut costly = numbers(100_000);
        costly["list"][99_999] = json!(-1);
        let (many, costly) = (numbers(300_000), &costly);
        let (answers, refused, legacy_refused) = tokio::join!(
            join_all((0..4).map(|_| modern.call("costly", costly.clone()))),
            modern.call("strict", many.clone()),
            legacy.call("strict", many),
        );
        for answer in answers {
            assert!(answer.text.contains(": /list"), "{}", answer.text);
        }
        for answer in [refused, legacy_refused] {
            assert!(answer.text.contains("too much work"), "{}", answer.text);
        }
        modern.call("doubling", json!({ "a": [] })).await
    };
    let unknown = attacked.beside(attack).await;
    let told =
        "the tool doubling cannot be called, since its definition cannot be used: input_schema: ";
    assert!(unknown.message().starts_with(told), "{}", unknown.text);
    attacked.check_after().await;
}
