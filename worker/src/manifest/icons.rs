//! The icons of a tool.

use serde_json::value::RawValue;
use toml::{Table, Value};

use super::near::hint;
use super::schema::to_json;
use super::table::TableReader;

const KEYS: [&str; 4] = ["src", "mimeType", "sizes", "theme"];

/// Reads the icons of MCP: tables with a `src`. Names that MCP does not know pass, unless they look like a slip.
pub(super) fn read_icons(reader: &mut TableReader<'_, '_>) -> Option<Box<RawValue>> {
    reader.value("icons")?;
    let icons = reader.tables("icons")?;
    for (number, icon) in icons.iter().enumerate() {
        for (key, problem) in problems(icon) {
            reader.problem(&format!("icons[{number}].{key}"), problem);
        }
    }
    let icons = icons.into_iter().cloned().map(Value::Table);
    let json = to_json(&Value::Array(icons.collect()));
    match json.map(RawValue::from_string) {
        Ok(raw) => raw.ok(),
        Err(problem) => {
            reader.problem("icons", problem);
            None
        }
    }
}

fn problems(icon: &Table) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut refuse = |key: &str, problem: String| problems.push((key.to_owned(), problem));
    match icon.get("src").map(Value::as_str) {
        Some(Some(src)) if is_safe(src) => {}
        _ => refuse(
            "src",
            "must be an https: or http: address, or a data: address".to_owned(),
        ),
    }
    for (key, value) in icon {
        let right = match key.as_str() {
            "mimeType" if !value.is_str() => "a string, such as \"image/png\"",
            "sizes" if !is_list_of_strings(value) => "a list of strings, such as [\"48x48\"]",
            "theme" if !matches!(value.as_str(), Some("light" | "dark")) => "\"light\" or \"dark\"",
            known if KEYS.contains(&known) => continue,
            unknown => {
                let hint = hint(unknown, KEYS);
                if !hint.is_empty() {
                    refuse(unknown, format!("unknown key{hint}"));
                }
                continue;
            }
        };
        refuse(key, format!("must be {right}"));
    }
    problems
}

/// Clients refuse icons from elsewhere.
fn is_safe(src: &str) -> bool {
    ["https://", "http://", "data:"]
        .iter()
        .any(|scheme| src.starts_with(scheme))
}

fn is_list_of_strings(value: &Value) -> bool {
    let list = value.as_array();
    list.is_some_and(|list| list.iter().all(Value::is_str))
}
