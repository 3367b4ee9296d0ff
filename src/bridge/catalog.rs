//! The tools that workers registered, as this front end knows them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use taskferry_contract::{Error, Registry, Store, ToolDefinition, ToolName};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::doubt::Doubt;
use super::{BridgeError, Tool};

/// The registry is read again this often: a bell that tells of a change may have been missed.
const REFRESH: Duration = Duration::from_secs(60);
/// The same while it could not be read, a tool vanished from it, or it has none.
const REFRESH_IN_DOUBT: Duration = Duration::from_secs(5);
/// A miss reads the registry again, but not more often than this.
const MISS_REFRESH: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Tools {
    in_order: Vec<Arc<Tool>>,
    by_name: HashMap<String, Arc<Tool>>,
    /// Why others that are registered cannot be used.
    unusable: HashMap<String, String>,
    /// The definitions as JSON, to see whether anything changed.
    fingerprint: String,
}

/// The tools of this front end, refreshed in the background.
#[derive(Debug)]
pub(crate) struct Catalog {
    store: Store,
    tools: ArcSwap<Tools>,
    changes: watch::Sender<u64>,
    wake: Notify,
    doubt: Doubt,
    last_read: Mutex<Option<Read>>,
}

/// An end of reading the registry.
#[derive(Debug)]
struct Read {
    at: Instant,
    /// Why it failed, if it did and may succeed later.
    failed: Option<String>,
}

impl Read {
    fn outcome(&self) -> Result<(), Error> {
        match &self.failed {
            None => Ok(()),
            Some(reason) => Err(Error::Connection {
                during: "tools",
                reason: format!("it failed a moment ago: {reason}"),
            }),
        }
    }
}

impl Catalog {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            tools: ArcSwap::default(),
            changes: watch::Sender::new(0),
            wake: Notify::new(),
            doubt: Doubt::default(),
            last_read: Mutex::new(None),
        }
    }

    /// Every tool, in the order clients see.
    pub(crate) fn all(&self) -> Vec<Arc<Tool>> {
        self.tools.load().in_order.clone()
    }

    /// Whether a worker registered a tool of this name, as far as this front end knows.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.tools.load().by_name.contains_key(name)
    }

    /// A tool by name. For one that is not known the registry is read once more: its worker may just have come.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Arc<Tool>>, BridgeError> {
        if let Some(tool) = self.tools.load().by_name.get(name) {
            return Ok(Some(Arc::clone(tool)));
        }
        self.refresh(MISS_REFRESH).await?;
        Ok(self.tools.load().by_name.get(name).cloned())
    }

    /// Why a tool that a worker registered cannot be used. `None` if it can, or there is none of this name.
    pub(crate) fn why_unusable(&self, name: &str) -> Option<String> {
        self.tools.load().unusable.get(name).cloned()
    }

    /// Counts changes of the list.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Makes the background refresh run now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Makes the background refresh run now, and believe that this tool is gone.
    pub(crate) fn removed(&self, name: ToolName) {
        self.doubt.removed(name, std::time::Instant::now());
        self.wake();
    }

    /// Reads the registry when woken and now and then, until `stop`.
    pub(crate) async fn keep_fresh(&self, stop: &CancellationToken) {
        loop {
            let read = self.refresh(Duration::ZERO).await;
            if let Err(error) = &read {
                tracing::warn!(%error, "the registered tools could not be read; the last known stay");
            }
            let is_sure = read.is_ok() && !self.doubt.has_any() && !self.all().is_empty();
            let period = if is_sure { REFRESH } else { REFRESH_IN_DOUBT };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(period) => {}
            }
        }
    }

    /// Reads the registry unless it was read within `tolerance`. One at a time: the others find it read, or that it could
    /// not be, so that they do not wait for Redis one after another.
    async fn refresh(&self, tolerance: Duration) -> Result<(), Error> {
        let mut last_read = self.last_read.lock().await;
        if let Some(last) = last_read
            .as_ref()
            .filter(|last| last.at.elapsed() < tolerance)
        {
            return last.outcome();
        }
        let read = self.store.registry().await;
        let failed = read.as_ref().err().filter(|error| error.may_pass());
        *last_read = Some(Read {
            at: Instant::now(),
            failed: failed.map(ToString::to_string),
        });
        let known = self.tools.load_full();
        let known_definitions = known.in_order.iter().map(|tool| &tool.definition);
        let read = read?;
        self.settle(&read).await;
        let definitions = self
            .doubt
            .keep(read.tools, known_definitions, std::time::Instant::now());
        let fingerprint = serde_json::to_string(&definitions).unwrap_or_default();
        if fingerprint == known.fingerprint {
            return Ok(());
        }
        let mut unusable = HashMap::new();
        let in_order: Vec<Arc<Tool>> = definitions
            .into_iter()
            .filter_map(|definition| usable(definition, &mut unusable))
            .collect();
        tracing::info!(tools = in_order.len(), "the registered tools changed");
        self.tools.store(Arc::new(Tools {
            by_name: in_order
                .iter()
                .map(|tool| (tool.definition.name.to_string(), Arc::clone(tool)))
                .collect(),
            in_order,
            unusable,
            fingerprint,
        }));
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Gives the tools that are new their homes. What fails is tried again at the next read.
    async fn settle(&self, read: &Registry) {
        if !read.homeless.is_empty()
            && let Err(error) = self.store.give_homes(&read.homeless).await
        {
            tracing::debug!(%error, "new tools have no home yet");
        }
    }
}

fn usable(definition: ToolDefinition, unusable: &mut HashMap<String, String>) -> Option<Arc<Tool>> {
    let name = definition.name.clone();
    match Tool::new(definition) {
        Ok(tool) => Some(Arc::new(tool)),
        Err(reason) => {
            tracing::warn!(tool = %name, %reason, "the definition cannot be used; the tool is not listed");
            unusable.insert(name.to_string(), reason);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_failed_a_moment_ago_is_no_list_without_tools() {
        let read = |failed: Option<&str>| Read {
            at: Instant::now(),
            failed: failed.map(str::to_owned),
        };
        assert!(read(None).outcome().is_ok());
        let error = read(Some("no route")).outcome().unwrap_err();
        assert!(
            error.is_transient() && error.to_string().contains("no route"),
            "{error}"
        );
    }
}
