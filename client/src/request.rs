//! One HTTP request, before it is sent.

use reqwest::Method;
use serde_json::Value;

/// A request without its address. Its fields may be changed to what no server should take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// POST, GET or DELETE.
    pub method: Method,
    /// The headers, but for those of the connection.
    pub headers: Vec<(String, String)>,
    /// The body; none if empty.
    pub body: Vec<u8>,
}

impl Request {
    /// One without headers and without a body.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A POST of a message, to which the server may answer with JSON or with a stream.
    #[must_use]
    pub fn post(message: &Value) -> Self {
        let mut request = Self::new(Method::POST)
            .with("content-type", "application/json")
            .with("accept", "application/json, text/event-stream");
        request.body = message.to_string().into_bytes();
        request
    }

    /// The same with one header more, or with another value of it. An empty value takes the header away.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        self.with_all(&[(name, value)])
    }

    /// The same with these headers in the place of those that have their names, as [`Self::with`]. A name that is given
    /// twice is sent twice.
    #[must_use]
    pub fn with_all(mut self, headers: &[(&str, &str)]) -> Self {
        let given = |name: &str| {
            let mut all = headers.iter();
            all.any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        self.headers.retain(|(name, _)| !given(name));
        let sent = headers.iter().filter(|(_, value)| !value.is_empty());
        self.headers
            .extend(sent.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// The same with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_there_as_often_as_it_was_given_last() {
        let request = Request::new(Method::GET).with("Accept", "a/b");
        assert_eq!(request.clone().with("accept", "c/d").headers.len(), 1);
        let twice = [("accept", "a"), ("accept", "b")];
        assert_eq!(request.clone().with_all(&twice).headers.len(), 2);
        assert!(request.with_all(&[("accept", "")]).headers.is_empty());
    }
}
