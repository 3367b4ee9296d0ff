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

fn refused(schema: &Value) -> String {
    Schema::compile(&schema.to_string()).unwrap_err()
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
    json!({ "$ref": "#/$defs/d0", "$defs": defs })
}

fn property(schema: Value) -> Value {
    json!({ "type": "object", "properties": { "a": schema } })
}

#[track_caller]
fn assert_refused(schema: &Value, told: &str) {
    let begun = Instant::now();
    let reason = refused(schema);
    assert!(reason.contains(told), "{reason}");
    assert!(reason.len() < 600, "{reason}");
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
}

#[test]
fn a_schema_that_costs_too_much_is_refused_with_the_bound() {
    let many = |count: usize, part: Value| json!({ "allOf": vec![part; count] });
    let line = (0..8).fold(json!({}), |part, _| json!({ "allOf": [{ "not": part }] }));
    for (schema, told) in [
        (
            property(json!({ "description": "x".repeat(70_000) })),
            "a schema has at most 65536",
        ),
        (many(2_100, json!({})), "more than 2000 subschemas"),
        (
            json!({ "allOf": vec![json!({ "$ref": "#/$defs/a" }); 501], "$defs": { "a": {} } }),
            "more than 500 references",
        ),
        (doubling(), "more than 10000 subschemas"),
        (line, "hold for the same value; have fewer in between"),
        (
            many(65, json!({ "pattern": "^a$" })),
            "it has 65 patterns, and a schema has at most 64",
        ),
        (
            property(json!({ "pattern": "x".repeat(1_001) })),
            "/properties/a: a pattern has at most 1000 bytes",
        ),
        (
            property(json!({ "pattern": "(\\w{200}){200}" })),
            "/properties/a/pattern: ",
        ),
    ] {
        assert_refused(&schema, told);
    }
}

#[test]
fn a_reference_that_leads_out_or_nowhere_is_refused_with_its_place() {
    let draft_4 = "http://json-schema.org/draft-04/schema#";
    for (schema, told) in [
        (
            property(json!({ "$ref": "#/$defs/a" })),
            "there is nothing at \"#/$defs/a\"",
        ),
        (
            property(json!({ "$ref": "https://example.com/a.json" })),
            "/properties/a/$ref: \"https://example.com/a.json\" leads out of the schema",
        ),
        (
            property(json!({ "$ref": "a.json#/x" })),
            "leads out of the schema",
        ),
        (
            property(json!({ "$id": "https://example.com/a", "type": "string" })),
            "/properties/a/$id: a part of a schema has no identifier of its own",
        ),
        (
            json!({ "$schema": draft_4, "definitions": { "a": { "id": "b" } } }),
            "/definitions/a/id: a part of a schema has no identifier of its own",
        ),
        (
            json!({ "allOf": [{ "anyOf": [{ "$ref": "#" }] }] }),
            "it refers to itself for the same value",
        ),
    ] {
        assert_refused(&schema, told);
    }
}

#[test]
fn references_inside_of_a_schema_are_admitted_however_they_are_written() {
    for schema in [
        tree(),
        json!({ "properties": { "a": { "$ref": "#" } } }),
        json!({ "$id": "https://example.com/whole", "properties": { "a": { "$ref": "#/$defs/b" } }, "$defs": { "b": {} } }),
        json!({ "properties": { "a": { "$ref": "#b" } }, "$defs": { "x": { "$anchor": "b" } } }),
        json!({ "properties": { "a": { "$ref": "#/$defs/a%20b~1c" } }, "$defs": { "a b/c": {} } }),
        json!({ "properties": { "$id": { "type": "string" }, "$ref": { "const": "http://x" } } }),
        json!({ "properties": { "a": { "const": { "$ref": "http://x" } } } }),
        json!({ "$dynamicAnchor": "n", "properties": { "a": { "items": { "$dynamicRef": "#n" } } } }),
    ] {
        compiled(&schema);
    }
}

#[test]
fn a_value_that_would_take_too_much_work_is_refused_before_it_is_held_to_anything() {
    let strict = json!({ "items": { "allOf": vec![json!({ "minimum": 0 }); 1_500] } });
    let looking = json!({ "items": { "pattern": "(?!c)b(?=a)" } });
    let begun = Instant::now();
    for (schema, value) in [
        (strict, json!(vec![1; 1 << 20])),
        (looking, json!(vec!["ab".repeat(200); 20_000])),
    ] {
        let text = told(&schema, &value);
        assert!(text.contains("too much work"), "{text}");
        assert!(text.ends_with("send less at a time"), "{text}");
        let less = value.as_array().unwrap()[..100].to_vec();
        assert_eq!(compiled(&schema).check(&json!(less)), Ok(()));
    }
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    let plain = json!({ "items": { "type": "integer", "minimum": 0 } });
    assert_eq!(compiled(&plain).check(&json!(vec![1; 1 << 20])), Ok(()));
}

#[test]
fn a_text_costs_what_all_patterns_and_formats_do_with_it() {
    let text = json!("ab".repeat(1 << 20));
    let again = |count: usize, part: Value| json!({ "allOf": vec![part; count] });
    let mut referred = again(400, json!({ "$ref": "#/$defs/p" }));
    referred["$defs"] = json!({ "p": { "pattern": "a*c" } });
    let mut read = again(20, json!({ "contentMediaType": "application/json" }));
    read["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    let states = json!({ "pattern": "[ab]*a[ab]{900}c" });
    let names = json!({ "patternProperties": { "[ab]*a[ab]{900}c": true } });
    let named = json!({ text.as_str().unwrap(): 1 });
    for (schema, value) in [
        (states, &text),
        (referred, &text),
        (read, &text),
        (names, &named),
    ] {
        let told = told(&schema, value);
        assert!(told.contains("too much work"), "{told}");
    }
    // What looks at a beginning alone, in one way, or at few characters costs no more than it takes.
    for pattern in ["^[a-z0-9-]{1,200}$", "^[^@]+@[^@]+$", "[0-9]{4}-[0-9]{2}"] {
        let part = json!("ab".repeat(1 << 16));
        let told = told(&again(10, json!({ "pattern": pattern })), &part);
        assert!(told.contains("does not match"), "{told}");
    }
}

/// On a thread as small as those of the runtime, in a build whose frames are large.
#[test]
fn the_longest_line_through_the_deepest_value_fits_on_a_stack() {
    let next = json!({ "properties": { "n": { "$ref": "#/$defs/node" } } });
    let node = (0..4).fold(next, |part, _| json!({ "allOf": [{ "anyOf": [part] }] }));
    let schema = compiled(&json!({ "$ref": "#/$defs/node", "$defs": { "node": node } }));
    let mut value = json!(1);
    for _ in 0..crate::json::readable::MAX_DEPTH {
        value = json!({ "n": value });
    }
    let checks = std::thread::Builder::new().stack_size(2 << 20);
    let fits = checks.spawn(move || schema.check(&value)).unwrap();
    assert_eq!(fits.join().unwrap(), Ok(()));
}
