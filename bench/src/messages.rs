//! The requests, as bytes made once and sent often; and what is read of the answers.

use std::borrow::Cow;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use taskferry_client::legacy::{self, Session};
use taskferry_client::{Declaration, Http, LEGACY, TASKS, kept, modern, task};

/// The ttl of a legacy task.
const TTL_MS: u64 = 3_600_000;

/// A server, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    path: &'static str,
    /// The legacy session; the modern era has none.
    session: Option<Session>,
    /// Takes tasks.
    with_tasks: Declaration,
    /// Takes none.
    plain: Declaration,
}

/// What a task is called with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The tool.
    pub(crate) tool: &'a str,
    /// The arguments, JSON.
    pub(crate) arguments: &'a str,
    /// Whether it is to become a task.
    pub(crate) as_task: bool,
}

impl Endpoint {
    /// Modern requests to `path`.
    pub(crate) fn modern(address: SocketAddr, path: &'static str) -> Self {
        let declared = |capabilities| Declaration::new("taskferry-bench", capabilities);
        Self {
            address,
            path,
            session: None,
            with_tasks: declared(json!({ "extensions": { TASKS: {} } })),
            plain: declared(json!({})),
        }
    }

    /// Legacy requests, in a session that this opens.
    pub(crate) async fn legacy(address: SocketAddr) -> anyhow::Result<Self> {
        let mut endpoint = Self::modern(address, "/mcp");
        let url = format!("http://{address}/mcp");
        let http = Http::new()?;
        let opened = legacy::open(&http, &url, (LEGACY, &endpoint.plain));
        endpoint.session = Some(opened.await?);
        Ok(endpoint)
    }

    /// `tools/call`.
    pub(crate) fn call(&self, call: Call<'_>) -> anyhow::Result<Vec<u8>> {
        let arguments = serde_json::from_str(call.arguments)?;
        let mut made = taskferry_client::Call::new(call.tool, arguments);
        if call.as_task && self.session.is_some() {
            made = made.as_task(Some(TTL_MS));
        }
        Ok(self.bytes("tools/call", made.params(), call.as_task))
    }

    /// `tasks/get`.
    pub(crate) fn poll(&self, id: &str) -> Vec<u8> {
        self.bytes("tasks/get", task(id), true)
    }

    fn bytes(&self, method: &str, params: Value, takes_tasks: bool) -> Vec<u8> {
        let declared = if takes_tasks {
            &self.with_tasks
        } else {
            &self.plain
        };
        let request = match &self.session {
            Some(session) => session.request(1, method, params),
            None => modern::request(declared, 1, method, params),
        };
        kept::bytes(&request, self.address, self.path)
    }
}

/// What is read of a result, of whichever method.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome<'a> {
    /// The task, flat (modern, bare).
    #[serde(borrow, default)]
    pub(crate) task_id: Option<Cow<'a, str>>,
    /// Its status.
    #[serde(borrow, default)]
    pub(crate) status: Option<Cow<'a, str>>,
    /// The task of a legacy call.
    #[serde(borrow, default)]
    task: Option<Box<Outcome<'a>>>,
    /// What a plain call returns.
    #[serde(borrow, default)]
    content: Option<&'a serde_json::value::RawValue>,
    #[serde(default)]
    is_error: bool,
}

/// What an answer must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A task.
    Task,
    /// A tool's result.
    Content,
}

/// Reads the body of an answer; one that is an error, or not what was expected, is an error that shows it.
pub(crate) fn outcome(body: &[u8], expect: Expect) -> anyhow::Result<Outcome<'_>> {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow, default)]
        result: Option<Outcome<'a>>,
    }
    let text = std::str::from_utf8(body)?;
    let response: Response<'_> =
        serde_json::from_str(text).with_context(|| format!("an answer cannot be read: {text}"))?;
    let Some(result) = response.result else {
        bail!("an answer is no result: {text}");
    };
    let result = match result.task {
        Some(task) => *task,
        None => result,
    };
    let fits = match expect {
        Expect::Task => result.task_id.is_some() && result.status.is_some(),
        Expect::Content => result.content.is_some() && !result.is_error,
    };
    if !fits {
        bail!("an answer is not what was asked for: {text}");
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_aborts_with_its_body() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"full"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":true}}"#,
            "no JSON",
        ] {
            let error = outcome(body.as_bytes(), Expect::Content).unwrap_err();
            assert!(format!("{error:#}").contains(body), "{error:#}");
        }
    }

    #[test]
    fn the_task_of_every_era_is_read() {
        for body in [
            r#"{"id":1,"result":{"taskId":"0-x","status":"working"}}"#,
            r#"{"id":1,"result":{"task":{"taskId":"0-x","status":"working"}}}"#,
        ] {
            let task = outcome(body.as_bytes(), Expect::Task).unwrap();
            assert_eq!(task.task_id.as_deref(), Some("0-x"));
            assert!(outcome(body.as_bytes(), Expect::Content).is_err());
        }
    }
}
