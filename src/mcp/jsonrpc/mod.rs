//! JSON-RPC 2.0 as MCP uses it: one message a body, ids that are strings or integers.

mod error;
mod id;
mod write;

use std::borrow::Cow;
use std::fmt;

pub(crate) use error::{RpcError, code};
pub(crate) use id::{is_valid_id, plain_id};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use taskferry_contract::{MAX_DEPTH, Object, cut, misfit, unique_names};
pub(crate) use write::{failure, notification, request, success};

/// The longest id or progress token that is a string, bytes between its quotes: it is repeated in every answer and event.
pub(crate) const LONGEST_ID: usize = 256;

/// A message from a client.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Wants none.
    Notification(Notification<'a>),
    /// Answers a request of ours.
    Response(Response<'a>),
}

impl<'a> Message<'a> {
    /// The id by which a request is answered.
    pub(crate) fn id(&self) -> Option<&'a RawValue> {
        match self {
            Self::Request(request) => Some(request.id),
            Self::Notification(_) | Self::Response(_) => None,
        }
    }
}

/// A notification from a client.
#[derive(Debug)]
pub(crate) struct Notification<'a> {
    /// What it is about.
    pub(crate) method: Cow<'a, str>,
    /// An object, verbatim, if present.
    pub(crate) params: Option<&'a RawValue>,
}

/// An answer from a client to a request of ours.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    /// The id of the request, verbatim; absent if the client could not read it.
    pub(crate) id: Option<&'a RawValue>,
    /// The result, or the error.
    pub(crate) outcome: Result<&'a RawValue, &'a RawValue>,
}

/// A request from a client.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// A string or an integer, verbatim.
    pub(crate) id: &'a RawValue,
    /// What is asked.
    pub(crate) method: Cow<'a, str>,
    /// An object, verbatim, if present.
    pub(crate) params: Option<&'a RawValue>,
}

impl<'a> Request<'a> {
    /// Reads the parameters as `T`; absent ones as an empty object.
    pub(crate) fn params<T: Deserialize<'a>>(&self) -> Result<T, RpcError> {
        let text = self.params.map_or("{}", RawValue::get);
        let read = serde_json::from_str(text).map(|Object(params)| params);
        read.map_err(|error| {
            let (method, why) = (cut(&self.method, 64), misfit(&error));
            RpcError::invalid_params(format!("the params of {method} do not fit: {why}"))
        })
    }
}

/// A message that is not one, with the id to answer it by if that could be read.
#[derive(Debug)]
pub(crate) struct Malformed<'a> {
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) error: RpcError,
}

/// The members of a message, each unread: a wrong type is told by its name.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "unless_null")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "unless_null")]
    params: Option<&'a RawValue>,
    /// A null is no result that MCP has, but it answers.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "unless_null")]
    error: Option<&'a RawValue>,
}

/// A member that is there; a null is none.
fn unless_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    present(from).map(|value| value.filter(|value| value.get() != "null"))
}

/// A member that is there, even as null.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A body, as far as its first character tells.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// One message.
    One(Message<'a>),
    /// An array, yet to be [read](read_batch).
    Batch(&'a str),
}

impl<'a> Body<'a> {
    /// The id of the one request or response.
    pub(crate) fn id(&self) -> Option<&'a RawValue> {
        match self {
            Self::One(message) => message.id(),
            Self::Batch(_) => None,
        }
    }
}

/// The most messages that a batch may hold.
const LARGEST_BATCH: usize = 32;

/// Reads a body.
pub(crate) fn parse(body: &[u8]) -> Result<Body<'_>, Malformed<'_>> {
    let refuse = |error| Malformed { id: None, error };
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(refuse(RpcError::new(
            code::PARSE_ERROR,
            "the body is not UTF-8",
        )));
    };
    let first = text.trim_start().chars().next();
    match first {
        Some('{' | '[') => {}
        _ => {
            let message = "the body must be one JSON-RPC message, a JSON object";
            return Err(refuse(RpcError::new(code::PARSE_ERROR, message)));
        }
    }
    if is_too_deep(text) {
        let message = format!(
            "the body nests arrays and objects deeper than the {MAX_DEPTH} levels this server takes"
        );
        return Err(refuse(RpcError::invalid_request(message)));
    }
    if first == Some('[') {
        return Ok(Body::Batch(text));
    }
    read_message(text).map(Body::One)
}

/// Reads a batch: each of its messages, or what is wrong with it.
pub(crate) fn read_batch(
    text: &str,
) -> Result<Vec<Result<Message<'_>, Malformed<'_>>>, Malformed<'_>> {
    let refuse = |code, message: String| Malformed {
        id: None,
        error: RpcError::new(code, message),
    };
    let Items(messages) = serde_json::from_str(text).map_err(|error| {
        let text = format!("the batch cannot be read: {}", misfit(&error));
        refuse(code::PARSE_ERROR, text)
    })?;
    if messages.is_empty() {
        let text = "a batch must hold a message";
        return Err(refuse(code::INVALID_REQUEST, text.to_owned()));
    }
    if messages.len() > LARGEST_BATCH {
        let text = format!("a batch holds at most {LARGEST_BATCH} messages; send several");
        return Err(refuse(code::INVALID_REQUEST, text));
    }
    Ok(messages.into_iter().map(read_item).collect())
}

fn read_item(message: &RawValue) -> Result<Message<'_>, Malformed<'_>> {
    if message.get().starts_with('{') {
        return read_message(message.get());
    }
    Err(Malformed {
        id: None,
        error: RpcError::invalid_request("a message must be a JSON object"),
    })
}

/// The items of an array, at most one more than a batch may hold.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Items<'de>, A::Error> {
                let mut read = Vec::new();
                while let Some(item) = items.next_element::<&'de RawValue>()? {
                    if read.len() <= LARGEST_BATCH {
                        read.push(item);
                    }
                }
                Ok(Items(read))
            }
        }

        from.deserialize_seq(Bounded)
    }
}

fn read_message(text: &str) -> Result<Message<'_>, Malformed<'_>> {
    let refuse = |error| Malformed { id: None, error };
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| {
        let code = if error.is_data() {
            code::INVALID_REQUEST
        } else {
            code::PARSE_ERROR
        };
        refuse(RpcError::new(
            code,
            format!("the body is not a JSON-RPC message: {}", misfit(&error)),
        ))
    })?;
    envelope.classify()
}

/// Refuses a body in which an object, however deep, has a name twice: what is checked, compared and signed here would not
/// be what a tool or a proxy reads, if it takes the other of the two.
pub(crate) fn refuse_duplicates(body: &[u8]) -> Result<(), RpcError> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    unique_names(text).map_err(|duplicate| RpcError::invalid_request(duplicate.to_string()))
}

/// Whether arrays and objects nest deeper than [`MAX_DEPTH`]. What is no JSON may pass: the reader after it tells.
fn is_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

impl<'a> Envelope<'a> {
    fn classify(self) -> Result<Message<'a>, Malformed<'a>> {
        let id = self
            .id
            .filter(|id| is_valid_id(id.get()) && is_short_id(id.get()));
        let refuse = |message: &str| Malformed {
            id,
            error: RpcError::invalid_request(message),
        };
        if self.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
            return Err(refuse("jsonrpc must be \"2.0\""));
        }
        if self.id.is_some() && id.is_none() {
            return Err(refuse(&format!(
                "id must be a string of at most {LONGEST_ID} bytes or an integer of 64 bits"
            )));
        }
        if self
            .params
            .is_some_and(|params| !params.get().starts_with('{'))
        {
            return Err(refuse("params must be an object"));
        }
        let method = self.method.map(|method| string(method.get()));
        if method == Some(None) {
            return Err(refuse("method must be a string"));
        }
        // Some write all members of a response, or of any message.
        let alone = method.is_none() && self.error.is_none();
        let result = self.result.filter(|result| alone || result.get() != "null");
        match (method.flatten(), id, result, self.error) {
            (Some(method), Some(id), None, None) => Ok(Message::Request(Request {
                id,
                method,
                params: self.params,
            })),
            (Some(method), None, None, None) => Ok(Message::Notification(Notification {
                method,
                params: self.params,
            })),
            (None, Some(id), Some(result), None) => Ok(Message::Response(Response {
                id: Some(id),
                outcome: Ok(result),
            })),
            (None, id, None, Some(error)) => Ok(Message::Response(Response {
                id,
                outcome: Err(error),
            })),
            _ => Err(refuse(
                "a message has a method (a request if it has an id too), or an id with either a result or an error",
            )),
        }
    }
}

/// A JSON string's text, borrowed unless it has escapes.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Whether an id or a progress token is short enough to be repeated in every answer and event.
pub(crate) fn is_short_id(id: &str) -> bool {
    // With its quotes, if it has any.
    id.len() <= LONGEST_ID + 2
}

#[cfg(test)]
mod tests {
    use super::{parse as parse_body, *};

    /// Reads a body of one message.
    fn parse(body: &[u8]) -> Result<Message<'_>, Malformed<'_>> {
        match parse_body(body)? {
            Body::One(message) => Ok(message),
            Body::Batch(text) => panic!("a batch: {text}"),
        }
    }

    fn refused(body: &str) -> RpcError {
        parse(body.as_bytes()).expect_err(body).error
    }

    #[test]
    fn tells_requests_notifications_and_responses_apart() {
        let request = br#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{"x":1}}"#;
        assert!(
            matches!(parse(request), Ok(Message::Request(request)) if request.id.get() == "\"a\"")
        );
        let request =
            br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null,"result":null,"error":null}"#;
        assert!(
            matches!(parse(request), Ok(Message::Request(request)) if request.params.is_none())
        );
        let notification = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert!(matches!(parse(notification), Ok(Message::Notification(_))));
        for response in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":null,"params":null,"result":{},"error":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        ] {
            assert!(
                matches!(parse(response.as_bytes()), Ok(Message::Response(_))),
                "{response}"
            );
        }
    }

    #[test]
    fn only_so_many_levels_are_read() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"[[\\\"[[":"{{{{","a":{open}{close}}}}}"#
            )
        };
        // The message and its params are two levels.
        assert!(parse(nested(MAX_DEPTH - 2).as_bytes()).is_ok());
        for levels in [MAX_DEPTH - 1, 200, 10_000, 1_000_000] {
            let error = refused(&nested(levels));
            assert_eq!(error.code, code::INVALID_REQUEST, "{levels}");
            assert!(error.message.contains("100 levels"), "{}", error.message);
        }
        let wide = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":[{}0]}}}}"#,
            "[[]],".repeat(10_000)
        );
        assert!(parse(wide.as_bytes()).is_ok());
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_with_its_place() {
        let body =
            br#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"s":"; rm","s":1}}}"#;
        let error = refuse_duplicates(body).unwrap_err();
        assert_eq!(error.code, code::INVALID_REQUEST);
        assert_eq!(
            error.message,
            "the object at /params/arguments has the name \"s\" twice"
        );
        assert!(refuse_duplicates(br#"{"a":{"b":1},"b":1}"#).is_ok());
    }

    #[test]
    fn a_batch_holds_a_message_and_not_too_many() {
        let read = |text: &str| {
            read_batch(text)
                .map(|read| read.len())
                .map_err(|malformed| malformed.error.code)
        };
        let message = r#"{"jsonrpc":"2.0","method":"m"}"#;
        let batch = |count: usize| format!("[{}]", vec![message; count].join(","));
        assert_eq!(read(" [ ] "), Err(code::INVALID_REQUEST));
        assert_eq!(read(&batch(1)), Ok(1));
        assert_eq!(read(&batch(LARGEST_BATCH)), Ok(LARGEST_BATCH));
        assert_eq!(read(&batch(LARGEST_BATCH + 1)), Err(code::INVALID_REQUEST));
        assert_eq!(read(&batch(100_000)), Err(code::INVALID_REQUEST));
        for broken in ["[", "[{}", "[1,]", "[] x"] {
            assert_eq!(read(broken), Err(code::PARSE_ERROR), "{broken}");
        }
        let mixed = format!("[{message},7,[],{{}}]");
        let read: Vec<bool> = read_batch(&mixed)
            .unwrap()
            .iter()
            .map(Result::is_ok)
            .collect();
        assert_eq!(read, [true, false, false, false]);
    }

    #[test]
    fn says_what_is_wrong_with_a_message() {
        assert_eq!(refused("{").code, code::PARSE_ERROR);
        assert_eq!(refused("").code, code::PARSE_ERROR);
        assert_eq!(refused("\"x\"").code, code::PARSE_ERROR);
        for (body, part) in [
            (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, "jsonrpc"),
            (r#"{"id":1,"method":"m"}"#, "jsonrpc"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, "id must"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, "id must"),
            (r#"{"jsonrpc":"2.0","id":1e99,"method":"m"}"#, "64 bits"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, "id must"),
            (r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#, "id must"),
            (
                r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"m"}"#,
                "64 bits",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "method"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#,
                "params",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#,
                "duplicate",
            ),
            (r#"{"jsonrpc":"2.0","id":1}"#, "a message has"),
        ] {
            let error = refused(body);
            assert_eq!(error.code, code::INVALID_REQUEST, "{body}");
            assert!(error.message.contains(part), "{body}: {}", error.message);
        }
        let long = |bytes: usize| {
            format!(
                r#"{{"jsonrpc":"2.0","id":"{}","method":"m"}}"#,
                "x".repeat(bytes)
            )
        };
        assert!(parse(long(LONGEST_ID).as_bytes()).is_ok());
        let error = refused(&long(LONGEST_ID + 1));
        assert_eq!(error.code, code::INVALID_REQUEST);
        assert!(error.message.contains("256 bytes"), "{}", error.message);
        let answerable = parse(br#"{"jsonrpc":"1.0","id":7,"method":"m"}"#).unwrap_err();
        assert_eq!(answerable.id.map(RawValue::get), Some("7"));
    }
}
