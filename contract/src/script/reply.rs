//! Reading the replies of transitions.

use redis::Value;

use crate::error::Error;

/// A transition's reply: a tag and what follows it.
#[derive(Debug)]
pub(crate) struct ScriptReply {
    during: &'static str,
    pub(crate) tag: String,
    rest: std::vec::IntoIter<Value>,
}

impl ScriptReply {
    pub(crate) fn new(during: &'static str, value: Value) -> Result<Self, Error> {
        let Value::Array(items) = value else {
            return Err(not_understood(during, &value));
        };
        let mut rest = items.into_iter();
        let tag = rest.next().and_then(text);
        match tag {
            Some(tag) => Ok(Self { during, tag, rest }),
            None => Err(not_understood(during, &Value::Nil)),
        }
    }

    /// Whether a reply that was not read yet has one of these tags.
    pub(crate) fn has_tag(value: &Value, tags: &[&str]) -> bool {
        let Value::Array(items) = value else {
            return false;
        };
        matches!(items.first(), Some(Value::BulkString(tag)) if tags.iter().any(|known| known.as_bytes() == tag))
    }

    /// The next element as text.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        self.rest
            .next()
            .and_then(text)
            .ok_or_else(|| not_understood(self.during, &Value::Nil))
    }

    /// The next element as an integer.
    pub(crate) fn integer<T: std::str::FromStr>(&mut self) -> Result<T, Error> {
        let text = self.text()?;
        text.parse::<T>()
            .map_err(|_unreadable| not_understood(self.during, &Value::SimpleString(text)))
    }

    /// What is left, as pairs of texts.
    pub(crate) fn pairs(mut self) -> Result<Vec<(String, String)>, Error> {
        let mut pairs = Vec::with_capacity(self.rest.len() / 2);
        while self.rest.len() > 0 {
            pairs.push((self.text()?, self.text()?));
        }
        Ok(pairs)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.len() == 0
    }

    /// For a transition whose only reply is a tag.
    pub(crate) fn done(&self) -> Result<(), Error> {
        match self.tag.as_str() {
            "OK" => Ok(()),
            _ => Err(self.unknown()),
        }
    }

    /// The error for a tag that is not in the transition's closed set.
    pub(crate) fn unknown(&self) -> Error {
        Error::Reply {
            during: self.during,
            reply: self.tag.chars().take(80).collect(),
        }
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(wrong) => String::from_utf8_lossy(wrong.as_bytes()).into_owned(),
        }),
        Value::SimpleString(text) => Some(text),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

fn not_understood(during: &'static str, value: &Value) -> Error {
    Error::Reply {
        during,
        reply: format!("{value:?}").chars().take(80).collect(),
    }
}
