//! Log notifications: the lines of a job, in order, once each.

use serde::Serialize;
use taskferry_contract::{LogLevel, TaskId};

use super::jsonrpc;
use crate::bridge::{Bridge, BridgeError};

/// Tells the log of one job.
#[derive(Debug)]
pub(crate) struct LogTeller {
    tool: String,
    least: LogLevel,
    told: Option<String>,
}

/// A line to be told.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its place in the log.
    pub(crate) place: String,
    /// The notification.
    pub(crate) message: String,
}

#[derive(Serialize)]
struct Message<'a> {
    level: &'static str,
    logger: &'a str,
    data: &'a str,
}

impl LogTeller {
    /// Tells lines of `tool` from a level on.
    pub(crate) fn new(tool: &str, least: LogLevel) -> Self {
        Self {
            tool: tool.to_owned(),
            least,
            told: None,
        }
    }

    /// With the place of the line that was told last.
    pub(crate) fn after(self, told: Option<String>) -> Self {
        Self { told, ..self }
    }

    /// The place of the line that was told last.
    pub(crate) fn told(&self) -> Option<&str> {
        self.told.as_deref()
    }

    /// The notifications of what has not been told yet.
    pub(crate) async fn tell(
        &mut self,
        bridge: &Bridge,
        job: TaskId,
    ) -> Result<Vec<Line>, BridgeError> {
        let mut messages = Vec::new();
        loop {
            let lines = bridge.log_lines(job, self.told.as_deref()).await?;
            let Some(last) = lines.last() else {
                return Ok(messages);
            };
            self.told = Some(last.place.clone());
            for line in lines.into_iter().filter(|line| line.level >= self.least) {
                let params = Message {
                    level: line.level.as_str(),
                    logger: &self.tool,
                    data: &line.text,
                };
                messages.push(Line {
                    message: jsonrpc::notification("notifications/message", &params),
                    place: line.place,
                });
            }
        }
    }
}
