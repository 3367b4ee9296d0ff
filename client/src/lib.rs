//! A small MCP client of both eras. It depends on nothing else of Taskferry, so that it sees what any client sees.
//!
//! It has two layers:
//!
//! - what is said: [`legacy`] and [`modern`] make a [`Request`] of a method and its params, without any IO. Whoever wants
//!   to send what no server should take changes it, or writes one by hand.
//! - how it is sent: [`Http`] answers with a [`Reply`], which is read message by message whether it is JSON or an event
//!   stream. For loads, [`kept`] sends ready-made bytes on one connection and reads answers of known length.
//!
//! A legacy session with one call:
//!
//! ```no_run
//! # async fn example() -> Result<(), taskferry_client::Error> {
//! use serde_json::json;
//! use taskferry_client::{Call, Declaration, Http, LEGACY, legacy};
//!
//! let url = "http://127.0.0.1:8080/mcp";
//! let http = Http::new()?;
//! let client = Declaration::new("example", json!({}));
//! let session = legacy::open(&http, url, (LEGACY, &client)).await?;
//! let call = Call::new("echo", json!({ "text": "hello" }));
//! let mut reply = http.send(url, &session.request(1, "tools/call", call.params())).await?;
//! let answer = reply.answer().await?;
//! # drop(answer);
//! # Ok(())
//! # }
//! ```

mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod http;
pub mod kept;
pub mod legacy;
pub mod modern;
mod params;
mod request;
pub mod sse;

pub use error::Error;
pub use http::{Http, Reply};
pub use params::{Call, Declaration, task, update};
pub use request::Request;
pub use reqwest::header::HeaderMap;
pub use reqwest::{Method, StatusCode};

/// The revision of the legacy era that has tasks.
pub const LEGACY: &str = "2025-11-25";
/// The revision of the modern era.
pub const MODERN: &str = "2026-07-28";
/// The extension by which modern clients take tasks.
pub const TASKS: &str = "io.modelcontextprotocol/tasks";

/// Whether a message answers a request. Else it is a notification, or a request to the client.
#[must_use]
pub fn is_answer(message: &serde_json::Value) -> bool {
    message.get("result").is_some() || message.get("error").is_some()
}
