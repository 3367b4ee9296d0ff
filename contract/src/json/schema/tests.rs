use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

/// What a check of a hostile value may take on a machine that does other things too, without optimization. One that takes
/// exponential time takes years.
const IN_TIME: Duration = Duration::from_secs(300);

fn compiled(schema: &Value) -> Schema {
    Schema::compile(&schema.to_string()).unwrap()
}

fn told(schema: &Value, value: &Value) -> String {
    let fault = compiled(schema).check(value).unwrap_err();
    let told = fault.to_string();
    assert!(told.len() < 1_000, "{}", told.len());
    told
}

/// Expressions: two kinds of node, each with further nodes.
fn tree() -> Value {
    let node = |kind: &str, others: Value| {
        let mut properties = json!({ "kind": { "const": kind } });
        properties
            .as_object_mut()
            .unwrap()
            .extend(others.as_object().unwrap().clone());
        json!({ "type": "object", "properties": properties, "required": ["kind"] })
    };
    let next = json!({ "$ref": "#/$defs/node" });
    json!({
        "type": "object",
        "properties": { "root": next },
        "$defs": { "node": { "anyOf": [
            node("a", json!({ "left": next, "right": next })),
            node("b", json!({ "left": next, "right": next })),
        ] } },
    })
}

/// A tree of one branch that is wrong this far down.
fn branch(levels: usize) -> Value {
    let mut node = json!({ "kind": "neither" });
    for level in 0..levels {
        let kind = if level % 2 == 0 { "a" } else { "b" };
        node = json!({ "kind": kind, "left": node });
    }
    json!({ "root": node })
}

#[test]
fn alternatives_that_refer_to_each_other_are_reported_at_once() {
    let begun = Instant::now();
    let told = told(&tree(), &branch(40));
    assert_eq!(
        told,
        "/root: the value fits none of the 2 alternatives of anyOf"
    );
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
}

#[test]
fn every_way_to_refer_to_itself_is_bounded() {
    let next = json!({ "$ref": "#/$defs/node" });
    let twice = |word: &str| json!({ word: [{ "properties": { "n": next } }, { "properties": { "n": next } }] });
    let bad = json!({ "type": "object", "maxProperties": 1 });
    let same = json!({ "properties": { "n": next } });
    for node in [
        json!({ "allOf": [bad, twice("anyOf")] }),
        json!({ "allOf": [bad, twice("oneOf")] }),
        json!({ "allOf": [bad, twice("allOf"), same] }),
        json!({ "allOf": [bad], "not": { "not": same }, "properties": { "n": next } }),
        json!({ "allOf": [bad], "if": same, "then": same, "else": same }),
        json!({ "allOf": [bad], "dependentSchemas": { "n": same }, "properties": { "n": next } }),
        json!({ "allOf": [bad], "patternProperties": { "^n": next }, "properties": { "n": next } }),
        json!({ "allOf": [bad, twice("anyOf")], "unevaluatedProperties": false }),
        json!({ "anyOf": [same, { "properties": { "n": next }, "unevaluatedProperties": next }], "allOf": [bad] }),
        json!({ "allOf": [bad], "properties": { "n": next }, "additionalProperties": next }),
    ] {
        let schema = json!({ "$ref": "#/$defs/node", "$defs": { "node": node } });
        let mut value = json!({ "x": 1, "y": 2 });
        for _ in 0..90 {
            value = json!({ "n": value });
        }
        let begun = Instant::now();
        let text = told(&schema, &value);
        assert!(
            begun.elapsed() < IN_TIME,
            "{:?}: {node}: {text}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_large_value_is_reported_by_its_first_fault_and_not_repeated() {
    let either = json!({ "type": "object", "properties": {
        "list": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "type": "boolean" }] } },
    } });
    let numbers: Vec<u32> = (0..100_000).collect();
    assert_eq!(
        told(&either, &json!({ "list": numbers })),
        "/list/0: the value fits none of the 2 alternatives of anyOf"
    );
    let text = "secret ".repeat(100_000);
    assert_eq!(
        told(
            &json!({ "properties": { "t": { "maxLength": 5 } } }),
            &json!({ "t": text })
        ),
        "/t: the value is longer than 5 characters"
    );
    let unique = json!({ "uniqueItems": true });
    let mut same: Vec<Value> = (0..20_000).map(|i| json!([i, { "a": i }])).collect();
    assert_eq!(compiled(&unique).check(&json!(same)), Ok(()));
    same.push(json!([7, { "a": 7 }]));
    assert!(told(&unique, &json!(same)).contains("non-unique"));
}

#[test]
fn the_search_for_a_fault_ends_when_its_work_is_used_up() {
    // Each part of the schema has to look at all of the text, which counts as so many values as it has 64 bytes.
    let text = json!("x".repeat(6_400_000));
    let after = |parts: usize| {
        let mut all = vec![json!({ "type": "string" }); parts];
        all.push(json!({ "maxLength": 5 }));
        told(&json!({ "allOf": all }), &text)
    };
    assert!(after(20).contains("longer than 5 characters"));
    assert!(after(40).contains("something in it does not fit the schema"));
}

#[test]
fn a_pattern_goes_back_only_so_often() {
    let looks_ahead = json!({ "pattern": "^(?:(?!b).)*$" });
    let fits = |length: usize| compiled(&looks_ahead).check(&json!("a".repeat(length)));
    assert_eq!(fits(10_000), Ok(()));
    let fault = fits(MOST_BACKTRACKS * 3).unwrap_err().to_string();
    assert!(fault.contains("backtrack") && fault.len() < 200, "{fault}");
}

/// A schema of many keywords, and a value that fits.
fn nested() -> (Value, Value) {
    let schema = json!({
        "type": "object",
        "properties": {
            "month": { "enum": ["May", "June"] },
            "a b/c": { "$ref": "#/definitions/deep%20one" },
            "list": { "prefixItems": [{ "type": "string" }], "items": { "type": "integer" } },
            "map": { "patternProperties": { "^n_": { "type": "number" } }, "additionalProperties": { "type": "string" } },
            "open": { "type": ["object", "null"], "propertyNames": { "maxLength": 3 } },
            "pair": { "oneOf": [{ "minimum": 1 }, { "maximum": 5 }] },
            "maybe": { "anyOf": [{ "$ref": "#/definitions/deep%20one" }, { "type": "null" }] },
            "no": { "not": { "type": "string" } },
            "when": { "if": { "required": ["x"] }, "then": { "required": ["y"] } },
            "some": { "contains": { "const": 1 } },
            "dep": { "dependentRequired": { "a": ["b"] }, "dependentSchemas": { "c": { "required": ["d"] } } },
            "shut": { "allOf": [{ "properties": { "a": true } }], "unevaluatedProperties": false },
            "never": false,
        },
        "required": ["month"],
        "additionalProperties": false,
        "definitions": { "deep one": { "type": "object", "properties": { "n": { "type": "integer" } } } },
    });
    (schema, json!({ "month": "May" }))
}

/// What is told of the value with these members besides.
fn told_with(members: &Value) -> String {
    let (schema, mut value) = nested();
    let members = members.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(members);
    told(&schema, &value)
}

#[test]
fn the_first_fault_is_reported_with_its_place() {
    let integer = "the value is not of type \"integer\"";
    let string = "the value is not of type \"string\"";
    for (members, place, text) in [
        (
            json!({ "month": 7 }),
            "/month",
            "the value is not one of \"May\" or \"June\"",
        ),
        (json!({ "a b/c": { "n": "x" } }), "/a b~1c/n", integer),
        (json!({ "list": [1] }), "/list/0", string),
        (json!({ "list": ["a", 1, "b"] }), "/list/2", integer),
        (
            json!({ "map": { "n_a": "x" } }),
            "/map/n_a",
            "the value is not of type \"number\"",
        ),
        (json!({ "map": { "other": 1 } }), "/map/other", string),
        (
            json!({ "when": { "x": 1 } }),
            "/when",
            "\"y\" is a required property",
        ),
        (
            json!({ "dep": { "a": 1 } }),
            "/dep",
            "\"b\" is a required property",
        ),
        (
            json!({ "dep": { "c": 1 } }),
            "/dep",
            "\"d\" is a required property",
        ),
        (json!({ "never": 1 }), "/never", "nothing is allowed here"),
    ] {
        assert_eq!(told_with(&members), format!("{place}: {text}"));
    }
    let (schema, _) = nested();
    let missing = told(&schema, &json!({}));
    assert_eq!(missing, "\"month\" is a required property");
    let other = told(&schema, &json!(1));
    assert_eq!(other, "the value is not of type \"object\"");
    assert_eq!(
        told_with(&json!({ "more\n": 1, "most": 2 })),
        "it has the property \"more\\n\" and 1 more, which the schema does not allow"
    );
}

#[test]
fn of_alternatives_one_is_followed_if_the_type_leaves_one() {
    for (members, told) in [
        (
            json!({ "maybe": { "n": "x" } }),
            "/maybe/n: the value is not of type \"integer\"",
        ),
        (
            json!({ "maybe": 3 }),
            "/maybe: the value fits none of the 2 alternatives of anyOf",
        ),
        (
            json!({ "pair": 3 }),
            "/pair: the value fits more than one of the alternatives of oneOf",
        ),
        (
            json!({ "no": "x" }),
            "/no: the value is what the schema excludes by not",
        ),
        (
            json!({ "open": { "long": 1 } }),
            "/open: the name \"long\" is not one that propertyNames allows",
        ),
        (
            json!({ "some": [2] }),
            "/some: it does not fit what the schema says by contains",
        ),
        (
            json!({ "shut": { "b": 1 } }),
            "/shut: it does not fit what the schema says by unevaluatedProperties",
        ),
    ] {
        assert_eq!(told_with(&members), told);
    }
}

#[test]
fn schemas_of_other_drafts_and_with_names_of_their_own_are_reported_too() {
    for (schema, value, text) in [
        (
            json!({ "$schema": "http://json-schema.org/draft-04/schema#",
                "properties": { "l": { "items": [{ "type": "string" }], "additionalItems": { "type": "integer" } } } }),
            json!({ "l": ["a", "b"] }),
            "/l/1: the value is not of type \"integer\"",
        ),
        (
            json!({ "$schema": "http://json-schema.org/draft-07/schema#",
                "properties": { "a": { "$ref": "#/definitions/d" } }, "definitions": { "d": { "maximum": 5 } } }),
            json!({ "a": 6 }),
            "/a: the value is greater than the maximum of 5",
        ),
        (
            json!({ "$id": "https://example.com/tool", "properties": { "a": { "$ref": "#/$defs/d" } },
                "$defs": { "d": { "properties": { "x": { "type": "null" } } } } }),
            json!({ "a": { "x": 1 } }),
            "/a/x: the value is not of type \"null\"",
        ),
        (
            json!({ "properties": { "a": { "$ref": "#/$defs/d" } }, "$defs": {
                "d": { "$id": "inner", "$ref": "#/$defs/e", "$defs": { "e": { "type": "null" } } },
                "e": { "type": "integer" },
            } }),
            json!({ "a": 1 }),
            "something in it does not fit the schema",
        ),
        (
            json!({ "properties": { "a": { "$ref": "#spot" } }, "$defs": { "d": { "$anchor": "spot", "type": "null" } } }),
            json!({ "a": 1 }),
            "/a: it does not fit what the schema says by $ref",
        ),
    ] {
        assert_eq!(told(&schema, &value), text);
    }
}

#[test]
fn what_callers_wrote_is_cut() {
    let long = "\u{7}x".repeat(1 << 20);
    let closed = json!({ "additionalProperties": false });
    let open = json!({ "additionalProperties": { "type": "null" } });
    let named = json!({ "propertyNames": { "maxLength": 3 } });
    for schema in [&closed, &open, &named] {
        told(schema, &json!({ &long: 1 }));
    }
    let mut deep = json!(1);
    let item = json!({ "$defs": { "n": { "type": "object", "additionalProperties": { "$ref": "#/$defs/n" } } },
        "$ref": "#/$defs/n" });
    for _ in 0..60 {
        deep = json!({ &long[..1_000]: deep });
    }
    told(&item, &deep);
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_with_its_place() {
    for (schema, part) in [
        (r#"{"type":7}"#, "/type: 7"),
        (
            r#"{"properties":{"a":{"$ref":"http://127.0.0.1:1/x"}}}"#,
            "127.0.0.1",
        ),
        (r##"{"properties":{"a":{"$ref":"#/nowhere"}}}"##, "nowhere"),
        (r#"{"pattern":"("}"#, "("),
        ("{", "not JSON"),
        (r#"{"a":1,"a":2}"#, "twice"),
    ] {
        let refused = Schema::compile(schema).unwrap_err();
        assert!(refused.contains(part) && refused.len() < 700, "{refused}");
    }
}
