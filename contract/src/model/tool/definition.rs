//! Tool definitions: what MCP shows of a tool and what the bridge needs to run it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::object::{object, objects, optional_object};
use crate::json::readable::{PART_DEPTH, check_readable};
use crate::model::names::{QueueName, ToolName};
use crate::model::tool::rate::Rate;
use crate::model::tool::timing::{Backoff, TtlBounds};

/// Whether a tool's calls may, must or must not become tasks (2025-11-25, `execution.taskSupport`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSupport {
    /// Only as a task.
    Required,
    /// Either way. The default.
    #[default]
    Optional,
    /// Never as a task.
    Forbidden,
}

/// A question that comes before the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskFirst {
    /// The key under which the client's answer is stored in the record; a handler that asks under the same key gets it.
    pub key: String,
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: String,
    /// The request's params, a JSON object.
    pub params: Box<RawValue>,
}

/// A tool, as its worker registers it in Redis.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// What clients call it.
    pub name: ToolName,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it does, for models and people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the arguments, verbatim; its root has `type: object`.
    pub input_schema: Box<RawValue>,
    /// JSON Schema of `structuredContent`, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Box<RawValue>>,
    /// MCP tool annotations, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Box<RawValue>>,
    /// MCP icons, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icons: Option<Box<RawValue>>,
    /// Whether its calls become tasks.
    #[serde(default)]
    pub task_support: TaskSupport,
    /// tools/list sorts by rank, then name. 0.
    #[serde(default)]
    pub rank: i32,
    /// The queue its jobs wait on.
    #[serde(default = "QueueName::default_queue")]
    pub queue: QueueName,
    /// How long one attempt may take, ms. Ten minutes.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// The bounds of a task's ttl.
    #[serde(default, deserialize_with = "object")]
    pub ttl: TtlBounds,
    /// How long a finished modern task stays readable at least, ms: the ttl grows at the end if it must. Five minutes.
    #[serde(default = "default_keep_ms")]
    pub keep_ms: u64,
    /// How often a caller should poll a young task, ms. One second.
    #[serde(default = "default_poll_ms")]
    pub poll_interval_ms: u64,
    /// How often a caller should poll an old task at least, ms: the interval grows with the age up to this, if it is more
    /// than `poll_interval_ms`. Five seconds.
    #[serde(default = "default_poll_max_ms")]
    pub poll_interval_max_ms: u64,
    /// How often a job may be attempted when attempts end in retryable errors, 1 or more. Three.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// How many attempts may die with their worker before the job is failed, 1 or more. Three.
    #[serde(default = "default_attempts")]
    pub crash_limit: u32,
    /// How long a retry waits.
    #[serde(default, deserialize_with = "object")]
    pub backoff: Backoff,
    /// What a client must declare to call it: a JSON object as in MCP client capabilities, such as `{"sampling":{}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_capabilities: Option<Box<RawValue>>,
    /// What the caller is asked before the job is queued, if it can be asked; a handler that asks under the same key gets
    /// the answer at once.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "objects"
    )]
    pub ask_first: Vec<AskFirst>,
    /// Whether identical calls of one caller, while the first has not ended, share its job. False.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub share_identical: bool,
    /// What a client may show its model while a task runs (2025-11-25, Creating Tasks: model-immediate-response).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immediate_response: Option<String>,
    /// How many jobs of this tool may run at once, on all workers together, 1 or more; no limit if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How many attempts of its jobs may begin in a time, on all workers together; no bound if absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_object"
    )]
    pub rate: Option<Rate>,
    /// The scopes that a caller needs to call it, where callers have scopes; see [`is_scope`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The scopes that a caller needs to make tasks of it, and for all that can be done with these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_scopes: Vec<String>,
}

/// Whether a text can be a scope: 1 to 200 printable ASCII characters without space, quotes and backslash (RFC 6749, 3.3).
/// The asterisk alone is none here: it stands for all where keys are written down.
#[must_use]
pub fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    (1..=200).contains(&text.len()) && text != "*" && text.bytes().all(fits)
}

impl ToolDefinition {
    /// A definition with a name, a schema, and the default of everything else.
    #[must_use]
    pub fn new(name: ToolName, input_schema: Box<RawValue>) -> Self {
        Self {
            name,
            title: None,
            description: None,
            input_schema,
            output_schema: None,
            annotations: None,
            icons: None,
            task_support: TaskSupport::default(),
            rank: 0,
            queue: QueueName::default_queue(),
            timeout_ms: default_timeout_ms(),
            ttl: TtlBounds::default(),
            keep_ms: default_keep_ms(),
            poll_interval_ms: default_poll_ms(),
            poll_interval_max_ms: default_poll_max_ms(),
            attempts: default_attempts(),
            crash_limit: default_attempts(),
            backoff: Backoff::default(),
            required_capabilities: None,
            ask_first: Vec::new(),
            share_identical: false,
            immediate_response: None,
            concurrency: None,
            rate: None,
            scopes: Vec::new(),
            task_scopes: Vec::new(),
        }
    }

    /// Checks that every client can read the JSON in it; one that cannot would lose the list of all tools.
    ///
    /// # Errors
    ///
    /// What is wrong, and in which field.
    pub fn check_readable(&self) -> Result<(), String> {
        let fields = [
            ("input_schema", Some(&self.input_schema)),
            ("output_schema", self.output_schema.as_ref()),
            ("annotations", self.annotations.as_ref()),
            ("icons", self.icons.as_ref()),
            ("required_capabilities", self.required_capabilities.as_ref()),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(name, json)| Some((name, json?)));
        let asked = self.ask_first.iter().map(|ask| ("ask_first", &ask.params));
        for (name, json) in fields.chain(asked) {
            check_readable(json.get(), PART_DEPTH)
                .map_err(|error| format!("its {name} cannot be read by every client: {error}"))?;
        }
        Ok(())
    }
}

fn default_timeout_ms() -> u64 {
    600_000
}

fn default_keep_ms() -> u64 {
    300_000
}

fn default_poll_ms() -> u64 {
    1_000
}

/// How often clients are asked to poll an old task unless its tool says otherwise, ms.
pub const DEFAULT_POLL_MAX_MS: u64 = 5_000;

fn default_poll_max_ms() -> u64 {
    DEFAULT_POLL_MAX_MS
}

fn default_attempts() -> u32 {
    3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_definition_leaves_out_is_the_default() {
        let text = r#"{"name":"t","input_schema":{}}"#;
        let read: ToolDefinition = serde_json::from_str(text).unwrap();
        let made = ToolDefinition::new("t".parse().unwrap(), read.input_schema.clone());
        for tool in [&read, &made] {
            let times = (
                tool.timeout_ms,
                tool.keep_ms,
                tool.poll_interval_ms,
                tool.poll_interval_max_ms,
            );
            assert_eq!(times, (600_000, 300_000, 1_000, 5_000));
            assert_eq!((tool.attempts, tool.crash_limit), (3, 3));
        }
        let [read, made] = [read, made].map(|tool| serde_json::to_value(tool).unwrap());
        assert_eq!(read, made);
    }

    #[test]
    fn a_schema_keeps_its_bytes() {
        let text = r#"{"name":"t","input_schema":{ "type":"object",  "b":1,"a":2 }}"#;
        let tool: ToolDefinition = serde_json::from_str(text).unwrap();
        assert_eq!(
            tool.input_schema.get(),
            r#"{ "type":"object",  "b":1,"a":2 }"#
        );
        let back: ToolDefinition =
            serde_json::from_str(&serde_json::to_string(&tool).unwrap()).unwrap();
        assert_eq!(back.input_schema.get(), tool.input_schema.get());
    }
}
