//! What this server sends to clients of its own accord: by which methods, and which client may be sent which.

use serde::Serialize;
use serde_json::Value;

use crate::mcp::jsonrpc::{self, Text};
use crate::mcp::protocol::{LEGACY, LEGACY_WITH_TASKS, MODERN};

/// A method by which this server addresses a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Progress,
    Message,
    ToolsChanged,
    TaskStatus,
    SubscriptionAcknowledged,
    Task,
    Elicit,
    Sample,
    ListRoots,
    GetTask,
    TaskResult,
    CancelTask,
}

impl Method {
    const ALL: [Self; 12] = [
        Self::Progress,
        Self::Message,
        Self::ToolsChanged,
        Self::TaskStatus,
        Self::SubscriptionAcknowledged,
        Self::Task,
        Self::Elicit,
        Self::Sample,
        Self::ListRoots,
        Self::GetTask,
        Self::TaskResult,
        Self::CancelTask,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Progress => "notifications/progress",
            Self::Message => "notifications/message",
            Self::ToolsChanged => "notifications/tools/list_changed",
            Self::TaskStatus => "notifications/tasks/status",
            Self::SubscriptionAcknowledged => "notifications/subscriptions/acknowledged",
            Self::Task => "notifications/tasks",
            Self::Elicit => "elicitation/create",
            Self::Sample => "sampling/createMessage",
            Self::ListRoots => "roots/list",
            Self::GetTask => "tasks/get",
            Self::TaskResult => "tasks/result",
            Self::CancelTask => "tasks/cancel",
        }
    }

    /// The method of a name, if this server has anything to send by it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether a client of a revision that declares `declared` knows it: the one table of what goes out to whom.
    fn is_known(self, revision: &str, declared: &Value) -> bool {
        let declares = |path: &str| declared.pointer(path).is_some_and(Value::is_object);
        let is_legacy = LEGACY.contains(&revision);
        let has_tasks = revision == LEGACY_WITH_TASKS && declares("/tasks");
        let makes_tasks = has_tasks
            && (declares("/tasks/requests/elicitation/create")
                || declares("/tasks/requests/sampling/createMessage"));
        match self {
            Self::Progress | Self::Message | Self::ToolsChanged => true,
            Self::TaskStatus => has_tasks,
            Self::SubscriptionAcknowledged => revision == MODERN,
            Self::Task => {
                revision == MODERN && declares("/extensions/io.modelcontextprotocol~1tasks")
            }
            // Modern clients are sent no requests: a result asks them.
            Self::Elicit => is_legacy && declares("/elicitation"),
            Self::Sample => is_legacy && declares("/sampling"),
            Self::ListRoots => is_legacy && declares("/roots"),
            Self::GetTask | Self::TaskResult => makes_tasks,
            Self::CancelTask => makes_tasks && declares("/tasks/cancel"),
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The methods by which a client may be addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addressable(u16);

impl Addressable {
    /// The methods for a client's revision and for those of its declared capabilities that its revision has.
    pub(crate) fn new(revision: &str, capabilities: &str) -> Self {
        let declared: Value = serde_json::from_str(capabilities).unwrap_or_default();
        let known = Method::ALL
            .into_iter()
            .filter(|method| method.is_known(revision, &declared));
        Self(known.fold(0, |all, method| all | method.bit()))
    }

    pub(crate) fn by(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }

    /// Returns the message if its method is one of these.
    pub(crate) fn admit(self, message: Outgoing) -> Option<Admitted> {
        if self.by(message.method) {
            return Some(Admitted(message.text));
        }
        let method = message.method.name();
        tracing::debug!(method, "not sent: the client has no such method");
        None
    }
}

/// A message to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    method: Method,
    text: Text,
}

impl Outgoing {
    pub(crate) fn notification(method: Method, params: &impl Serialize) -> Self {
        let text = jsonrpc::notification(method.name(), params).into();
        Self { method, text }
    }

    /// A notification whose params have a member more, which is JSON.
    pub(crate) fn notification_with(
        method: Method,
        params: &impl Serialize,
        (name, json): (&str, Text),
    ) -> Self {
        let message = jsonrpc::notification(method.name(), params);
        let text = jsonrpc::with_last_member(&message, name, json);
        Self { method, text }
    }

    pub(crate) fn request(id: &str, method: Method, params: &impl Serialize) -> Self {
        let text = jsonrpc::request(id, method.name(), params).into();
        Self { method, text }
    }
}

/// A message whose method its client knows. Only such messages become events.
#[derive(Debug)]
pub(crate) struct Admitted(Text);

impl From<Admitted> for Text {
    fn from(message: Admitted) -> Self {
        message.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::protocol::capabilities::in_revision;

    /// The methods of a client whose capabilities were read as a session's are.
    fn methods(revision: &str, declared: &Value) -> Vec<&'static str> {
        let declared = declared.to_string();
        let known = in_revision(revision, &declared);
        let addressable = Addressable::new(revision, &known);
        let all = Method::ALL.into_iter();
        all.filter(|method| addressable.by(*method))
            .map(Method::name)
            .collect()
    }

    const ALWAYS: [&str; 3] = [
        "notifications/progress",
        "notifications/message",
        "notifications/tools/list_changed",
    ];
    const QUESTIONS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];
    const TASKS: [&str; 3] = ["tasks/get", "tasks/result", "tasks/cancel"];

    #[test]
    fn no_client_is_sent_what_its_revision_or_its_declaration_lacks() {
        let everything = json!({
            "elicitation": { "form": {}, "url": {} }, "sampling": { "tools": {} }, "roots": {},
            "tasks": { "list": {}, "cancel": {}, "requests": {
                "elicitation": { "create": {} }, "sampling": { "createMessage": {} },
            } },
            "extensions": { "io.modelcontextprotocol/tasks": {} },
        });
        let plus = |more: &[&'static str]| [&ALWAYS[..], more].concat();
        let with_tasks = [
            &["notifications/tasks/status"][..],
            &QUESTIONS[..],
            &TASKS[..],
        ];
        let modern = [
            "notifications/subscriptions/acknowledged",
            "notifications/tasks",
        ];
        let every_revision = LEGACY.into_iter().chain([MODERN]);
        for revision in every_revision {
            let (all, none) = match revision {
                "2025-03-26" => (plus(&QUESTIONS[1..]), plus(&[])),
                "2025-06-18" => (plus(&QUESTIONS), plus(&[])),
                "2025-11-25" => (plus(&with_tasks.concat()), plus(&[])),
                "2026-07-28" => (plus(&modern), plus(&modern[..1])),
                unknown => panic!("what does {unknown} have?"),
            };
            assert_eq!(methods(revision, &everything), all, "{revision}");
            for nothing in [json!({}), nulls(&everything), json!({ "tasks": true })] {
                assert_eq!(methods(revision, &nothing), none, "{revision} {nothing}");
            }
        }
        assert_eq!(methods("2024-11-05", &json!({})), ALWAYS);
    }

    fn nulls(declared: &Value) -> Value {
        let all = declared.as_object().unwrap();
        all.keys().map(|name| (name.clone(), Value::Null)).collect()
    }

    #[test]
    fn clients_that_make_no_tasks_are_asked_about_none() {
        let declared = json!({ "tasks": { "cancel": {} }, "elicitation": {} });
        assert_eq!(
            methods("2025-11-25", &declared),
            [
                &ALWAYS[..],
                &["notifications/tasks/status", "elicitation/create"]
            ]
            .concat()
        );
    }

    #[test]
    fn a_message_passes_by_its_method_alone() {
        let status = || Outgoing::notification(Method::TaskStatus, &json!({}));
        let knows = Addressable::new("2025-11-25", r#"{"tasks":{}}"#);
        assert!(knows.admit(status()).is_some());
        assert!(
            Addressable::new("2025-11-25", "{}")
                .admit(status())
                .is_none()
        );
    }
}
