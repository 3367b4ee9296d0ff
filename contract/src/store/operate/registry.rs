//! Who is there: the tools that workers registered, and the workers themselves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::Error;
use crate::json::object::{Object, misfit};
use crate::model::names::{QueueName, ToolName, WorkerId};
use crate::model::tool::{DefinitionDigest, LeftOut, Registry, ToolDefinition};
use crate::model::worker::{HELD, KEPT, WorkerInfo, member};
use crate::script::{ScriptReply, TRANSITIONS};
use crate::store::doorbell::removal;
use crate::store::{Store, millis};

impl Store {
    /// Every registered tool, by rank and name: of those that several queues have, the one of its home. A definition that
    /// cannot be read is left out and logged.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn tools(&self) -> Result<Vec<ToolDefinition>, Error> {
        Ok(self.registry().await?.tools)
    }

    /// The same, which of them have no home yet, and what is left out.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn registry(&self) -> Result<Registry, Error> {
        let mut read = redis::pipe();
        read.cmd("ZRANGE").arg(self.keys.queues()).arg(0).arg(-1);
        read.cmd("HGETALL").arg(self.keys.homes());
        let (queues, homes): (Vec<String>, HashMap<String, String>) =
            self.connections.pipeline("tools", &read).await?;
        let queues: Vec<QueueName> = queues.iter().filter_map(|name| name.parse().ok()).collect();
        let (tools, left_out) = self.definitions(&queues).await?;
        let mut registry = Registry::of(tools, &homes);
        registry.left_out.extend(left_out);
        for left_out in &registry.left_out {
            let LeftOut {
                tool,
                queue,
                reason,
            } = left_out;
            tracing::warn!(tool, queue, reason, "a registered tool is not listed");
        }
        Ok(registry)
    }

    /// The names of the tools that are registered for these queues, whatever their homes and definitions.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn names_of_tools(&self, queues: &[QueueName]) -> Result<HashSet<String>, Error> {
        let mut read = redis::pipe();
        for queue in queues {
            read.cmd("HKEYS").arg(self.keys.tools(queue));
        }
        if queues.is_empty() {
            return Ok(HashSet::new());
        }
        let names: Vec<Vec<String>> = self.connections.pipeline("tools", &read).await?;
        Ok(names.into_iter().flatten().collect())
    }

    /// The tools that are registered for these queues, and what cannot be read.
    async fn definitions(
        &self,
        queues: &[QueueName],
    ) -> Result<(Vec<ToolDefinition>, Vec<LeftOut>), Error> {
        let mut read = redis::pipe();
        for queue in queues {
            read.cmd("HGETALL").arg(self.keys.tools(queue));
        }
        if queues.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let stored: Vec<HashMap<String, String>> =
            self.connections.pipeline("tools", &read).await?;
        let (mut all, mut left_out) = (Vec::new(), Vec::new());
        for (queue, tools) in queues.iter().zip(stored) {
            for (name, json) in tools {
                match read_tool(queue, &name, &json) {
                    Ok(tool) => all.push(tool),
                    Err(reason) => left_out.push(LeftOut {
                        tool: name,
                        queue: queue.to_string(),
                        reason,
                    }),
                }
            }
        }
        Ok((all, left_out))
    }

    /// Gives tools the homes that they have not yet: the queues that have them now.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn give_homes(&self, homeless: &[(ToolName, QueueName)]) -> Result<(), Error> {
        let pairs = homeless.iter();
        let args: Vec<&str> = pairs
            .flat_map(|(tool, queue)| [tool.as_str(), queue.as_str()])
            .collect();
        let homes = self.keys.homes();
        let reply = self.call(&TRANSITIONS.give_homes, &[&homes], &args).await?;
        reply.done()
    }

    /// Stores definitions that are new or differ from what is stored, and rings the front ends. Returns how many were
    /// stored. Their queues become their homes, unless the user may not say so: then those that others have stay there.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn register_tools(&self, tools: &[ToolDefinition]) -> Result<usize, Error> {
        let mut of_queues: BTreeMap<&QueueName, Vec<&ToolDefinition>> = BTreeMap::new();
        for tool in tools {
            of_queues.entry(&tool.queue).or_default().push(tool);
        }
        let mut registered = 0;
        for (queue, tools) in of_queues {
            registered += self.register_with(queue, &tools).await?;
        }
        Ok(registered)
    }

    async fn register_with(
        &self,
        queue: &QueueName,
        tools: &[&ToolDefinition],
    ) -> Result<usize, Error> {
        if self.leaves_homes.load(Ordering::Relaxed) {
            return self.register(queue, tools, None).await;
        }
        let homes = self.keys.homes();
        match self.register(queue, tools, Some(&homes)).await {
            Err(error) if error.is_forbidden() => {
                // Asked once a process: each refusal is noted in Redis's ACL LOG.
                self.leaves_homes.store(true, Ordering::Relaxed);
                self.register(queue, tools, None).await
            }
            registered => registered,
        }
    }

    async fn register(
        &self,
        queue: &QueueName,
        tools: &[&ToolDefinition],
        homes: Option<&str>,
    ) -> Result<usize, Error> {
        let definitions: Vec<String> = tools
            .iter()
            .map(|tool| serde_json::to_string(tool).unwrap_or_default())
            .collect();
        let bell = self.keys.tools_bell();
        let mut args = vec![bell.as_str(), queue.as_str()];
        for (tool, definition) in tools.iter().zip(&definitions) {
            args.extend([tool.name.as_str(), definition]);
        }
        let (tools, queues) = (self.keys.tools(queue), self.keys.queues());
        let mut keys = vec![tools.as_str(), &queues];
        keys.extend(homes);
        let register = &TRANSITIONS.register_tools;
        let mut reply = self.call(register, &keys, &args).await?;
        match reply.tag.as_str() {
            "OK" => reply.integer(),
            _ => Err(reply.unknown()),
        }
    }

    /// Removes a tool from all queues; says whether it was there. Jobs already queued for it stay.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn remove_tool(&self, name: &str) -> Result<bool, Error> {
        let mut queues = redis::cmd("ZRANGE");
        queues.arg(self.keys.queues()).arg(0).arg(-1);
        let queues: Vec<String> = self.connections.command("remove_tool", &queues).await?;
        let mut all = redis::pipe();
        all.atomic();
        for queue in queues.iter().filter_map(|name| name.parse().ok()) {
            all.cmd("HDEL").arg(self.keys.tools(&queue)).arg(name);
        }
        all.cmd("HDEL").arg(self.keys.homes()).arg(name);
        all.cmd("PUBLISH")
            .arg(self.keys.tools_bell())
            .arg(removal(name))
            .ignore();
        let removed: Vec<i64> = self.connections.pipeline("remove_tool", &all).await?;
        Ok(removed.contains(&1))
    }

    /// Notes that a worker is alive, which definitions of tools it can run jobs of, and what it says of itself.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn beat(
        &self,
        worker: &WorkerInfo,
        definitions: &[(ToolName, DefinitionDigest)],
    ) -> Result<(), Error> {
        let [pid, slots, busy] = [
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
            "digests",
            &worker.digests,
            // Since it has an inbox from its start to its end, its absence there says that it is gone.
            "listens",
            "1",
        ];
        let reply = self.call_beat(&worker.id, definitions, &fields).await?;
        reply.done()
    }

    /// The same of a worker that says of itself what it said before. False if that is not there any more: Redis lost it.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn beat_again(
        &self,
        worker: &WorkerId,
        definitions: &[(ToolName, DefinitionDigest)],
    ) -> Result<bool, Error> {
        let reply = self.call_beat(worker, definitions, &[]).await?;
        match reply.tag.as_str() {
            "OK" => Ok(true),
            "UNKNOWN" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }

    async fn call_beat(
        &self,
        worker: &WorkerId,
        definitions: &[(ToolName, DefinitionDigest)],
        fields: &[&str],
    ) -> Result<ScriptReply, Error> {
        let keys = [
            self.keys.worker(worker),
            self.keys.workers(),
            self.keys.definitions(),
        ];
        let members = definitions
            .iter()
            .map(|(tool, digest)| member(tool, digest));
        let members: Vec<String> = members.collect();
        let (kept, count) = (millis(KEPT).to_string(), members.len().to_string());
        let mut args = vec![worker.as_str(), &kept, &count];
        args.extend(members.iter().map(String::as_str));
        args.extend(fields);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.call(&TRANSITIONS.beat, &keys, &args).await
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

/// Reads the definition of a tool of a queue; else why it cannot be, or is not of that queue.
fn read_tool(queue: &QueueName, name: &str, json: &str) -> Result<ToolDefinition, String> {
    match serde_json::from_str(json) {
        Ok(Object::<ToolDefinition>(tool))
            if tool.queue == *queue && tool.name.as_str() == name =>
        {
            Ok(tool)
        }
        Ok(_of_another) => Err("its definition names another queue, or another tool".to_owned()),
        Err(error) => Err(format!("its definition cannot be read: {}", misfit(&error))),
    }
}
