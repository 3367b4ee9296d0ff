//! The changes of the scripts: a comparison turned round or moved by one, a condition negated, `and` for `or`, a call left
//! out, a constant changed, a reply's tag or a status exchanged for another.

mod scan;

use std::path::Path;

use anyhow::Context as _;

use self::scan::{Token, TokenKind, scan};
use crate::mutant::{Kind, Mutant};

/// The statuses of a job; one is exchanged for the next.
const STATUSES: [&str; 6] = [
    "queued",
    "working",
    "input_required",
    "completed",
    "failed",
    "cancelled",
];

/// Every change of every script and of what they share, below the root of the repository, in the order of their names and
/// lines.
pub(crate) fn mutants(root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let mut files = Vec::new();
    for folder in ["contract/lua", "contract/lua/prelude"] {
        for entry in std::fs::read_dir(root.join(folder)).context(folder)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".lua") {
                files.push(format!("{folder}/{name}"));
            }
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(root.join(&file)).with_context(|| file.clone())?;
        all.extend(of_script(&file, &text));
    }
    Ok(all)
}

/// A change in the making: which bytes become what, and what that is called.
type Change = (std::ops::Range<usize>, String, String);

fn of_script(file: &str, text: &str) -> Vec<Mutant> {
    let tokens = scan(text);
    let mut changes: Vec<Change> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        match token.kind {
            TokenKind::Operator => changes.extend(operator(token, line_of(text, token))),
            TokenKind::Name => changes.extend(word(text, &tokens, at)),
            TokenKind::Number => changes.extend(number(token, before)),
            TokenKind::Text => changes.extend(status(token)),
        }
    }
    changes.extend(dropped_calls(text, &tokens));
    changes.extend(tags(text, &tokens));
    let mutants = changes.into_iter().map(|(bytes, replacement, what)| {
        let before = text.get(..bytes.start).unwrap_or_default();
        Mutant {
            kind: Kind::Lua,
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            context: context(text, bytes.start).to_owned(),
            bytes,
            replacement,
            what,
        }
    });
    mutants.collect()
}

fn context(text: &str, at: usize) -> &str {
    let start = text.get(..at).and_then(|before| before.rfind('\n'));
    let line = text.get(start.map_or(0, |start| start + 1)..);
    line.and_then(|line| line.lines().next())
        .unwrap_or_default()
}

fn line_of<'a>(text: &'a str, token: &Token<'_>) -> &'a str {
    context(text, token.bytes.start)
}

fn replaced(token: &Token<'_>, by: &str) -> Change {
    let what = format!("replace {} with {by}", token.text);
    (token.bytes.clone(), by.to_owned(), what)
}

/// Of a comparison: the opposite, and for an order, unless it is one of times, also the same moved by one: of two times that
/// differ by a millisecond no test can tell.
fn operator(token: &Token<'_>, line: &str) -> Vec<Change> {
    let (opposite, moved) = match token.text {
        "==" => ("~=", None),
        "~=" => ("==", None),
        "<" => (">=", Some("<=")),
        "<=" => (">", Some("<")),
        ">" => ("<=", Some(">=")),
        ">=" => ("<", Some(">")),
        "+" => ("-", None),
        "-" => ("+", None),
        _ => return Vec::new(),
    };
    let of_times = ["now", "_ms", "until", "expire"]
        .iter()
        .any(|word| line.contains(word));
    let moved = moved.filter(|_| !of_times);
    let all = std::iter::once(opposite).chain(moved);
    all.map(|by| replaced(token, by)).collect()
}

fn word(text: &str, tokens: &[Token<'_>], at: usize) -> Option<Change> {
    let token = tokens.get(at)?;
    match token.text {
        "and" => Some(replaced(token, "or")),
        "or" => Some(replaced(token, "and")),
        "true" => Some(replaced(token, "false")),
        "false" => Some(replaced(token, "true")),
        "min" => Some(replaced(token, "max")),
        "max" => Some(replaced(token, "min")),
        "if" | "elseif" => negated(text, tokens, at),
        _ => None,
    }
}

/// A condition negated as a whole, unless it is one comparison, which is turned round already.
fn negated(text: &str, tokens: &[Token<'_>], at: usize) -> Option<Change> {
    let rest = tokens.get(at + 1..)?;
    let condition: Vec<_> = rest
        .iter()
        .take_while(|token| token.text != "then")
        .collect();
    let is = |texts: &[&str]| condition.iter().any(|token| texts.contains(&token.text));
    if is(&["==", "~=", "<", "<=", ">", ">="]) && !is(&["and", "or", "not"]) {
        return None;
    }
    let (first, last) = (condition.first()?, condition.last()?);
    let bytes = first.bytes.start..last.bytes.end;
    let whole = text.get(bytes.clone())?;
    let words: Vec<&str> = whole.split_whitespace().collect();
    let what = format!("negate {}", words.join(" "));
    Some((bytes, format!("not ({whole})"), what))
}

/// Nothing becomes one, one becomes two, and more is doubled.
fn number(token: &Token<'_>, before: Option<&Token<'_>>) -> Option<Change> {
    // Of KEYS and ARGV another is another argument altogether, which says nothing.
    if before.is_some_and(|before| before.text == "[") {
        return None;
    }
    let value: u64 = token.text.parse().ok()?;
    let by = match value {
        0 => 1,
        1 => 2,
        more => more * 2,
    };
    Some(replaced(token, &by.to_string()))
}

/// A status becomes the next, and a flag the other.
fn status(token: &Token<'_>) -> Option<Change> {
    let name = token.text.trim_matches('\'');
    let by = match name {
        "0" => "1",
        "1" => "0",
        name => {
            let at = STATUSES.iter().position(|status| *status == name)?;
            STATUSES.get((at + 1) % STATUSES.len())?
        }
    };
    Some(replaced(token, &format!("'{by}'")))
}

/// Statements that are a call: without them.
fn dropped_calls(text: &str, tokens: &[Token<'_>]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = text.get(..token.bytes.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_first = line.trim().is_empty();
        if token.kind != TokenKind::Name || !is_first {
            continue;
        }
        let Some(end) = end_of_call(tokens, at) else {
            continue;
        };
        let bytes = token.bytes.start..end;
        let call = text.get(bytes.clone()).unwrap_or_default();
        let first_line = call.lines().next().unwrap_or_default();
        changes.push((bytes, String::new(), format!("leave out {first_line}")));
    }
    changes
}

/// Where a call ends that begins here, as in `redis.call(…)`; nothing if it is none.
fn end_of_call(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut rest = tokens.get(at + 1..)?.iter();
    let mut next = rest.next()?;
    while next.text == "." {
        rest.next()?;
        next = rest.next()?;
    }
    if next.text != "(" {
        return None;
    }
    let mut depth = 1_usize;
    for token in rest {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(token.bytes.end);
        }
    }
    None
}

/// The first word of a reply: another one that this script has. Those of the header are all there are.
fn tags(text: &str, tokens: &[Token<'_>]) -> Vec<Change> {
    let is_tag = |token: &Token<'_>| {
        let name = token.text.trim_matches('\'');
        token.kind == TokenKind::Text
            && name.len() > 1
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let header = text.lines().take_while(|line| line.starts_with("--"));
    let words = header.flat_map(|line| line.split(|c: char| !c.is_ascii_uppercase() && c != '_'));
    let mut known: Vec<&str> = Vec::new();
    for word in words.filter(|word| word.len() > 1) {
        let quoted = format!("'{word}'");
        if !known.contains(&word) && tokens.iter().any(|token| token.text == quoted) {
            known.push(word);
        }
    }
    let mut changes = Vec::new();
    for pair in tokens.windows(2) {
        let [brace, tag] = pair else { continue };
        if brace.text != "{" || !is_tag(tag) {
            continue;
        }
        let name = tag.text.trim_matches('\'');
        let at = known.iter().position(|other| *other == name);
        let next = at.and_then(|at| known.get((at + 1) % known.len()));
        if let Some(next) = next.filter(|next| **next != name) {
            changes.push(replaced(tag, &format!("'{next}'")));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "-- example: nothing.\n-- Replies\n--   OK · GONE\nlocal a = ARGV[1]\n\
        if a == '' or #a > 3 then -- a == b\n  return { 'GONE' }\nend\n\
        redis.call('HSET', a, 'status', 'queued',\n  'x', 5)\nreturn { 'OK' }\n";

    fn changed() -> Vec<(usize, String, String)> {
        let mutants = of_script("contract/lua/example.lua", SCRIPT);
        let changed = mutants.iter().map(|mutant| {
            let text = mutant.apply(SCRIPT).unwrap();
            (mutant.line, mutant.what.clone(), text)
        });
        changed.collect()
    }

    #[test]
    fn every_kind_of_change_is_made_where_it_can_be_and_none_in_a_comment() {
        let all = changed();
        let made = |line: usize, what: &str| {
            let found = all
                .iter()
                .find(|(at, made, _)| (*at, made.as_str()) == (line, what));
            found.map(|(_, _, text)| text.as_str())
        };
        let becomes = |line: usize, what: &str, text: &str| {
            let made = made(line, what).unwrap_or_else(|| panic!("{what} in {all:#?}"));
            assert!(made.contains(text), "{text} is not in {made}");
        };
        becomes(5, "replace == with ~=", "if a ~= '' or");
        becomes(5, "replace or with and", "'' and #a");
        becomes(5, "replace > with <=", "#a <= 3");
        becomes(5, "replace > with >=", "#a >= 3");
        becomes(
            5,
            "negate a == '' or #a > 3",
            "if not (a == '' or #a > 3) then",
        );
        becomes(5, "replace 3 with 6", "#a > 6");
        becomes(6, "replace 'GONE' with 'OK'", "return { 'OK' }\nend");
        becomes(
            8,
            "leave out redis.call('HSET', a, 'status', 'queued',",
            "end\n\nreturn",
        );
        becomes(8, "replace 'queued' with 'working'", "'working'");
        becomes(10, "replace 'OK' with 'GONE'", "return { 'GONE' }\n");
        assert!(made(4, "replace 1 with 2").is_none(), "an argument's place");
        assert_eq!(all.iter().filter(|(line, ..)| *line < 4).count(), 0);
        let comment = all
            .iter()
            .filter(|(line, what, _)| *line == 5 && what.contains("=="));
        assert_eq!(comment.count(), 2, "one comparison and one condition");
    }
}
