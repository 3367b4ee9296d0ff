//! Reads one JSON-RPC message: a request, a notification or a response.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use taskferry_contract::{Object, cut, misfit};

use crate::mcp::jsonrpc::error::{RpcError, code};
use crate::mcp::jsonrpc::id::{LONGEST_ID, is_short_id, is_valid_id};

/// A message from a client.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// A request: it wants an answer.
    Request(Request<'a>),
    /// A notification: it wants none.
    Notification(Notification<'a>),
    /// Answers a request of this server.
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

/// A client's response to a request of this server.
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

/// Why a message cannot be read, with the id to answer it by if that could be read.
#[derive(Debug)]
pub(crate) struct Malformed<'a> {
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) error: RpcError,
}

/// The members of a message, each unread: so an error can name the one of the wrong type.
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
    /// A null is no result of MCP, but it is a response.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "unless_null")]
    error: Option<&'a RawValue>,
}

/// A member that is present; a null counts as absent.
fn unless_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    present(from).map(|value| value.filter(|value| value.get() != "null"))
}

/// A member that is present, even as null.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// Reads a message.
pub(super) fn read_message(text: &str) -> Result<Message<'_>, Malformed<'_>> {
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

#[cfg(test)]
mod tests {
    use super::{read_message as parse, *};

    fn refused(message: &str) -> RpcError {
        parse(message).expect_err(message).error
    }

    #[test]
    fn tells_requests_notifications_and_responses_apart() {
        let request = r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{"x":1}}"#;
        assert!(
            matches!(parse(request), Ok(Message::Request(request)) if request.id.get() == "\"a\"")
        );
        let request =
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null,"result":null,"error":null}"#;
        assert!(
            matches!(parse(request), Ok(Message::Request(request)) if request.params.is_none())
        );
        let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert!(matches!(parse(notification), Ok(Message::Notification(_))));
        for response in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":null,"params":null,"result":{},"error":null}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        ] {
            assert!(
                matches!(parse(response), Ok(Message::Response(_))),
                "{response}"
            );
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_message() {
        assert_eq!(refused("{").code, code::PARSE_ERROR);
        assert_eq!(refused("").code, code::PARSE_ERROR);
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
        assert!(parse(&long(LONGEST_ID)).is_ok());
        let error = refused(&long(LONGEST_ID + 1));
        assert_eq!(error.code, code::INVALID_REQUEST);
        assert!(error.message.contains("256 bytes"), "{}", error.message);
        let answerable = parse(r#"{"jsonrpc":"1.0","id":7,"method":"m"}"#).unwrap_err();
        assert_eq!(answerable.id.map(RawValue::get), Some("7"));
    }
}
