//! What a worker is made of.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskferry_contract::{
    DefinitionDigest, InvalidId, QueueName, Store, ToolChecks, ToolDefinition, ToolName, WorkerId,
};
use taskferry_housekeeping::Housekeeping;
use taskferry_process::Offload;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::queues::QueueTable;
use crate::core::Core;
use crate::core::in_flight::InFlight;
use crate::core::phase::{Phase, Tally};
use crate::core::quota::{OneShot, Quota};
use crate::core::slots::Slots;
use crate::exec::Environment;
use crate::exec_tool::{self, ExecHandler, ExternalHandler, confined};
use crate::manifest::{Manifest, QueueShare};
use crate::open_files;
use crate::runtime::{Runtime, Tool};
use crate::sdk::{EndsOutside, Handler};
use crate::sums::{self, Bounds, CommandOutput};
use crate::worker::Worker;

/// The most jobs one worker runs at once.
pub const MOST_SLOTS: usize = 1024;
/// The shortest lease.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// The longest lease.
pub const LONGEST_LEASE: Duration = Duration::from_secs(600);

/// How long jobs may go on after the worker was told to stop, unless it is built otherwise. With the grace of commands and
/// what is written afterwards it is less than the 10 s that `docker stop` gives.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest result that is stored, bytes of JSON, unless a worker is built otherwise: four times the most output of a
/// command by default, for structured content is stored twice, and escaped once.
pub const MAX_RESULT: usize = 16 << 20;

/// Collects what a worker is made of.
pub struct Builder {
    store: Store,
    slots: usize,
    lease: Duration,
    drain_timeout: Duration,
    park_after: Duration,
    one_shot: OneShot,
    max_result: usize,
    host: String,
    tools: Vec<Tool>,
    queues: QueueTable,
    /// What the tools that are commands may write.
    commands: Vec<CommandOutput>,
    problems: Vec<String>,
    /// What is said of tools that this system cannot bound, and of their secrets.
    notes: Vec<String>,
}

/// Why a worker cannot be built: everything that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the worker cannot be built: {}", .0.join("; "))]
pub struct BuildError(pub Vec<String>);

/// What is said of a tool that no front end could use.
pub(crate) fn unusable(tool: &ToolName, reason: &str) -> String {
    format!("tool {tool} cannot be used: {reason}")
}

impl Worker {
    /// A worker on this store, with as many slots as the machine has processors, a lease of 15 seconds, and 5 seconds to
    /// drain.
    #[must_use]
    pub fn builder(store: Store) -> Builder {
        Builder::new(store)
    }
}

impl Builder {
    fn new(store: Store) -> Self {
        let processors = std::thread::available_parallelism();
        Self {
            store,
            slots: processors.map_or(1, usize::from).min(MOST_SLOTS),
            lease: Duration::from_secs(15),
            drain_timeout: DRAIN_TIMEOUT,
            park_after: Duration::from_secs(60),
            one_shot: OneShot::default(),
            max_result: MAX_RESULT,
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            tools: Vec::new(),
            queues: QueueTable::default(),
            commands: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Lowers the number of slots to what this limit of open files allows, and logs that.
    pub(crate) fn fit_open_files(mut self, limit: Option<u64>) -> (Self, Option<String>) {
        let Some(files) = limit.filter(|_| !self.commands.is_empty()) else {
            return (self, None);
        };
        let shards = self.store.shards().all().count();
        let room = open_files::commands_in(files, shards);
        if room >= self.slots {
            return (self, None);
        }
        let note = format!(
            "the limit of {files} open files has room for {room} of {} slots, so {room} are served: raise it (ulimit -Hn, LimitNOFILE=) or set slots lower",
            self.slots
        );
        self.slots = room;
        (self, Some(note))
    }

    /// How many jobs run at once: 1 to [`MOST_SLOTS`]; [`Builder::build`] refuses others. As many as there are processors.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// How long a worker may be silent until others take over its jobs: [`SHORTEST_LEASE`] to [`LONGEST_LEASE`];
    /// [`Builder::build`] refuses others. All workers of a queue should have the same. 15 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long jobs may go on after the worker was told to stop; zero stops them at once. 5 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// How long a handler may wait in [`JobContext::ask`], or a command for its answers, until its job is parked; zero
    /// parks at once. One minute.
    ///
    /// [`JobContext::ask`]: crate::JobContext::ask
    #[must_use]
    pub fn park_after(mut self, bound: Duration) -> Self {
        self.park_after = bound;
        self
    }

    /// How many jobs it begins before it ends by itself, at least 1; it ends when they have ended. One that is asked
    /// for an answer and parked counts as ended. No bound.
    #[must_use]
    pub fn max_jobs(mut self, jobs: usize) -> Self {
        self.one_shot.max_jobs = Some(jobs);
        self
    }

    /// After what time without a job it ends by itself: at least a second. While Redis cannot be read that time does not
    /// run. Never.
    #[must_use]
    pub fn idle_exit(mut self, after: Duration) -> Self {
        self.one_shot.idle_exit = Some(after);
        self
    }

    /// The largest result that is stored, bytes of JSON; a larger one becomes a tool error that says so. Any
    /// number; [`MAX_RESULT`].
    #[must_use]
    pub fn max_result(mut self, bytes: usize) -> Self {
        self.max_result = bytes;
        self
    }

    /// What of its slots the jobs of a queue may have: how many turns while those of other queues wait too, and how many
    /// slots at a time. [`Builder::build`] refuses a queue that no tool is on. All queues have the same turns, and no bound.
    #[must_use]
    pub fn queue(mut self, queue: &QueueName, share: QueueShare) -> Self {
        self.queues.set(queue.as_str(), share);
        self
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, definition: ToolDefinition, handler: impl Handler) -> Self {
        self.add(definition, Arc::new(handler), None);
        self
    }

    /// Adds the tools of a manifest; their commands inherit `environment`, as far as each lets it pass. What a command has
    /// started is ended with it, and limits and sandboxes can be had, only in a program that has called
    /// [`supervise_if_told`](crate::supervise_if_told).
    #[must_use]
    pub fn exec_manifest(mut self, manifest: &Manifest, environment: &Environment) -> Self {
        for (queue, share) in &manifest.queues {
            self.queues.set(queue, *share);
        }
        for tool in &manifest.tools {
            self.problems.extend(confined::refused(tool));
            self.notes.extend(confined::warning(tool));
            self.notes.extend(confined::open_secrets(tool));
            self.commands.push(CommandOutput {
                tool: tool.name.clone(),
                max_output: tool.command.max_output,
                is_set: tool.sets_max_output,
                mode: tool.command.output,
                is_external: tool.external.is_some(),
            });
            match exec_tool::definition(tool) {
                Ok(definition) => {
                    if let Some(external) = &tool.external {
                        let handler = Arc::new(ExternalHandler::new(tool, external, environment));
                        self.add(definition, Arc::clone(&handler) as _, Some(handler));
                    } else {
                        self.add(
                            definition,
                            Arc::new(ExecHandler::new(tool, environment)),
                            None,
                        );
                    }
                }
                Err(error) => self.refuse(&error),
            }
        }
        self
    }

    fn add(
        &mut self,
        definition: ToolDefinition,
        handler: Arc<dyn Handler>,
        outside: Option<Arc<dyn EndsOutside>>,
    ) {
        match ToolChecks::of(&definition) {
            Ok(checks) => self.tools.push(Tool {
                digest: DefinitionDigest::of(&definition),
                definition,
                handler,
                outside,
                checks,
            }),
            Err(reason) => {
                self.problems.push(unusable(&definition.name, &reason));
            }
        }
    }

    fn refuse(&mut self, error: &InvalidId) {
        self.problems.push(error.to_string());
    }

    /// Warnings about settings with which it can start: a line for each pair of settings.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let definitions = self.tools.iter().map(|tool| &tool.definition);
        let mut warnings = sums::warnings(self.bounds(), definitions, &self.commands);
        warnings.extend(self.notes.iter().cloned());
        warnings.extend(self.queues.warnings(&self.queue_names(), self.slots));
        warnings
    }

    /// What of its slots each queue may have, in words, if anything is said of it.
    pub(crate) fn shares(&self) -> Option<String> {
        self.queues.sentence(&self.queue_names(), self.slots)
    }

    /// The queues of its tools, each once.
    fn queue_names(&self) -> Vec<QueueName> {
        let mut queues = Vec::new();
        for tool in &self.tools {
            if !queues.contains(&tool.definition.queue) {
                queues.push(tool.definition.queue.clone());
            }
        }
        queues
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            lease: self.lease,
            drain_timeout: self.drain_timeout,
            max_result: self.max_result,
            redis_timeout: self.store.connections().response_timeout(),
        }
    }

    /// The worker.
    ///
    /// # Errors
    ///
    /// Everything that is wrong: no tool, two tools of one name, a tool that no front end could use, slots or lease out
    /// of range, settings that cannot hold together. Settings that may end badly are logged when the worker runs.
    pub fn build(self) -> Result<Worker, BuildError> {
        let (drain_timeout, warnings) = (self.drain_timeout, self.warnings());
        Ok(Worker::new(self.runtime()?, drain_timeout, warnings))
    }

    /// The tools of the worker, and what its loops share.
    pub(crate) fn runtime(mut self) -> Result<Runtime, BuildError> {
        // A tool that was refused is among the problems already.
        let no_tool = self.tools.is_empty() && self.problems.is_empty();
        let (bounds, queues) = (self.bounds(), self.queue_names());
        let mut refuse = |problem: String| self.problems.push(problem);
        if !(1..=MOST_SLOTS).contains(&self.slots) {
            refuse(format!("slots must be from 1 to {MOST_SLOTS}"));
        }
        if !(SHORTEST_LEASE..=LONGEST_LEASE).contains(&self.lease) {
            refuse(format!(
                "the lease must be from {SHORTEST_LEASE:?} to {LONGEST_LEASE:?}"
            ));
        }
        self.one_shot.refused().for_each(&mut refuse);
        if no_tool {
            refuse("it has no tool".to_owned());
        }
        let tools = by_name(self.tools, refuse);
        self.problems.extend(sums::refused(bounds, &self.commands));
        if self.problems.is_empty() {
            self.problems = self.queues.refused(&queues);
        }
        if !self.problems.is_empty() {
            return Err(BuildError(self.problems));
        }
        let connections = self.store.connections().clone();
        let quota = Arc::new(Quota::new(self.one_shot));
        let worker = WorkerId::random(&self.host);
        let own = queues.clone();
        let slots_of_queues = self.queues.bounds(&queues);
        let housekeeping = Housekeeping::new(self.store.clone(), worker.to_string(), own);
        let core = Core {
            worker,
            store: self.store,
            host: self.host,
            lease: self.lease,
            park_after: self.park_after,
            max_result: self.max_result,
            weights: self.queues.weights(&queues),
            queues,
            slots: Arc::new(Slots::new(
                self.slots,
                slots_of_queues,
                Arc::clone(&quota),
                connections,
            )),
            quota,
            in_flight: Arc::new(InFlight::default()),
            jobs: TaskTracker::new(),
            handlers: TaskTracker::new(),
            phase: Phase::default(),
            make_known: Notify::new(),
            housekeeping,
            ended: Tally::default(),
            offload: Offload::default(),
            activity: Mutex::default(),
            fatal_error: Mutex::default(),
        };
        Ok(Runtime {
            core: Arc::new(core),
            tools,
        })
    }
}

fn by_name(all: Vec<Tool>, mut refuse: impl FnMut(String)) -> HashMap<ToolName, Tool> {
    let mut tools = HashMap::new();
    for tool in all {
        let name = tool.definition.name.clone();
        if tools.insert(name.clone(), tool).is_some() {
            refuse(format!("two tools have the name {name}"));
        }
    }
    tools
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("slots", &self.slots)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
