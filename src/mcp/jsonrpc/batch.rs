//! Several messages in one body.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use taskferry_contract::misfit;

use crate::mcp::jsonrpc::error::{RpcError, code};
use crate::mcp::jsonrpc::message::{Malformed, Message, read_message};

/// The most messages that a batch may hold.
const LARGEST_BATCH: usize = 32;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
