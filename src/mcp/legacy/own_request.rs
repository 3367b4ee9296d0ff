//! The ids of this server's own requests. They say where the response belongs, so that any front end can take it.

use std::fmt;

use serde_json::value::RawValue;
use taskferry_contract::TaskId;

/// Where a response belongs: to a question of a job, or to the task by which the client answers that question. Written
/// `<task id>/<question key>`, with `/get/<n>`, `/result/<n>` or `/cancel/<n>` behind it for a request about the client's task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnRequest<'a> {
    pub(super) task: TaskId,
    pub(super) key: &'a str,
    pub(super) about: Option<About>,
}

/// What a request about a client's task asks, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// How the task stands.
    Status(u64),
    /// Its outcome.
    Outcome(u64),
    /// To end it.
    Cancel(u64),
}

impl<'a> OwnRequest<'a> {
    /// Reads the id of a response. `None` if it answers no request of this server.
    pub(super) fn read(id: &'a str) -> Option<Self> {
        let (task, rest) = id.split_once('/')?;
        let (key, about) = match rest.split_once('/') {
            None => (rest, None),
            Some((key, about)) => (key, Some(About::read(about)?)),
        };
        let task = task.parse().ok()?;
        Some(Self { task, key, about })
    }
}

impl fmt::Display for OwnRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.task, self.key)?;
        let (what, number) = match self.about {
            None => return Ok(()),
            Some(About::Status(number)) => ("get", number),
            Some(About::Outcome(number)) => ("result", number),
            Some(About::Cancel(number)) => ("cancel", number),
        };
        write!(formatter, "/{what}/{number}")
    }
}

impl About {
    fn read(text: &str) -> Option<Self> {
        let (what, number) = text.split_once('/')?;
        let number = number.parse().ok()?;
        match what {
            "get" => Some(Self::Status(number)),
            "result" => Some(Self::Outcome(number)),
            "cancel" => Some(Self::Cancel(number)),
            _ => None,
        }
    }
}

/// The id of a response as text. `None` if it is none of this server's, which are all strings.
pub(super) fn text(id: &RawValue) -> Option<String> {
    serde_json::from_str(id.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "0-bffe95a2-2118-4a2b-bfb0-bba10c571429";

    #[test]
    fn an_id_says_where_the_response_belongs() {
        for (behind, about) in [
            ("", None),
            ("/get/3", Some(About::Status(3))),
            ("/result/4", Some(About::Outcome(4))),
            ("/cancel/5", Some(About::Cancel(5))),
        ] {
            let id = format!("{TASK}/confirm{behind}");
            let request = OwnRequest::read(&id).unwrap();
            assert_eq!((request.key, request.about), ("confirm", about));
            assert_eq!(request.to_string(), id);
        }
    }

    #[test]
    fn other_ids_belong_nowhere() {
        for behind in [
            "/k/",
            "/k/get",
            "/k/get/",
            "/k/get/x",
            "/k/list/1",
            "/k/get/1/2",
            "",
        ] {
            let id = format!("{TASK}{behind}");
            assert_eq!(OwnRequest::read(&id), None, "{id}");
        }
        assert_eq!(OwnRequest::read("1/k"), None);
    }
}
