//! Who is there: the tools that workers registered, and the workers themselves.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::Error;
use crate::json::object::Object;
use crate::model::names::{ToolName, WorkerId};
use crate::model::tool::{DefinitionDigest, ToolDefinition};
use crate::model::worker::{HELD, WorkerInfo};
use crate::script::TRANSITIONS;
use crate::store::doorbell::removal;
use crate::store::{Store, millis};

/// A worker that has not reported for this long is no longer listed.
const WORKER_KEPT: Duration = Duration::from_secs(60);

impl Store {
    /// Every registered tool, by rank and name. A definition that cannot be read is left out and logged.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn tools(&self) -> Result<Vec<ToolDefinition>, Error> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.tools());
        let stored: HashMap<String, String> = self.connections.command("tools", &read).await?;
        let mut tools: Vec<ToolDefinition> = stored
            .into_iter()
            .filter_map(|(name, json)| match serde_json::from_str(&json) {
                Ok(Object(tool)) => Some(tool),
                Err(error) => {
                    tracing::warn!(%name, %error, "a registered tool cannot be read; it is not listed");
                    None
                }
            })
            .collect();
        tools.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        Ok(tools)
    }

    /// Stores definitions that are new or differ from what is stored, and rings the front ends. Returns how many were
    /// stored.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn register_tools(&self, tools: &[ToolDefinition]) -> Result<usize, Error> {
        if tools.is_empty() {
            return Ok(0);
        }
        let definitions: Vec<String> = tools
            .iter()
            .map(|tool| serde_json::to_string(tool).unwrap_or_default())
            .collect();
        let bell = self.keys.tools_bell();
        let mut args = vec![bell.as_str()];
        for (tool, definition) in tools.iter().zip(&definitions) {
            args.extend([tool.name.as_str(), definition]);
        }
        let register = &TRANSITIONS.register_tools;
        let mut reply = self.call(register, &[&self.keys.tools()], &args).await?;
        match reply.tag.as_str() {
            "OK" => reply.integer(),
            _ => Err(reply.unknown()),
        }
    }

    /// Removes a tool; says whether it was there. Jobs already queued for it stay.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn remove_tool(&self, name: &str) -> Result<bool, Error> {
        let mut both = redis::pipe();
        both.atomic()
            .cmd("HDEL")
            .arg(self.keys.tools())
            .arg(name)
            .cmd("PUBLISH")
            .arg(self.keys.tools_bell())
            .arg(removal(name))
            .ignore();
        let (removed,): (i64,) = self.connections.pipeline("remove_tool", &both).await?;
        Ok(removed == 1)
    }

    /// The secret with which front ends sign state that a client brings back in its next request: 64 hexadecimal digits,
    /// made once and then the same for every front end.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn secret(&self) -> Result<String, Error> {
        let key = self.keys.secret();
        let mut read = redis::cmd("GET");
        read.arg(&key);
        let stored: Option<String> = self.connections.command("secret", &read).await?;
        if let Some(secret) = stored {
            return Ok(secret);
        }
        let made = format!(
            "{:032x}{:032x}",
            rand::random::<u128>(),
            rand::random::<u128>()
        );
        let mut make = redis::cmd("SET");
        make.arg(&key).arg(&made).arg("NX").arg("GET");
        let another: Option<String> = self.connections.command("secret", &make).await?;
        Ok(another.unwrap_or(made))
    }

    /// Notes that a worker is alive, and which definitions of tools it can run jobs of.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn beat(
        &self,
        worker: &WorkerInfo,
        definitions: &[(ToolName, DefinitionDigest)],
    ) -> Result<(), Error> {
        let keys = [
            self.keys.worker(&worker.id),
            self.keys.workers(),
            self.keys.definitions(),
        ];
        let members = definitions
            .iter()
            .map(|(tool, digest)| member(tool, digest));
        let members: Vec<String> = members.collect();
        let count = members.len().to_string();
        let [kept, pid, slots, busy] = [
            millis(WORKER_KEPT),
            u64::from(worker.pid),
            worker.slots as u64,
            worker.busy as u64,
        ]
        .map(|number| number.to_string());
        let fields = [
            "host",
            &worker.host,
            "pid",
            &pid,
            "version",
            &worker.version,
            "slots",
            &slots,
            "busy",
            &busy,
            "tools",
            &worker.tools,
            "doing",
            &worker.doing,
            "queues",
            &worker.queues,
        ];
        let mut args = vec![worker.id.as_str(), &kept, &count];
        args.extend(members.iter().map(String::as_str));
        args.extend(fields);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let reply = self.call(&TRANSITIONS.beat, &keys, &args).await?;
        reply.done()
    }

    /// Whether a live worker can run jobs of this definition of a tool.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn is_held(&self, tool: &ToolName, digest: &DefinitionDigest) -> Result<bool, Error> {
        let mut read = redis::cmd("ZSCORE");
        read.arg(self.keys.definitions()).arg(member(tool, digest));
        let beat_ms: Option<u64> = self.connections.command("is_held", &read).await?;
        let Some(beat_ms) = beat_ms else {
            return Ok(false);
        };
        let silent_ms = self.now_ms().await?.saturating_sub(beat_ms);
        Ok(Duration::from_millis(silent_ms) < HELD)
    }

    /// Notes that a worker left.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn leave(&self, worker: &WorkerId) -> Result<(), Error> {
        let mut leave = redis::pipe();
        leave
            .cmd("ZREM")
            .arg(self.keys.workers())
            .arg(worker.as_str())
            .ignore()
            .cmd("DEL")
            .arg(self.keys.worker(worker))
            .ignore();
        self.connections.pipeline("leave", &leave).await
    }
}

/// How the set of definitions names one.
fn member(tool: &ToolName, digest: &DefinitionDigest) -> String {
    format!("{tool} {digest}")
}
