//! The registered tools, as workers left them in Redis.

use serde_json::Value;
use taskferry_contract::{
    Error, LeftOut, Object, Pauses, Store, ToolDefinition, ToolJobs, ToolName, misfit,
};

use super::held::HeldDefinitions;
use super::refused::refused;
use super::seen::workers;
use crate::bridge::Tool;

/// How a tool stands.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// How many workers may begin jobs of it, and which definition of it they have.
    pub(crate) held: HeldDefinitions,
    /// How many entries its queue has, those of other tools included.
    pub(crate) on_queue: u64,
}

/// Whether a definition that was given was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registered {
    /// It is registered now.
    Stored,
    /// It was there already, just so.
    Known,
}

/// All that is registered.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The tools that can be read, in the order that clients see.
    pub(crate) tools: Vec<(ToolDefinition, Standing)>,
    /// Those that front ends do not list; some of them are among the tools.
    pub(crate) refused: Vec<LeftOut>,
    /// What is paused.
    pub(crate) pauses: Pauses,
}

/// The registered tools.
#[derive(Debug)]
pub(crate) struct Tools<'a> {
    store: &'a Store,
}

impl<'a> Tools<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// All of them.
    pub(crate) async fn list(&self) -> Result<Listing, Error> {
        let workers = workers(self.store).await?;
        let registry = self.store.registry().await?;
        let refused = refused(&registry);
        let mut all = Vec::new();
        for tool in registry.tools {
            let standing = Standing {
                held: HeldDefinitions::of(&tool, &workers),
                on_queue: self.store.queue_overview(&tool.queue).await?.length,
            };
            all.push((tool, standing));
        }
        Ok(Listing {
            tools: all,
            refused,
            pauses: self.store.pauses().await?,
        })
    }

    /// One of them.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<ToolDefinition>, Error> {
        let tools = self.store.tools().await?;
        Ok(tools.into_iter().find(|tool| tool.name.as_str() == name))
    }

    /// How one stands.
    pub(crate) async fn standing(&self, tool: &ToolDefinition) -> Result<Standing, Error> {
        let workers = workers(self.store).await?;
        Ok(Standing {
            held: HeldDefinitions::of(tool, &workers),
            on_queue: self.store.queue_overview(&tool.queue).await?.length,
        })
    }

    /// Whether one is registered, also if its definition cannot be read, or does not count.
    pub(crate) async fn is_there(&self, name: &str) -> Result<bool, Error> {
        let registry = self.store.registry().await?;
        let left_out = registry.left_out.iter();
        let mut names = registry.tools.iter().map(|tool| tool.name.as_str());
        Ok(names.any(|one| one == name) || left_out.map(|one| &one.tool).any(|one| one == name))
    }

    /// The jobs of one that have not ended, on whatever queue.
    pub(crate) async fn jobs(&self, name: &str) -> Result<ToolJobs, Error> {
        let Ok(tool) = name.parse::<ToolName>() else {
            // No job can be of such a tool.
            return Ok(ToolJobs::default());
        };
        let queues = self.store.queues_with_tools().await?;
        self.store.jobs_of_tool(&tool, &queues).await
    }

    /// Forgets one, also if its definition cannot be read; says whether it was there. A worker that runs it registers it again.
    pub(crate) async fn remove(&self, name: &str) -> Result<bool, Error> {
        self.store.remove_tool(name).await
    }

    /// Registers one whose workers come later, or puts another definition in its place.
    pub(crate) async fn register(&self, tool: ToolDefinition) -> Result<Registered, Error> {
        Ok(match self.store.register_tools(&[tool]).await? {
            0 => Registered::Known,
            _ => Registered::Stored,
        })
    }
}

/// Why a text is no definition of a tool.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefinitionFault {
    /// It is no JSON, or holds what does not fit.
    #[error("{0}")]
    Unreadable(String),
    /// It has a key that would be ignored in silence.
    #[error("it says {}, which is unknown", .0.join(", "))]
    Unknown(Vec<String>),
    /// No front end could use it.
    #[error("{0}")]
    Unusable(String),
}

/// Reads a definition. Refuses keys that would be ignored in silence, and what no front end could use.
pub(crate) fn read_definition(text: &str) -> Result<ToolDefinition, DefinitionFault> {
    let unreadable = |error: serde_json::Error| DefinitionFault::Unreadable(misfit(&error));
    let Object(tool): Object<ToolDefinition> = serde_json::from_str(text).map_err(unreadable)?;
    let given: Value = serde_json::from_str(text).map_err(unreadable)?;
    let known = serde_json::to_value(&tool).map_err(unreadable)?;
    let said = given.as_object().into_iter().flatten();
    let unknown: Vec<String> = said
        .filter(|(name, value)| known.get(name).is_none() && !is_nothing(value))
        .map(|(name, _)| name.clone())
        .collect();
    if !unknown.is_empty() {
        return Err(DefinitionFault::Unknown(unknown));
    }
    Tool::new(tool.clone()).map_err(DefinitionFault::Unusable)?;
    Ok(tool)
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_held_to_what_is_known_and_usable() {
        let read = |rest: &str| {
            read_definition(&format!(
                r#"{{"name":"t","input_schema":{{"type":"object"}}{rest}}}"#
            ))
        };
        assert!(read("").is_ok());
        let own = serde_json::to_string(&read("").unwrap()).unwrap();
        assert!(read_definition(&own).is_ok(), "what is printed is read");
        assert!(read(r#","title":null,"ask_first":[]"#).is_ok());
        let refused = read(r#","timeout":5"#).unwrap_err();
        assert!(refused.to_string().contains("timeout"), "{refused}");
        let refused = read(r#","concurrency":0"#).unwrap_err();
        assert!(refused.to_string().contains("concurrency"), "{refused}");
        assert!(read_definition(r#"{"name":"t","input_schema":{"type":7}}"#).is_err());
        assert!(read_definition(r#"{"name":"a b","input_schema":{"type":"object"}}"#).is_err());
        assert!(read_definition("{").is_err());
    }
}
