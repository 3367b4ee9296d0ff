//! Which tools there are, where several queues may have one of the same name.

use std::collections::{BTreeMap, HashMap};

use crate::model::names::{QueueName, ToolName};
use crate::model::tool::ToolDefinition;

/// The registered tools.
///
/// A tool has a home, the queue whose definition of it counts, so that a worker that may only use its own queue cannot take
/// over the tools of another by their names.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// One of each name, by rank and name.
    pub tools: Vec<ToolDefinition>,
    /// Those that one queue alone has, and that have no home yet.
    pub homeless: Vec<(ToolName, QueueName)>,
    /// The definitions that do not count.
    pub left_out: Vec<LeftOut>,
}

/// A definition that is registered, and that no front end uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The tool, as it is named in Redis.
    pub tool: String,
    /// The queue that has it; several, with commas.
    pub queue: String,
    /// Why it is not used.
    pub reason: String,
}

impl Registry {
    /// Of all definitions, those that count. `homes` leads from tools to queues. Of a name that several queues have, and that
    /// has no home among them, none counts: nobody knows which was meant. Nor does one whose home does not have it.
    pub(crate) fn of(all: Vec<ToolDefinition>, homes: &HashMap<String, String>) -> Self {
        let mut named: BTreeMap<ToolName, Vec<ToolDefinition>> = BTreeMap::new();
        for tool in all {
            named.entry(tool.name.clone()).or_default().push(tool);
        }
        let mut registry = Self::default();
        for (name, mut same) in named {
            let home = homes.get(name.as_str());
            let at_home =
                home.and_then(|home| same.iter().position(|tool| tool.queue.as_str() == home));
            match (at_home, same.len()) {
                (Some(place), _) => registry.tools.push(same.swap_remove(place)),
                (None, 1) if home.is_none() => {
                    let homeless = same.iter().map(|tool| (name.clone(), tool.queue.clone()));
                    registry.homeless.extend(homeless);
                    registry.tools.extend(same);
                }
                (None, _) => {
                    let queues: Vec<&str> = same.iter().map(|tool| tool.queue.as_str()).collect();
                    registry.left_out.push(LeftOut {
                        tool: name.to_string(),
                        queue: queues.join(","),
                        reason: home.map_or_else(
                            || "no queue that has it is known to be its home: say which is by taskferry tools add".to_owned(),
                            |home| format!("its home is the queue {home:?}, which does not have it: say which is by taskferry tools add"),
                        ),
                    });
                }
            }
        }
        registry
            .tools
            .sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        registry
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn tool(name: &str, queue: &str) -> ToolDefinition {
        let schema = RawValue::from_string("{}".to_owned()).unwrap();
        ToolDefinition {
            queue: queue.parse().unwrap(),
            ..ToolDefinition::new(name.parse().unwrap(), schema)
        }
    }

    #[test]
    fn no_queue_takes_over_a_tool_that_is_at_home_in_another() {
        let homes = [("both", "a"), ("gone", "a"), ("one", "a")];
        let homes = homes.map(|(tool, queue)| (tool.to_owned(), queue.to_owned()));
        let all = [
            tool("one", "a"),
            tool("both", "b"),
            tool("both", "a"),
            tool("gone", "b"),
            tool("new", "b"),
            tool("contested", "a"),
            tool("contested", "b"),
        ];
        let registry = Registry::of(all.into(), &homes.into());
        let listed: Vec<(&str, &str)> = registry
            .tools
            .iter()
            .map(|tool| (tool.name.as_str(), tool.queue.as_str()))
            .collect();
        assert_eq!(listed, [("both", "a"), ("new", "b"), ("one", "a")]);
        let homeless = ("new".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(registry.homeless, [homeless]);
    }
}
