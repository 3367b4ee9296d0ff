//! JSON-RPC 2.0 as MCP uses it: one message a body, ids that are strings or integers.

mod batch;
mod body;
mod error;
mod id;
mod message;
mod text;
mod write;

pub(crate) use batch::read_batch;
pub(crate) use body::{Body, parse, refuse_duplicates};
pub(crate) use error::{RpcError, code};
pub(crate) use id::{LONGEST_ID, is_short_id, is_valid_id, plain_id};
pub(crate) use message::{Malformed, Message, Notification, Request, Response};
pub(crate) use text::{Piece, Text};
pub(crate) use write::{
    failure, failure_of, notification, request, success, success_of, with_last_member,
};
