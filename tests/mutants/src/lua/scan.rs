//! The words of a Lua script, without its comments.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name or a keyword.
    Name,
    Number,
    /// A quoted string, with its quotes.
    Text,
    Operator,
}

#[derive(Debug, Clone)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    pub(super) bytes: Range<usize>,
}

/// Operators of more than one character, the longest first.
const LONG: [&str; 6] = ["...", "..", "==", "~=", "<=", ">="];

/// All words in their order. The scripts have neither long strings nor long comments.
pub(super) fn scan(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = next(rest);
        if let (Some(kind), Some(word)) = (kind, rest.get(..length)) {
            tokens.push(Token {
                kind,
                text: word,
                bytes: at..at + length,
            });
        }
        at += length;
    }
    tokens
}

/// What a text begins with, and how long that is; no kind for what is no word.
fn next(rest: &str) -> (Option<TokenKind>, usize) {
    let length = |is: fn(char) -> bool| rest.find(|c: char| !is(c)).unwrap_or(rest.len());
    let first = rest.chars().next().unwrap_or(' ');
    if rest.starts_with("--") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if first.is_whitespace() {
        return (None, length(char::is_whitespace));
    }
    if first.is_ascii_digit() {
        return (Some(TokenKind::Number), length(|c| c.is_ascii_digit()));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        return (Some(TokenKind::Name), length(is_name));
    }
    if first == '\'' || first == '"' {
        return (Some(TokenKind::Text), quoted(rest, first));
    }
    let long = LONG.iter().find(|long| rest.starts_with(**long));
    let length = long.map_or(first.len_utf8(), |long| long.len());
    (Some(TokenKind::Operator), length)
}

/// How long a string is that begins here.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_none_and_strings_are_one_word() {
        let tokens = scan("local a = 'x -- \\' y' .. b -- 'c'\nreturn 10 >= n1");
        let words: Vec<&str> = tokens.iter().map(|token| token.text).collect();
        let expected = [
            "local",
            "a",
            "=",
            "'x -- \\' y'",
            "..",
            "b",
            "return",
            "10",
            ">=",
            "n1",
        ];
        assert_eq!(words, expected);
    }
}
