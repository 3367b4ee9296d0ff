//! Which definition of a tool a call was checked against.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::model::tool::definition::{AskFirst, ToolDefinition};

/// The rule by which digests are made. Those of another rule cannot be compared.
const RULE: &str = "1-";
/// So much of the hash is kept, bytes: it tells the versions of one tool apart, and every record has it.
const KEPT: usize = 8;
/// The longest text that is taken for a digest.
const LONGEST: usize = 64;

/// What a schema says to people alone.
const TEXTS: [&str; 4] = ["title", "description", "$comment", "examples"];
/// Keywords whose value is a table of schemas, by names of the author's.
const TABLES: [&str; 5] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
];
/// Keywords whose value is a schema, or a list of schemas.
const SCHEMAS: [&str; 16] = [
    "items",
    "prefixItems",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "allOf",
    "anyOf",
    "oneOf",
    "contentSchema",
];

/// A digest of all in a tool's definition that decides which calls fit and how their results are judged: the schemas of
/// arguments and results, what the caller is asked first, and what it must be able to do. Texts for people, the order of
/// keys, times, limits and the queue do not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DefinitionDigest(String);

impl DefinitionDigest {
    /// The digest of a definition.
    #[must_use]
    pub fn of(tool: &ToolDefinition) -> Self {
        let output = tool.output_schema.as_ref();
        let required = tool.required_capabilities.as_ref();
        let mut parts = vec![
            schema_text(tool.input_schema.get()),
            output.map_or_else(String::new, |schema| schema_text(schema.get())),
            required.map_or_else(String::new, |required| data_text(required.get())),
        ];
        parts.extend(tool.ask_first.iter().map(question));
        let mut hash = Sha256::new();
        for part in parts {
            // With its length, no part can be taken for the beginning of the next.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        let kept = hash.iter().take(KEPT).map(|byte| format!("{byte:02x}"));
        Self(format!("{RULE}{}", kept.collect::<String>()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the two are digests of different definitions. Those that were made by different rules may be of one.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        self != other && [self, other].iter().all(|one| one.0.starts_with(RULE))
    }
}

impl fmt::Display for DefinitionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// No digest of a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no digest of a definition, as in 1-0123456789abcdef")]
pub struct InvalidDigest;

impl FromStr for DefinitionDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if (1..=LONGEST).contains(&text.len()) && text.chars().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDigest)
        }
    }
}

/// The text of a question may change, what it asks for may not.
fn question(ask: &AskFirst) -> String {
    let params: Value = serde_json::from_str(ask.params.get()).unwrap_or_default();
    let mut text = format!("{} {} ", ask.key, ask.method);
    if let Some(asked) = params.get("requestedSchema") {
        write_schema(asked, &mut text);
    }
    text
}

fn schema_text(json: &str) -> String {
    let mut text = String::new();
    match serde_json::from_str(json) {
        Ok(schema) => write_schema(&schema, &mut text),
        // What cannot be read is the same only if it is the same text.
        Err(_unreadable) => text.push_str(json),
    }
    text
}

fn data_text(json: &str) -> String {
    let mut text = String::new();
    match serde_json::from_str(json) {
        Ok(data) => write_data(&data, &mut text),
        Err(_unreadable) => text.push_str(json),
    }
    text
}

/// Writes a schema, or a list of schemas, with sorted keys and without texts.
fn write_schema(schema: &Value, to: &mut String) {
    match schema {
        Value::Object(keywords) => {
            let told = keywords.iter().filter(|(name, _)| !is_text(name));
            write_object(told, to, |name, value, to| {
                if TABLES.contains(&name) {
                    write_table(value, to);
                } else if SCHEMAS.contains(&name) {
                    write_schema(value, to);
                } else {
                    write_data(value, to);
                }
            });
        }
        Value::Array(schemas) => write_array(schemas, to, write_schema),
        other => write_data(other, to),
    }
}

fn is_text(keyword: &str) -> bool {
    TEXTS.contains(&keyword)
}

fn write_table(table: &Value, to: &mut String) {
    match table {
        Value::Object(schemas) => {
            write_object(schemas.iter(), to, |_, schema, to| write_schema(schema, to));
        }
        other => write_data(other, to),
    }
}

fn write_data(data: &Value, to: &mut String) {
    match data {
        Value::Object(members) => {
            write_object(members.iter(), to, |_, value, to| write_data(value, to));
        }
        Value::Array(items) => write_array(items, to, write_data),
        plain => to.push_str(&plain.to_string()),
    }
}

fn write_object<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    to: &mut String,
    write: impl Fn(&str, &Value, &mut String),
) {
    let mut members: Vec<(&String, &Value)> = members.collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    to.push('{');
    for (name, value) in members {
        to.push_str(&Value::from(name.as_str()).to_string());
        to.push(':');
        write(name, value, to);
        to.push(',');
    }
    to.push('}');
}

fn write_array(items: &[Value], to: &mut String, write: impl Fn(&Value, &mut String)) {
    to.push('[');
    for item in items {
        write(item, to);
        to.push(',');
    }
    to.push(']');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::value::RawValue;

    use super::*;
    use crate::model::tool::Rate;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn tool(input: &str) -> ToolDefinition {
        ToolDefinition::new("t".parse().unwrap(), raw(input))
    }

    fn of(input: &str) -> DefinitionDigest {
        DefinitionDigest::of(&tool(input))
    }

    #[test]
    fn a_digest_is_the_same_whatever_people_are_reported() {
        let plain = of(r#"{"type":"object","properties":{"a":{"type":"string"},"b":{}}}"#);
        assert_eq!(plain.as_str(), "1-237c4d9a36ca3042");
        let told = of(r#"{
            "$comment": "x", "description": "y", "title": "z", "examples": [{"a": "b"}],
            "properties": {"b": {"description": "w"}, "a": {"title": "v", "type": "string"}},
            "type": "object"}"#);
        assert_eq!(told, plain);
        let nested = of(r#"{"anyOf":[{"items":{"type":"string"}}],"not":{"type":"null"}}"#);
        let told = of(r#"{"anyOf":[{"items":{"type":"string","title":"x"}}],
            "not":{"type":"null","description":"y"}}"#);
        assert_eq!(told, nested);
    }

    #[test]
    fn a_digest_is_another_when_other_calls_fit() {
        let plain = of(r#"{"type":"object","properties":{"a":{"type":"string"}}}"#);
        for other in [
            r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"},"b":{}}}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"},"description":{}}}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#,
            r#"{"type":"object","properties":{"a":{"type":"string","default":"x"}}}"#,
            r#"{"type":"object","properties":{"a":{"enum":[{"title":"x"}]}}}"#,
        ] {
            assert!(of(other).differs(&plain), "{other}");
        }
        let title = |title| {
            of(&format!(
                r#"{{"properties":{{"a":{{"enum":[{{"title":"{title}"}}]}}}}}}"#
            ))
        };
        assert!(title("x").differs(&title("y")), "a value is no text");
    }

    #[test]
    fn results_questions_and_capabilities_count_and_policy_does_not() {
        let plain = tool("{}");
        let digest = DefinitionDigest::of(&plain);
        let ask = |params: &str| AskFirst {
            key: "k".to_owned(),
            method: "elicitation/create".to_owned(),
            params: raw(params),
        };
        let mut others = [(); 4].map(|()| plain.clone());
        others[0].output_schema = Some(raw("{}"));
        others[1].required_capabilities = Some(raw(r#"{"sampling":{}}"#));
        others[2].ask_first = vec![ask(r#"{"requestedSchema":{"type":"object"}}"#)];
        others[3].ask_first = vec![ask("{}")];
        let digests: Vec<DefinitionDigest> = others.iter().map(DefinitionDigest::of).collect();
        for (i, one) in digests.iter().enumerate() {
            assert!(one.differs(&digest));
            assert!(digests.iter().skip(i + 1).all(|other| other.differs(one)));
        }
        others[3].ask_first = vec![ask(r#"{"message":"Now?"}"#)];
        assert_eq!(DefinitionDigest::of(&others[3]), digests[3]);
        let mut same = plain;
        same.description = Some("other words".to_owned());
        same.timeout_ms = 1;
        same.attempts = 9;
        same.concurrency = Some(1);
        same.rate = Some(Rate::new(1, Duration::from_secs(1)));
        assert_eq!(DefinitionDigest::of(&same), digest);
    }

    #[test]
    fn a_digest_of_another_rule_says_nothing() {
        let (own, other): (_, DefinitionDigest) = (of("{}"), "9-abc".parse().unwrap());
        assert!(!own.differs(&other) && !other.differs(&own) && !own.differs(&own));
        assert_eq!(own.as_str().parse(), Ok(own));
        for text in ["", "a b", &"x".repeat(65)] {
            assert_eq!(text.parse::<DefinitionDigest>(), Err(InvalidDigest));
        }
    }
}
