//! Clients that answer a question by a task of their own (2025-11-25, tasks): they are the receivers then, and the front
//! end polls the task, fetches its outcome and cancels it when nothing waits for it any more.

use serde_json::{Value, json};
use taskferry_contract::{Session, TaskId};

use crate::mcp::legacy::own_request::{About, OwnRequest};
use crate::mcp::protocol::LEGACY_WITH_TASKS;
use crate::mcp::protocol::outgoing::{Method, Outgoing};

/// Which requests of this server a client may answer by tasks, as it declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Receiver {
    elicitation: bool,
    sampling: bool,
    cancel: bool,
}

impl Receiver {
    pub(super) fn of(session: &Session) -> Self {
        if session.revision != LEGACY_WITH_TASKS {
            return Self::default();
        }
        let declared: Value = serde_json::from_str(&session.capabilities).unwrap_or_default();
        let has = |path: &str| declared.pointer(path).is_some_and(Value::is_object);
        Self {
            elicitation: has("/tasks/requests/elicitation/create"),
            sampling: has("/tasks/requests/sampling/createMessage"),
            cancel: has("/tasks/cancel"),
        }
    }

    /// Whether a request of this method may become a task of the client's.
    pub(super) fn takes(self, method: &str) -> bool {
        match method {
            "elicitation/create" => self.elicitation,
            "sampling/createMessage" => self.sampling,
            _ => false,
        }
    }

    /// Whether it may have tasks at all.
    pub(super) fn is_any(self) -> bool {
        self.elicitation || self.sampling
    }

    /// Whether a task of its own can be cancelled.
    pub(super) fn cancels(self) -> bool {
        self.is_any() && self.cancel
    }
}

/// A request about the task by which a client answers the question `key` of the job `id`.
pub(super) fn message(id: TaskId, key: &str, about: About, client_task: &str) -> Outgoing {
    let method = match about {
        About::Status(_) => Method::GetTask,
        About::Outcome(_) => Method::TaskResult,
        About::Cancel(_) => Method::CancelTask,
    };
    let request = OwnRequest {
        task: id,
        key,
        about: Some(about),
    };
    let params = json!({ "taskId": client_task });
    Outgoing::request(&request.to_string(), method, &params)
}

/// A request that cancels it.
pub(super) fn cancellation(id: TaskId, key: &str, client_task: &str) -> Outgoing {
    let about = About::Cancel(u64::from(rand::random::<u32>()));
    message(id, key, about, client_task)
}

#[cfg(test)]
mod tests {
    use taskferry_contract::Owner;

    use super::*;

    fn receiver(capabilities: &Value) -> Receiver {
        Receiver::of(&Session {
            revision: "2025-11-25".to_owned(),
            owner: Owner::anonymous(),
            capabilities: capabilities.to_string(),
            client: String::new(),
            log_level: None,
        })
    }

    #[test]
    fn only_what_is_declared_becomes_a_task_of_the_clients() {
        let none = receiver(&json!({ "elicitation": {}, "tasks": { "requests": {} } }));
        assert_eq!(none, Receiver::default());
        let both = json!({ "tasks": {
            "cancel": {}, "requests": { "elicitation": { "create": {} }, "sampling": { "createMessage": {} } },
        } });
        let both = receiver(&both);
        assert!(both.takes("elicitation/create") && both.takes("sampling/createMessage"));
        assert!(!both.takes("roots/list") && both.cancels());
        let one = json!({ "tasks": { "requests": { "sampling": { "createMessage": {} } } } });
        let one = receiver(&one);
        assert!(!one.takes("elicitation/create") && one.is_any() && !one.cancels());
    }
}
