//! Which values of a call may begin with `-`, where its program could take them for options.

use serde_json::Value;

use super::near::hint;
use super::schema::property;
use super::table::TableReader;
use crate::exec::CommandTemplate;
use crate::exec::template::LeadingDash;

/// Reads `leading_dash`, and allows what it names in each of the tool's commands, and what the input schema allows by name
/// or as numbers.
pub(super) fn read_leading_dash(
    reader: &mut TableReader<'_, '_>,
    mut templates: Vec<&mut CommandTemplate>,
    schema: &Value,
) {
    let named = reader.strings("leading_dash").unwrap_or_default();
    let paths = templates
        .iter()
        .flat_map(|template| template.placeholders());
    let names: Vec<String> = paths.map(|path| path.join(".")).collect();
    for name in &named {
        if !names.iter().any(|known| known == name) {
            let hint = hint(name, names.iter().map(String::as_str));
            reader.problem(
                "leading_dash",
                format!("the command has no placeholder `{{{name}}}`{hint}"),
            );
        }
    }
    for template in &mut templates {
        let paths: Vec<Vec<String>> = template.placeholders().map(<[_]>::to_vec).collect();
        for path in paths {
            let is_named = named.contains(&path.join(".").as_str());
            let allowed = is_named.then_some(LeadingDash::Any);
            let by_schema = || by_schema(property(schema, &path)?);
            if let Some(values) = allowed.or_else(by_schema) {
                template.allow_dash(path, values);
            }
        }
    }
}

/// What the schema of an argument lets begin with `-` on purpose: values that it lists, and numbers.
fn by_schema(schema: &Value) -> Option<LeadingDash> {
    if schema.get("enum").is_some() || schema.get("const").is_some() {
        return Some(LeadingDash::Any);
    }
    let kinds = kinds(schema);
    let has_numbers = kinds.contains(&"number") || kinds.contains(&"integer");
    has_numbers.then_some(LeadingDash::Numbers)
}

/// Whether a call that fits the schema may have a string here that begins with `-`; also if that is not certain.
pub(super) fn may_begin_with_dash(schema: &Value, path: &[String]) -> bool {
    let Some(schema) = property(schema, path) else {
        return true;
    };
    let kinds = kinds(schema);
    if !kinds.is_empty() && !kinds.contains(&"string") {
        return false;
    }
    let pattern = schema.get("pattern").and_then(Value::as_str);
    !pattern.is_some_and(keeps_dash_out)
}

fn kinds(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether it is certain that a text which fits the pattern does not begin with `-`: the pattern begins with `^`, and then
/// a character or a plain class of characters that must be there.
fn keeps_dash_out(pattern: &str) -> bool {
    let Some(rest) = pattern.strip_prefix('^').filter(|_| !pattern.contains('|')) else {
        return false;
    };
    let rest = match rest.strip_prefix('[') {
        Some(class) => match class.split_once(']') {
            Some((class, rest)) if is_plain_class(class) => rest,
            _ => return false,
        },
        None => match rest.strip_prefix(|c: char| c.is_alphanumeric() || matches!(c, '/' | '_')) {
            Some(rest) => rest,
            None => return false,
        },
    };
    let count = rest.strip_prefix('{');
    let at_least_one = |count: &str| count.starts_with(|c| ('1'..='9').contains(&c));
    count.map_or(!rest.starts_with(['*', '?']), at_least_one)
}

/// Letters, digits and ranges of them, without `-` itself.
fn is_plain_class(class: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
    let ranges_only = || {
        let characters: Vec<char> = class.chars().collect();
        characters.windows(3).all(|three| match three {
            [before, '-', after] => before.is_alphanumeric() && after.is_alphanumeric(),
            _ => true,
        })
    };
    !class.is_empty()
        && class.chars().all(plain)
        && !class.starts_with('-')
        && !class.ends_with('-')
        && ranges_only()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_keeps_a_dash_out_is_known_only_where_it_is_certain() {
        for (pattern, keeps) in [
            ("^/srv/", true),
            ("^[0-9]{4}-[0-9]{2}$", true),
            ("^[A-Za-z0-9_][a-z-]*$", true),
            ("^[a-z]{1,8}$", true),
            ("^[a-z]{0,8}-", false),
            ("^[a-z]*-", false),
            ("^a?-", false),
            ("^a|-", false),
            ("^-a", false),
            ("^[-a]", false),
            ("^[a-]", false),
            ("^[^a]", false),
            ("^[+--]", false),
            ("^.*$", false),
            ("[a-z]", false),
            ("^", false),
        ] {
            assert_eq!(keeps_dash_out(pattern), keeps, "{pattern}");
        }
    }
}
