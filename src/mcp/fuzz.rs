//! Fuzz targets of the protocol.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::mcp::jsonrpc::{
    Body, LONGEST_ID, Malformed, Message, RpcError, failure, is_valid_id, parse, plain_id,
    read_batch, refuse_duplicates, success,
};
pub use crate::mcp::legacy::fuzz::{event_id, initialize};
pub use crate::mcp::modern::fuzz::envelope;

/// The longest message of an error, bytes: with the sign that it was cut.
const LONGEST_TOLD: usize = 1024 + '…'.len_utf8();

/// A body: one message, or a batch. What is read can be answered, by the id that its client wrote.
///
/// # Panics
///
/// If that is not so.
pub fn edge(data: &[u8]) {
    let refused = refuse_duplicates(data);
    match parse(data) {
        Err(malformed) => hold_malformed(&malformed),
        Ok(Body::One(message)) => {
            let text = std::str::from_utf8(data).expect("a message is text");
            let read: Result<Value, _> = serde_json::from_str(text);
            if let (Ok(_), Ok(value)) = (refused, read) {
                assert!(value.is_object(), "{value} is a message");
            }
            hold(&message);
        }
        Ok(Body::Batch(text)) => match read_batch(text) {
            Err(malformed) => hold_malformed(&malformed),
            Ok(messages) => {
                assert!(
                    (1..=32).contains(&messages.len()),
                    "{} messages",
                    messages.len()
                );
                for message in messages {
                    message.map_or_else(
                        |malformed| hold_malformed(&malformed),
                        |message| hold(&message),
                    );
                }
            }
        },
    }
}

fn hold(message: &Message<'_>) {
    match message {
        Message::Request(request) => {
            hold_id(request.id);
            assert!(
                request
                    .params
                    .is_none_or(|params| params.get().starts_with('{'))
            );
            let answer = success(request.id, &serde_json::json!({}));
            hold_answer(&answer, Some(request.id));
        }
        Message::Notification(note) => {
            assert!(
                note.params
                    .is_none_or(|params| params.get().starts_with('{'))
            );
        }
        Message::Response(response) => response.id.into_iter().for_each(hold_id),
    }
}

fn hold_id(id: &RawValue) {
    assert!(is_valid_id(id.get()), "{id}");
    assert!(id.get().len() <= LONGEST_ID + 2, "{id}");
    let plain = plain_id(id.get());
    assert_eq!(plain_id(&plain), plain, "{id} has two ways of writing");
}

fn hold_malformed(malformed: &Malformed<'_>) {
    let RpcError { message, .. } = &malformed.error;
    assert!(
        !message.is_empty() && message.len() <= LONGEST_TOLD,
        "{} bytes",
        message.len()
    );
    malformed.id.into_iter().for_each(hold_id);
    hold_answer(&failure(malformed.id, &malformed.error), malformed.id);
}

/// An answer is one line of JSON, with the id as it came.
fn hold_answer(answer: &str, id: Option<&RawValue>) {
    assert!(!answer.contains(['\n', '\r']), "{answer:?} is not one line");
    let read: Result<Value, _> = serde_json::from_str(answer);
    // An id may be no Unicode; its client wrote it so.
    let is_text = id.is_none_or(|id| serde_json::from_str::<Value>(id.get()).is_ok());
    assert!(read.is_ok() || !is_text, "{answer} is no JSON");
    let id: Cow<'_, str> = id.map_or("".into(), |id| format!("\"id\":{id}").into());
    assert!(answer.contains(id.as_ref()), "{answer} has not {id}");
}
