//! Where in a JSON value something is, as messages say it: a JSON Pointer (RFC 6901) of bounded length.

use std::fmt::Write as _;

use crate::text::cut;

/// The most that is written of one name, and of all together, bytes.
const LONGEST_NAME: usize = 64;
const LONGEST: usize = 256;

/// A place inside the value it was built up from: names and indexes from the root on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place(String);

impl Place {
    /// The member of an object.
    pub(super) fn name(&mut self, name: &str) {
        self.0.push('/');
        let name = cut(name, LONGEST_NAME);
        for c in name.chars() {
            match c {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                c if c.is_control() => self.0.extend(c.escape_default()),
                c => self.0.push(c),
            }
        }
    }

    /// The item of an array.
    pub(super) fn index(&mut self, index: usize) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "/{index}");
    }

    /// As a message says it; empty for the root.
    pub(super) fn shown(&self) -> String {
        cut(&self.0, LONGEST).into_owned()
    }
}

/// Escapes a name for a JSON Pointer in a URI's fragment.
pub(super) fn fragment(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'~' => escaped.push_str("~0"),
            b'/' => escaped.push_str("~1"),
            b'-' | b'.' | b'_' | b'$' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_pointer_of_bounded_length() {
        let mut place = Place::default();
        assert_eq!(place.shown(), "");
        place.name("a/b~\n");
        place.index(3);
        assert_eq!(place.shown(), "/a~1b~0\\n/3");
        for _ in 0..100 {
            place.name(&"x".repeat(1 << 20));
        }
        assert!(place.shown().len() < LONGEST + 8 && place.0.len() < 10_000);
    }

    #[test]
    fn a_fragment_is_escaped_for_uri_and_pointer() {
        assert_eq!(fragment("a b/%~é$"), "a%20b~1%25~0%C3%A9$");
    }
}
