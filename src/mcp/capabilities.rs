//! What a tool requires of its clients.

use serde_json::{Map, Value, json};

/// What of `required` a client that declares `declared`, a JSON object, lacks.
pub(super) fn missing(required: &Map<String, Value>, declared: &str) -> Map<String, Value> {
    if required.is_empty() {
        return Map::new();
    }
    let mut declared: Map<String, Value> = serde_json::from_str(declared).unwrap_or_default();
    // Elicitation without a mode means forms.
    if let Some(Value::Object(modes)) = declared.get_mut("elicitation")
        && !modes.contains_key("url")
    {
        modes.entry("form").or_insert_with(|| json!({}));
    }
    lacking(required, &declared)
}

fn lacking(required: &Map<String, Value>, declared: &Map<String, Value>) -> Map<String, Value> {
    let lacks = |(name, wanted): (&String, &Value)| {
        let left = match (wanted, declared.get(name)) {
            (Value::Object(wanted), Some(Value::Object(has))) => {
                let left = lacking(wanted, has);
                (!left.is_empty()).then_some(Value::Object(left))
            }
            (wanted, has) => (has != Some(wanted)).then(|| wanted.clone()),
        };
        left.map(|left| (name.clone(), left))
    };
    required.iter().filter_map(lacks).collect()
}

/// Says what is missing.
pub(super) fn text(tool: &str, missing: &Map<String, Value>) -> String {
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    let (names, whole) = (names.join(", "), json!(missing));
    format!("{tool} needs client capabilities that were not declared: {names} ({whole})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(required: &Value, declared: &str) -> Value {
        Value::Object(missing(required.as_object().unwrap(), declared))
    }

    #[test]
    fn only_what_is_missing_is_told() {
        let both = json!({ "sampling": {}, "elicitation": { "url": {} } });
        assert_eq!(left(&both, "{}"), both);
        assert_eq!(
            left(
                &both,
                r#"{"sampling":{"tools":{}},"elicitation":{"form":{}}}"#
            ),
            json!({ "elicitation": { "url": {} } })
        );
        assert_eq!(
            left(&both, r#"{"sampling":{},"elicitation":{"url":{}}}"#),
            json!({})
        );
        let flag = json!({ "roots": { "listChanged": true } });
        assert_eq!(left(&flag, r#"{"roots":{"listChanged":false}}"#), flag);
        assert_eq!(left(&json!({}), "{}"), json!({}));
    }

    #[test]
    fn elicitation_without_a_mode_means_forms() {
        let forms = json!({ "elicitation": { "form": {} } });
        assert_eq!(left(&forms, r#"{"elicitation":{}}"#), json!({}));
        assert_eq!(left(&forms, r#"{"elicitation":{"url":{}}}"#), forms);
    }
}
