//! Times what it takes to hold values to schemas that are both admitted, and that cost as much as one can make them cost.
//!
//! `cargo run --release -p taskferry-contract --example worst_work`; a name as the argument runs that case alone. docs/SECURITY.md
//! promises that no line takes much more than a second of one processor. Each case is made smaller until it is admitted.

#![expect(clippy::print_stdout, reason = "what was measured")]
#![expect(clippy::indexing_slicing, reason = "values that are made here")]

use std::time::Instant;

use serde_json::{Map, Value, json};
use taskferry_contract::Schema;

/// The largest value, bytes of JSON: the front end's `max_body` unless it is set.
const LARGEST: usize = 4 << 20;

/// A schema that costs much, and a value of about so many bytes for it.
struct Case {
    name: &'static str,
    schema: Value,
    value: fn(usize) -> Value,
}

fn items(schema: Value) -> Value {
    json!({ "type": "object", "properties": { "a": { "items": schema } } })
}

fn draft_7(schema: Value) -> Value {
    let mut schema = items(schema);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema
}

fn all_of(count: usize, make: impl Fn(usize) -> Value) -> Value {
    json!({ "allOf": (0..count).map(make).collect::<Vec<Value>>() })
}

fn any_of(count: usize, make: impl Fn(usize) -> Value) -> Value {
    json!({ "anyOf": (0..count).map(make).collect::<Vec<Value>>() })
}

fn list(count: usize, item: impl Fn(usize) -> Value) -> Value {
    json!({ "a": (0..count).map(item).collect::<Vec<Value>>() })
}

fn ones(bytes: usize) -> Value {
    list(bytes / 2, |_| json!(1))
}

fn empty_objects(bytes: usize) -> Value {
    list(bytes / 3, |_| json!({}))
}

fn short_texts(bytes: usize) -> Value {
    list(bytes / 6, |n| json!(if n % 2 == 0 { "aab" } else { "bab" }))
}

/// Letters that no machine of few states can tell the ends of.
fn letters(count: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { 'a' } else { 'b' }
    };
    (0..count).map(|_| next()).collect()
}

fn one_text(bytes: usize) -> Value {
    json!({ "a": [letters(bytes)] })
}

fn links(bytes: usize) -> Value {
    list(bytes / 40, |n| {
        json!(format!("https://example.com/a/{n:08}/b?c=d"))
    })
}

fn texts_of_300(bytes: usize) -> Value {
    let text = letters(300);
    list(bytes / 303, |_| json!(text))
}

fn one_number_as_text(bytes: usize) -> Value {
    json!({ "a": [format!("[{}1]", "1,".repeat(bytes / 2))] })
}

fn many_members(bytes: usize) -> Value {
    let members: Map<String, Value> = (0..bytes / 10)
        .map(|n| (format!("{n:06x}"), json!(1)))
        .collect();
    json!({ "a": [members] })
}

fn objects_of_four(bytes: usize) -> Value {
    list(bytes / 29, |_| json!({ "a": 1, "b": 1, "c": 1, "d": 1 }))
}

fn alike_texts(bytes: usize) -> Value {
    let text = "x".repeat(2_000);
    list(bytes / 2_010, |n| json!(format!("{text}{n:06}")))
}

fn alike_lists(bytes: usize) -> Value {
    list(bytes / 2_010, |n| {
        let mut numbers = vec![1; 1_000];
        numbers.push(n);
        json!(numbers)
    })
}

fn deep(bytes: usize) -> Value {
    let mut value = json!(1);
    for _ in 0..100 {
        value = json!([value]);
    }
    list(bytes / 202, |_| value.clone())
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let case = |name, schema, value| Case {
        name,
        schema,
        value,
    };
    let properties: Map<String, Value> = (0..1_900)
        .map(|n| (format!("p{n}"), json!({ "type": "integer" })))
        .collect();
    let known: Map<String, Value> = (0..5_000).map(|n| (format!("p{n}"), json!(true))).collect();
    let by_pattern: Map<String, Value> = (0..60)
        .map(|n| (format!("[ac]{n:02}[a-z]*b$"), json!(true)))
        .collect();
    let recursive = json!({
        "type": "object", "properties": { "a": { "$ref": "#/$defs/t" } },
        "$defs": { "t": { "anyOf": [
            { "type": "array", "items": { "$ref": "#/$defs/t" }, "minItems": 2 },
            { "type": "array", "items": { "$ref": "#/$defs/t" } },
            { "type": "integer" },
        ] } },
    });
    let mut ways: Vec<Value> = (0..90)
        .map(|n| json!({ "type": "array", "items": { "$ref": "#/$defs/t" }, "minItems": 2 + n }))
        .collect();
    ways.push(json!({ "type": "array", "items": { "$ref": "#/$defs/t" } }));
    ways.push(json!({ "type": "integer" }));
    let wide = json!({
        "type": "object", "properties": { "a": { "$ref": "#/$defs/t" } }, "$defs": { "t": { "anyOf": ways } },
    });
    vec![
        case(
            "minimum",
            items(all_of(500, |n| json!({ "minimum": 0 - n as i64 }))),
            ones,
        ),
        case(
            "multiple",
            items(all_of(
                500,
                |n| json!({ "multipleOf": 1.0 / (1_u64 << (n % 50)) as f64 }),
            )),
            ones,
        ),
        case(
            "constants",
            items(any_of(500, |n| json!({ "const": 500 - n }))),
            ones,
        ),
        case(
            "not",
            items(all_of(250, |n| json!({ "not": { "const": n + 2 } }))),
            ones,
        ),
        case(
            "one of",
            items(json!({ "oneOf": (0..500).map(|n| json!({ "const": n })).collect::<Vec<_>>() })),
            ones,
        ),
        case(
            "enum",
            items(json!({ "enum": (0..8_000).rev().collect::<Vec<_>>() })),
            ones,
        ),
        case(
            "enum of texts",
            items(json!({ "enum": (0..5_000).map(|n| format!("{n:05}")).collect::<Vec<_>>() })),
            short_texts,
        ),
        case(
            "types",
            items(any_of(500, |_| json!({ "type": "string" }))),
            ones,
        ),
        case(
            "properties",
            items(json!({ "properties": properties })),
            empty_objects,
        ),
        case(
            "properties of four",
            items(json!({ "properties": properties })),
            objects_of_four,
        ),
        case(
            "any properties",
            items(json!({ "properties": known })),
            objects_of_four,
        ),
        case(
            "only those",
            items(json!({ "properties": known, "additionalProperties": false })),
            empty_objects,
        ),
        case(
            "required",
            items(all_of(500, |n| json!({ "required": [format!("p{n}")] }))),
            empty_objects,
        ),
        case(
            "unique",
            items(json!({ "uniqueItems": true })),
            |bytes| json!({ "a": [ones(bytes)["a"].take()] }),
        ),
        case(
            "unique texts",
            items(json!({ "uniqueItems": true })),
            |bytes| json!({ "a": [alike_texts(bytes)["a"].take()] }),
        ),
        case(
            "unique lists",
            items(json!({ "uniqueItems": true })),
            |bytes| json!({ "a": [alike_lists(bytes)["a"].take()] }),
        ),
        case(
            "contains",
            items(all_of(200, |n| json!({ "contains": { "const": n } }))),
            |bytes| list(bytes / 8, |_| json!([1, 2, 3])),
        ),
        case(
            "unevaluated",
            items(
                json!({ "allOf": (0..50).map(|n| json!({ "properties": { format!("p{n}"): { "type": "integer" } } })).collect::<Vec<_>>(), "unevaluatedProperties": { "type": "integer" } }),
            ),
            many_members,
        ),
        case(
            "unevaluated of four",
            items(
                json!({ "allOf": (0..100).map(|n| json!({ "properties": { format!("p{n}"): { "type": "integer" } } })).collect::<Vec<_>>(), "unevaluatedProperties": { "type": "integer" } }),
            ),
            objects_of_four,
        ),
        case(
            "names by patterns",
            items(json!({ "patternProperties": by_pattern })),
            many_members,
        ),
        case(
            "short patterns",
            items(all_of(
                60,
                |n| json!({ "pattern": format!("[ab]?[ab]{{1,{}}}b?$", n + 2) }),
            )),
            short_texts,
        ),
        case(
            "long patterns",
            items(all_of(
                60,
                |n| json!({ "pattern": format!("^[ab]*a?[ab]{{{n}}}") }),
            )),
            one_text,
        ),
        case(
            "many states",
            items(all_of(
                60,
                |n| json!({ "not": { "pattern": format!("[ab]*a[ab]{{{}}}c", 60 + n) } }),
            )),
            one_text,
        ),
        case(
            "most states",
            items(all_of(
                60,
                |n| json!({ "not": { "pattern": format!("[ab]*a[ab]{{{}}}c", 900 + n) } }),
            )),
            one_text,
        ),
        case(
            "going back",
            items(all_of(
                60,
                |n| json!({ "not": { "pattern": format!("^(?=[ab])(a|b|ab)*{n}(?!z)c$") } }),
            )),
            texts_of_300,
        ),
        case(
            "going back, short",
            items(all_of(
                60,
                |n| json!({ "pattern": format!("^(?!z{n})(a|b|ab)*c$") }),
            )),
            short_texts,
        ),
        case(
            "going back, one",
            items(json!({ "not": { "pattern": "^(?=[ab])(a|b|ab)*(?!z)c$" } })),
            texts_of_300,
        ),
        case(
            "going back, states",
            items(all_of(
                60,
                |n| json!({ "not": { "pattern": format!("(?=[ab])[ab]*a[ab]{{{}}}c", 60 + n) } }),
            )),
            one_text,
        ),
        case(
            "leading looks",
            items(all_of(30, |n| {
                let rest = "[ab]".repeat(n + 1);
                json!({ "not": { "pattern": format!("^(?=[ab]*a)(?=[ab]*b)[ab]*{rest}c$") } })
            })),
            one_text,
        ),
        case(
            "short looks",
            items(all_of(
                60,
                |n| json!({ "not": { "pattern": format!("^(?:(?!b{{{n}}}z)[ab])*c$") } }),
            )),
            one_text,
        ),
        case(
            "one pattern",
            items(json!({ "not": { "pattern": "[ab]*a[ab]{900}c" } })),
            one_text,
        ),
        case(
            "one pattern, again",
            json!({
                "type": "object", "properties": { "a": { "items": all_of(400, |_| json!({ "$ref": "#/$defs/p" })) } },
                "$defs": { "p": { "not": { "pattern": "a*c" } } },
            }),
            one_text,
        ),
        case(
            "plain patterns",
            items(all_of(
                60,
                |n| json!({ "not": { "pattern": format!("a[ab]{{{}}}c", n % 7) } }),
            )),
            one_text,
        ),
        case(
            "long pattern",
            items(json!({ "not": { "pattern": "^(.{5000})*c$" } })),
            one_text,
        ),
        case(
            "beginnings",
            items(all_of(
                60,
                |n| json!({ "pattern": format!("^[ab]{{1,{}}}", n + 2) }),
            )),
            short_texts,
        ),
        case(
            "beginnings, long",
            items(all_of(
                60,
                |n| json!({ "not": { "pattern": format!("^[ab]{{1,{}}}a[ab]{{20}}c", n + 200) } }),
            )),
            texts_of_300,
        ),
        case(
            "formats",
            draft_7(any_of(
                500,
                |n| json!({ "format": (["email", "date-time", "ipv6", "hostname"][n % 4]) }),
            )),
            links,
        ),
        case(
            "format uri, many",
            draft_7(all_of(500, |_| json!({ "format": "uri" }))),
            links,
        ),
        case(
            "format template",
            draft_7(all_of(500, |_| json!({ "format": "uri-template" }))),
            links,
        ),
        case(
            "format regex, many",
            draft_7(all_of(50, |_| json!({ "format": "regex" }))),
            links,
        ),
        case(
            "lengths",
            items(all_of(1_900, |n| json!({ "minLength": n }))),
            one_text,
        ),
        case(
            "format regex",
            draft_7(all_of(1_500, |_| json!({ "format": "regex" }))),
            one_text,
        ),
        case(
            "format regex, short",
            draft_7(all_of(500, |_| json!({ "format": "regex" }))),
            short_texts,
        ),
        case(
            "format hostname",
            draft_7(all_of(500, |_| json!({ "format": "idn-hostname" }))),
            short_texts,
        ),
        case(
            "format uri",
            draft_7(all_of(1_500, |_| json!({ "format": "uri-reference" }))),
            one_text,
        ),
        case(
            "format email",
            draft_7(all_of(500, |_| json!({ "format": "idn-email" }))),
            short_texts,
        ),
        case(
            "content",
            draft_7(all_of(
                1_500,
                |_| json!({ "contentMediaType": "application/json" }),
            )),
            one_number_as_text,
        ),
        case("recursive", recursive, deep),
        case("recursive, wide", wide, deep),
    ]
}

/// The case with a value that is admitted, and whether it fits.
fn run(case: &Case) {
    let compiled = Instant::now();
    let schema = match Schema::compile(&case.schema.to_string()) {
        Ok(schema) => schema,
        Err(reason) => return println!("{:22} not admitted: {reason:.80}", case.name),
    };
    let compiled = compiled.elapsed();
    let mut bytes = LARGEST;
    loop {
        let value = (case.value)(bytes);
        let begun = Instant::now();
        let told = schema.check(&value);
        let took = begun.elapsed();
        if matches!(&told, Err(fault) if fault.text.contains("too much work")) {
            bytes = bytes * 4 / 5;
            continue;
        }
        let told = told.map_or_else(|fault| fault.to_string(), |()| "it fits".to_owned());
        return println!(
            "{:22} {took:>10.0?}  {bytes:>8} bytes, compiled in {compiled:.0?}: {told:.60}",
            case.name
        );
    }
}

fn main() {
    let wanted = std::env::args().nth(1);
    for case in cases() {
        if wanted.as_deref().is_none_or(|wanted| wanted == case.name) {
            run(&case);
        }
    }
}
