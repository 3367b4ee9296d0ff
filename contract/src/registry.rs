//! Who is there: the tools that workers registered, and the workers themselves.

use std::collections::HashMap;
use std::time::Duration;

use crate::error::Error;
use crate::ids::WorkerId;
use crate::store::{Store, millis};
use crate::tool::ToolDefinition;

/// A worker that has not said a word for this long is no longer listed.
const WORKER_KEPT: Duration = Duration::from_secs(60);

/// What a worker tells operators of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Its consumer name.
    pub id: WorkerId,
    /// The host it runs on.
    pub host: String,
    /// Its process id.
    pub pid: u32,
    /// The version of its binary.
    pub version: String,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// How many it runs now.
    pub busy: usize,
    /// The names of its tools, comma-separated.
    pub tools: String,
}

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
                Ok(tool) => Some(tool),
                Err(error) => {
                    tracing::warn!(%name, %error, "a registered tool cannot be read; it is not listed");
                    None
                }
            })
            .collect();
        tools.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        Ok(tools)
    }

    /// Stores definitions that are new or differ from what is stored, and tells the replicas. Says how many were stored.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn register_tools(&self, tools: &[ToolDefinition]) -> Result<usize, Error> {
        if tools.is_empty() {
            return Ok(0);
        }
        let key = self.keys.tools();
        let wanted: Vec<(&str, String)> = tools
            .iter()
            .map(|tool| {
                (
                    tool.name.as_str(),
                    serde_json::to_string(tool).unwrap_or_default(),
                )
            })
            .collect();
        let mut read = redis::cmd("HMGET");
        read.arg(&key);
        for (name, _) in &wanted {
            read.arg(name);
        }
        let stored: Vec<Option<String>> = self.connections.command("register_tools", &read).await?;
        let mut store = redis::cmd("HSET");
        store.arg(&key);
        let mut changed = 0;
        for ((name, json), stored) in wanted.iter().zip(stored) {
            if stored.as_ref() != Some(json) {
                store.arg(name).arg(json);
                changed += 1;
            }
        }
        if changed > 0 {
            let mut both = redis::pipe();
            both.atomic()
                .add_command(store)
                .ignore()
                .cmd("PUBLISH")
                .arg(self.keys.tools_bell())
                .arg("register")
                .ignore();
            self.connections
                .pipeline::<()>("register_tools", &both)
                .await?;
        }
        Ok(changed)
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
            .arg("remove")
            .ignore();
        let (removed,): (i64,) = self.connections.pipeline("remove_tool", &both).await?;
        Ok(removed == 1)
    }

    /// The key that signs what clients carry for us: 64 hexadecimal digits, made once and then the same for every replica.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn secret(&self) -> Result<String, Error> {
        let made = format!(
            "{:032x}{:032x}",
            rand::random::<u128>(),
            rand::random::<u128>()
        );
        let key = self.keys.secret();
        let mut both = redis::pipe();
        both.atomic()
            .cmd("SET")
            .arg(&key)
            .arg(made)
            .arg("NX")
            .ignore()
            .cmd("GET")
            .arg(&key);
        let (secret,): (String,) = self.connections.pipeline("secret", &both).await?;
        Ok(secret)
    }

    /// Notes that a worker is alive.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn beat(&self, worker: &WorkerInfo) -> Result<(), Error> {
        let now = self.now_ms().await?;
        let kept = millis(WORKER_KEPT);
        let key = self.keys.worker(&worker.id);
        let mut beat = redis::pipe();
        beat.cmd("HSET")
            .arg(&key)
            .arg("host")
            .arg(&worker.host)
            .arg("pid")
            .arg(worker.pid)
            .arg("version")
            .arg(&worker.version)
            .arg("slots")
            .arg(worker.slots)
            .arg("busy")
            .arg(worker.busy)
            .arg("tools")
            .arg(&worker.tools)
            .ignore()
            .cmd("PEXPIRE")
            .arg(&key)
            .arg(kept)
            .ignore()
            .cmd("ZREMRANGEBYSCORE")
            .arg(self.keys.workers())
            .arg("-inf")
            .arg(now.saturating_sub(kept))
            .ignore()
            .cmd("ZADD")
            .arg(self.keys.workers())
            .arg(now)
            .arg(worker.id.as_str())
            .ignore()
            .cmd("PEXPIRE")
            .arg(self.keys.workers())
            .arg(kept)
            .ignore();
        self.connections.pipeline("beat", &beat).await
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
