//! Progress notifications of one request: each is sent once, and they only ever grow.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_contract::{Status, TaskView};

use crate::mcp::jsonrpc::{self, RpcError};
use crate::mcp::protocol::outgoing::{Method, Outgoing};

/// Makes the progress notifications of one job under one token.
#[derive(Debug, Clone)]
pub(crate) struct ProgressTeller {
    /// A string or an integer, verbatim, as the caller chose it.
    token: Box<RawValue>,
    told: f64,
    meta: Option<Value>,
}

/// Returns the token, unless it is too long to be repeated in every event.
pub(crate) fn bounded(token: Option<&RawValue>) -> Result<Option<&RawValue>, RpcError> {
    if token.is_none_or(|token| jsonrpc::is_short_id(token.get())) {
        return Ok(token);
    }
    let most = jsonrpc::LONGEST_ID;
    let text = format!("progressToken must have at most {most} bytes");
    Err(RpcError::invalid_request(text))
}

/// Reads a request's `progressToken`; a null counts as absent.
pub(crate) fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    let token = <&RawValue>::deserialize(from)?;
    if token.get() == "null" {
        return Ok(None);
    }
    if !jsonrpc::is_valid_id(token.get()) {
        return Err(D::Error::custom(
            "progressToken must be a string or an integer",
        ));
    }
    Ok(Some(token))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    progress_token: &'a RawValue,
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a Value>,
}

impl ProgressTeller {
    pub(crate) fn new(token: Box<RawValue>) -> Self {
        Self {
            token,
            told: f64::NEG_INFINITY,
            meta: None,
        }
    }

    /// With this `_meta` in every notification.
    pub(crate) fn marked(self, meta: Value) -> Self {
        Self {
            meta: Some(meta),
            ..self
        }
    }

    /// With what was sent before.
    pub(crate) fn after(self, told: Option<f64>) -> Self {
        Self {
            told: told.unwrap_or(self.told),
            ..self
        }
    }

    /// What was sent last.
    pub(crate) fn last_sent(&self) -> f64 {
        self.told
    }

    /// The notification of progress that has not been sent yet, if there is any.
    pub(crate) fn tell(&mut self, view: &TaskView) -> Option<Outgoing> {
        if view.status == Status::Queued {
            // Progress of an attempt that is over.
            return None;
        }
        let progress: f64 = view.progress.as_deref()?.parse().ok()?;
        if progress <= self.told {
            return None;
        }
        self.told = progress;
        let params = Progress {
            progress_token: &self.token,
            progress,
            total: view.total.as_deref().and_then(|total| total.parse().ok()),
            message: view.message.as_deref(),
            meta: self.meta.as_ref(),
        };
        Some(Outgoing::notification(Method::Progress, &params))
    }
}
