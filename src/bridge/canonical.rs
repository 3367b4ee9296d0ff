//! One spelling for JSON texts that mean the same: no white space, keys in order, the shortest escapes. Numbers stay as
//! they are written, since a tool gets them so: no digit of a long one is lost.

use std::collections::BTreeMap;

/// The one spelling of a text that was read as JSON before. Of a text that is not JSON, itself.
pub(super) fn canonical(json: &str) -> String {
    let mut rest = json;
    match value(&mut rest) {
        Some(text) if rest.trim_start().is_empty() => text,
        _ => json.to_owned(),
    }
}

/// Takes a value off the front. It nests no deeper than the reader before it allowed.
fn value(rest: &mut &str) -> Option<String> {
    *rest = rest.trim_start();
    match rest.chars().next()? {
        '{' => object(rest),
        '[' => array(rest),
        '"' => string(rest),
        _ => {
            let is_over = |c: char| matches!(c, ',' | ']' | '}') || c.is_whitespace();
            let end = rest.find(is_over).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end)?;
            *rest = after;
            (!word.is_empty()).then(|| word.to_owned())
        }
    }
}

fn object(rest: &mut &str) -> Option<String> {
    skip(rest, '{').then_some(())?;
    let mut members = BTreeMap::new();
    while !skip(rest, '}') {
        if !members.is_empty() {
            skip(rest, ',').then_some(())?;
        }
        *rest = rest.trim_start();
        let key = string(rest)?;
        skip(rest, ':').then_some(())?;
        // No message has a key twice; of what else does, most readers take the last.
        members.insert(key, value(rest)?);
    }
    let members: Vec<String> = members
        .into_iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    Some(format!("{{{}}}", members.join(",")))
}

fn array(rest: &mut &str) -> Option<String> {
    skip(rest, '[').then_some(())?;
    let mut items = Vec::new();
    while !skip(rest, ']') {
        if !items.is_empty() {
            skip(rest, ',').then_some(())?;
        }
        items.push(value(rest)?);
    }
    Some(format!("[{}]", items.join(",")))
}

fn string(rest: &mut &str) -> Option<String> {
    let mut escaped = false;
    let mut inside = rest.char_indices().skip(1);
    let (end, _) = inside.find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    })?;
    let (token, after) = rest.split_at_checked(end + 1)?;
    *rest = after;
    let text: String = serde_json::from_str(token).ok()?;
    serde_json::to_string(&text).ok()
}

/// Takes a sign off the front, if it is there.
fn skip(rest: &mut &str, sign: char) -> bool {
    let after = rest.trim_start().strip_prefix(sign);
    if let Some(after) = after {
        *rest = after;
    }
    after.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_matter() {
        for (one, other) in [
            (" { } ", "{}"),
            (r#"{"b" : [ 1 , 2 ], "a":null}"#, r#"{"a":null,"b":[1,2]}"#),
            (r#"{"a":"\u00e9\/\n"}"#, "{\"a\":\"é/\\n\"}"),
            (r#"{"\u0061":"q\"}\\"}"#, r#"{"a":"q\"}\\"}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(canonical(one), canonical(other));
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(read(&canonical(one)), read(one), "{one}");
        }
    }

    #[test]
    fn meaning_does() {
        for (one, other) in [
            ("[1,2]", "[2,1]"),
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            ("[[]]", "[]"),
            ("[12345678901234567890123]", "[12345678901234567890124]"),
            (r#"["a,b"]"#, r#"["a","b"]"#),
        ] {
            assert_ne!(canonical(one), canonical(other));
        }
    }

    #[test]
    fn what_is_not_json_stays_as_it_is() {
        for text in [
            "", "{", "[1,", "\"a", "{\"a\"}", "[1 2]", "{} x", "{\"a\":}",
        ] {
            assert_eq!(canonical(text), text);
        }
    }
}
