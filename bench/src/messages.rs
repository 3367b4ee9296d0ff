//! The requests, as bytes made once and sent often; and what is read of the answers.

use std::borrow::Cow;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::http::Http;
use crate::work::CAPABILITIES;

/// A server, and the path and headers that its requests have.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    path: &'static str,
    /// The legacy session; the modern era has none.
    session: Option<String>,
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

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";

impl Endpoint {
    /// Modern requests to `path`.
    pub(crate) fn modern(address: SocketAddr, path: &'static str) -> Self {
        Self {
            address,
            path,
            session: None,
        }
    }

    /// Legacy requests, in a session that this opens.
    pub(crate) async fn legacy(address: SocketAddr) -> anyhow::Result<Self> {
        let mut endpoint = Self::modern(address, "/mcp");
        let params = format!(
            r#"{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{"name":"taskferry-bench","version":"1"}}}}"#
        );
        let mut http = Http::connect(address).await?;
        let initialize = endpoint.request(&[], &message("initialize", &params));
        let answer = http.send(&initialize).await?;
        answer.ok()?;
        let session = answer.header("mcp-session-id");
        endpoint.session = Some(session.context("initialize opened no session")?.to_owned());
        let headers = [("MCP-Protocol-Version", LEGACY)];
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        http.send(&endpoint.request(&headers, initialized)).await?;
        Ok(endpoint)
    }

    /// `tools/call`.
    pub(crate) fn call(&self, call: Call<'_>) -> Vec<u8> {
        let Call {
            tool, arguments, ..
        } = call;
        let more = match (&self.session, call.as_task) {
            (None, as_task) => meta(as_task),
            (Some(_), true) => r#""task":{"ttl":3600000}"#.to_owned(),
            (Some(_), false) => r#""_meta":{}"#.to_owned(),
        };
        let params = format!(r#"{{"name":"{tool}","arguments":{arguments},{more}}}"#);
        self.named("tools/call", tool, &params)
    }

    /// `tasks/get`.
    pub(crate) fn poll(&self, id: &str) -> Vec<u8> {
        let params = match self.session {
            None => format!(r#"{{"taskId":"{id}",{}}}"#, meta(true)),
            Some(_) => format!(r#"{{"taskId":"{id}"}}"#),
        };
        self.named("tasks/get", id, &params)
    }

    fn named(&self, method: &str, name: &str, params: &str) -> Vec<u8> {
        let body = message(method, params);
        match self.session {
            None => {
                let headers = [
                    ("MCP-Protocol-Version", MODERN),
                    ("Mcp-Method", method),
                    ("Mcp-Name", name),
                ];
                self.request(&headers, &body)
            }
            Some(_) => self.request(&[("MCP-Protocol-Version", LEGACY)], &body),
        }
    }

    fn request(&self, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let session = self
            .session
            .as_deref()
            .map(|session| ("Mcp-Session-Id", session));
        let headers: String = headers
            .iter()
            .copied()
            .chain(session)
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let (path, address, length) = (self.path, self.address, body.len());
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        text.into_bytes()
    }
}

fn message(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

fn meta(takes_tasks: bool) -> String {
    let capabilities = if takes_tasks { CAPABILITIES } else { "{}" };
    format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientInfo":{{"name":"taskferry-bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{capabilities}}}"#
    )
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

    #[test]
    fn a_request_says_its_length_and_repeats_its_name() {
        let endpoint = Endpoint::modern(SocketAddr::from(([127, 0, 0, 1], 1)), "/mcp");
        let request = String::from_utf8(endpoint.poll("0-x")).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nMcp-Name: 0-x\r\n"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
