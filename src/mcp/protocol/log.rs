//! Log notifications: the lines of a job, in order, once each.

use serde::Serialize;
use serde_json::Value;
use taskferry_contract::{LogLevel, LogLine, SessionId, TaskId};

use crate::bridge::{Bridge, BridgeError};
use crate::mcp::protocol::outgoing::{Method, Outgoing};

/// So often in a row some lines are told before anything else is: a log keeps about 1,000 lines, of which these are all. A job
/// that logs faster than its client reads must not keep that from its questions.
pub(crate) const TOLD_IN_A_ROW: usize = 100;

/// Makes the log notifications of one job.
#[derive(Debug, Clone)]
pub(crate) struct LogTeller {
    tool: String,
    least: LogLevel,
    /// The session, which may change the level meanwhile.
    session: Option<SessionId>,
    told: Option<String>,
    meta: Option<Value>,
}

/// A log line to be sent.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its place in the log.
    pub(crate) place: String,
    /// The notification.
    pub(crate) message: Outgoing,
}

#[derive(Serialize)]
struct Message<'a> {
    level: &'static str,
    logger: &'a str,
    data: &'a str,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<&'a Value>,
}

impl LogTeller {
    /// Sends lines of `tool` from a level on.
    pub(crate) fn new(tool: &str, least: LogLevel) -> Self {
        Self {
            tool: tool.to_owned(),
            least,
            session: None,
            told: None,
            meta: None,
        }
    }

    /// From the level on that the session has set when lines are sent.
    pub(crate) fn of_session(self, session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    /// With this `_meta` in every notification.
    pub(crate) fn marked(self, meta: Value) -> Self {
        Self {
            meta: Some(meta),
            ..self
        }
    }

    /// With the place of the line that was sent last.
    pub(crate) fn after(self, told: Option<String>) -> Self {
        Self { told, ..self }
    }

    /// The place of the line that was sent last.
    pub(crate) fn last_sent(&self) -> Option<&str> {
        self.told.as_deref()
    }

    /// The notifications of some lines that have not been sent yet, so few that they are no burden while a client takes its
    /// time; the same again if this fails, none once all were sent.
    pub(crate) async fn tell(
        &mut self,
        bridge: &Bridge,
        job: TaskId,
    ) -> Result<Vec<Line>, BridgeError> {
        let mut told = self.told.clone();
        let mut level_is_read = false;
        loop {
            let lines = bridge.tasks().log_lines(job, told.as_deref()).await?;
            let Some(last) = lines.last() else {
                self.told = told;
                return Ok(Vec::new());
            };
            if !level_is_read {
                self.read_level(bridge).await?;
                level_is_read = true;
            }
            told = Some(last.place.clone());
            let wanted = lines.into_iter().filter(|line| line.level >= self.least);
            let messages: Vec<Line> = wanted.map(|line| self.message(line)).collect();
            if !messages.is_empty() {
                self.told = told;
                return Ok(messages);
            }
        }
    }

    async fn read_level(&mut self, bridge: &Bridge) -> Result<(), BridgeError> {
        if let Some(id) = self.session
            && let Some(session) = bridge.sessions().find(id).await?
        {
            self.least = session.log_level.unwrap_or(self.least);
        }
        Ok(())
    }

    fn message(&self, line: LogLine) -> Line {
        let params = Message {
            level: line.level.as_str(),
            logger: &self.tool,
            data: &line.text,
            meta: self.meta.as_ref(),
        };
        Line {
            message: Outgoing::notification(Method::Message, &params),
            place: line.place,
        }
    }
}
