//! What JSON must be like for every reader to take it: many that would pass it on refuse it as a whole.

use std::fmt::Write as _;
use std::ops::Range;

/// How deep the arrays and objects of a message may nest, the message itself included. Fewer than the 127 levels that
/// `serde_json` reads into a tree, so whatever passes can be read wherever a part of it goes, wrapped in a few more.
pub const MAX_DEPTH: usize = 100;

/// The same for what a message carries: a result, a question, an answer, a schema. Messages wrap it in four levels at most.
pub const PART_DEPTH: usize = MAX_DEPTH - 4;

/// The longest place that a message shows, in characters.
const LONGEST_PLACE: usize = 80;

/// Why JSON is not readable for everyone, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Arrays and objects nest too deep.
    #[error("its arrays and objects nest deeper than {most} levels{place}")]
    TooDeep {
        /// How deep they may.
        most: usize,
        /// Where they do, if that is not at the root: " at a/b/0".
        place: String,
    },
    /// An escape that is no character without the one that should stand beside it.
    #[error("it has {escape}, half of a surrogate pair, which is no character{place}")]
    HalfPair {
        /// The escape.
        escape: String,
        /// Where it stands, likewise.
        place: String,
    },
    /// A number beyond what a double holds.
    #[error("it has a number that is too large for most readers of JSON{place}")]
    HugeNumber {
        /// Where it stands, likewise.
        place: String,
    },
}

/// Checks that every reader takes a JSON text: no deeper than `most` levels, strings of whole characters, and numbers of
/// a size that a double has. A text that is no JSON may pass.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check_readable(json: &str, most: usize) -> Result<(), Unreadable> {
    let mut scan = Scan {
        json,
        at: 0,
        levels: Vec::new(),
    };
    while let Some(byte) = scan.peek() {
        match byte {
            b'"' => scan.string()?,
            b'-' | b'0'..=b'9' => scan.number()?,
            b'{' | b'[' if scan.levels.len() == most => {
                let place = scan.place();
                return Err(Unreadable::TooDeep { most, place });
            }
            sign => scan.sign(sign),
        }
    }
    Ok(())
}

/// An array or object around the place that is being read.
enum Level {
    /// The number of the item.
    Array(usize),
    Object {
        /// Where the name of the member stands in the text.
        name: Range<usize>,
        /// Whether a name comes next, rather than a value.
        is_name: bool,
    },
}

struct Scan<'a> {
    json: &'a str,
    at: usize,
    levels: Vec<Level>,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn sign(&mut self, sign: u8) {
        self.at += 1;
        match (sign, self.levels.last_mut()) {
            (b'[', _) => self.levels.push(Level::Array(0)),
            (b'{', _) => self.levels.push(Level::Object {
                name: 0..0,
                is_name: true,
            }),
            (b']' | b'}', _) => _ = self.levels.pop(),
            (b',', Some(Level::Array(item))) => *item += 1,
            (b',', Some(Level::Object { is_name, .. })) => *is_name = true,
            (b':', Some(Level::Object { is_name, .. })) => *is_name = false,
            _ => {}
        }
    }

    fn string(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        let begin = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => self.at += 1,
            }
        }
        if let Some(Level::Object {
            name,
            is_name: true,
        }) = self.levels.last_mut()
        {
            *name = begin..self.at;
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Unreadable> {
        let begin = self.at;
        match self.unit(begin) {
            None => self.at += 2,
            Some(0xD800..=0xDBFF) if matches!(self.unit(begin + 6), Some(0xDC00..=0xDFFF)) => {
                self.at += 12;
            }
            Some(0xD800..=0xDFFF) => {
                let escape = self.json.get(begin..begin + 6).unwrap_or_default();
                return Err(Unreadable::HalfPair {
                    escape: escape.to_owned(),
                    place: self.place(),
                });
            }
            Some(_) => self.at += 6,
        }
        Ok(())
    }

    /// The UTF-16 unit of an escape as in `\u00e9`.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.json.get(at..at + 6)?.strip_prefix("\\u")?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u16::from_str_radix(digits, 16).ok().filter(|_| all_digits)
    }

    fn number(&mut self) -> Result<(), Unreadable> {
        let rest = self.json.get(self.at..).unwrap_or_default();
        let is_part = |c: char| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let number = rest.get(..length).unwrap_or_default();
        self.at += length;
        match number.parse::<f64>() {
            Ok(number) if number.is_infinite() => Err(Unreadable::HugeNumber {
                place: self.place(),
            }),
            _ => Ok(()),
        }
    }

    /// Where the scan stands, as a path of names and numbers.
    fn place(&self) -> String {
        let mut path = String::new();
        for level in &self.levels {
            let written = match level {
                Level::Array(item) => write!(path, "/{item}"),
                Level::Object { name, .. } => {
                    let name = self.json.get(name.clone()).unwrap_or_default();
                    write!(path, "/{name}")
                }
            };
            debug_assert!(written.is_ok(), "a string takes whatever is written");
        }
        match path.char_indices().nth(LONGEST_PLACE + 1) {
            Some((end, _)) => {
                path.truncate(end);
                path.push('…');
            }
            None if path.is_empty() => return path,
            None => {}
        }
        path.replace_range(..1, " at ");
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> String {
        check_readable(json, PART_DEPTH).unwrap_err().to_string()
    }

    #[test]
    fn what_everyone_reads_passes() {
        let nested = "[".repeat(PART_DEPTH) + "1" + &"]".repeat(PART_DEPTH);
        for json in [
            "null",
            r#"{"a":[1,-2.5e300,"x"],"b":{"c":true}}"#,
            r#""\ud83d\ude00 \uD83D\uDE00 \u00e9 \\ud83d \"""#,
            r#"{"\ud83d\ude00":"[[[[","{":"}"}"#,
            "-1.7976931348623157e308",
            "1e-9999",
            &nested,
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok());
            assert_eq!(check_readable(json, PART_DEPTH), Ok(()), "{json}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_reported_with_its_place() {
        for (json, escape, place) in [
            (r#""\ud83d""#, r"\ud83d", ""),
            (r#"{"a":[0,{"b":"x\uDE00"}]}"#, r"\uDE00", " at a/1/b"),
            (r#"{"a":1,"x\ud800":2}"#, r"\ud800", " at a"),
            (r#"["\ud83d\ud83d\ude00"]"#, r"\ud83d", " at 0"),
            (r#"["\ud83dx","\ude00"]"#, r"\ud83d", " at 0"),
            (r#"["\ud83d\\ude00"]"#, r"\ud83d", " at 0"),
        ] {
            assert!(serde_json::from_str::<serde_json::Value>(json).is_err());
            let told = told(json);
            let ends = format!("which is no character{place}");
            assert!(told.contains(escape) && told.ends_with(&ends), "{told}");
        }
    }

    #[test]
    fn nesting_without_end_is_reported_with_its_place() {
        let deep = format!(r#"{{"a":0,"result":{}"#, "[".repeat(1_000_000));
        let told = told(&deep);
        assert!(
            told.contains("deeper than 96 levels at result/0/0/0"),
            "{told}"
        );
        assert!(told.chars().count() < 200 && told.ends_with('…'), "{told}");
        assert!(check_readable("[[[]]]", 3).is_ok());
        assert!(check_readable("[[[]]]", 2).is_err());
        assert!(check_readable(r#"["[[[","\"[[["]"#, 1).is_ok());
    }

    #[test]
    fn a_number_without_bounds_is_reported_with_its_place() {
        for number in ["1e309", "-1e999", &"9".repeat(400)] {
            let told = told(&format!(r#"{{"n":[{number}]}}"#));
            assert!(
                told.contains("too large") && told.ends_with("at n/0"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        for json in [
            "",
            "\"",
            "\"\\",
            "\"\\u12",
            "]]}}",
            "{\"a\"",
            "\\ud83d",
            "--",
            "\"\\u€€\"",
        ] {
            assert_eq!(check_readable(json, 3), Ok(()), "{json}");
        }
    }
}
