//! The manifest: a TOML file that maps tools to commands.
//!
//! A manifest is read once, as a whole. Whatever is wrong with it is reported
//! at once, each problem with its tool, its key and what would be right.

mod ask_first;
mod command;
mod confinement;
mod dash;
mod exec_tool;
mod external;
mod icons;
mod name;
pub(crate) mod near;
mod policy;
mod problem;
mod queues;
mod schema;
mod table;
mod tool;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use taskferry_process::settings::toml_fault;

pub use exec_tool::ExecTool;
pub use external::{External, ExternalState, JOB};
pub use policy::Policy;
use problem::ProblemList;
pub use problem::{ManifestError, Place, Problem};
pub use queues::QueueShare;
pub(crate) use queues::{MOST_WEIGHT, QUEUE_SLOTS};
use table::TableReader;
use tool::ToolSettings;

/// The tools of a manifest, in its order.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// At least one.
    pub tools: Vec<ExecTool>,
    /// What of a worker's slots the jobs of its queues may have, as far as it is said.
    pub queues: BTreeMap<String, QueueShare>,
}

impl Manifest {
    /// Reads a manifest from a file; its folder is where relative paths start.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or with every problem it has.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let absolute = std::path::absolute(path).and_then(|absolute| {
            let text = std::fs::read_to_string(&absolute)?;
            Ok((absolute, text))
        });
        let (absolute, text) = absolute.map_err(|source| ManifestError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let folder = absolute.parent().map_or_else(PathBuf::new, Path::to_owned);
        Self::parse(&text, &folder).map_err(|error| error.in_file(path))
    }

    /// Reads a manifest's text; relative paths start at `folder`, which is
    /// absolute.
    ///
    /// # Errors
    ///
    /// With every problem the manifest has.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ManifestError> {
        let (readable, problems) = Self::read(text, folder);
        problems.into_result(readable)
    }

    /// The tools of a file that can be read, whatever is wrong with the others or beside them; none if it cannot be read.
    pub(crate) fn readable(path: &Path) -> Self {
        let read = std::path::absolute(path).and_then(|absolute| {
            let text = std::fs::read_to_string(&absolute)?;
            Ok(Self::read(&text, absolute.parent().unwrap_or(Path::new("/"))).0)
        });
        read.unwrap_or_default()
    }

    fn read(text: &str, folder: &Path) -> (Self, ProblemList) {
        let mut problems = ProblemList::default();
        let manifest = match text.parse::<toml::Table>() {
            Ok(root) => read_root(&root, folder, &mut problems),
            Err(error) => {
                problems.add(
                    &Place::Root,
                    "",
                    format!("it is not TOML: {}", toml_fault(text, &error)),
                );
                Self::default()
            }
        };
        (manifest, problems)
    }
}

fn read_root(root: &toml::Table, folder: &Path, problems: &mut ProblemList) -> Manifest {
    let mut reader = TableReader::new(root, Place::Root, problems);
    let defaults = reader.table("defaults");
    let queues = reader.table("queues");
    let entries = reader.tables("tool");
    if entries.as_ref().is_some_and(Vec::is_empty) {
        reader.problem("tool", "there is none: add a `[[tool]]`");
    }
    reader.deny_unknown();

    let mut base = ToolSettings::built_in(folder);
    if let Some(defaults) = defaults {
        let mut reader = TableReader::new(defaults, Place::Defaults, problems);
        base = ToolSettings::read(&mut reader, &base, folder);
        reader.deny_unknown();
    }
    let queues = queues.map(|queues| queues::read(queues, problems));
    let mut names = HashSet::new();
    let mut tools = Vec::new();
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let name = entry.get("name").and_then(toml::Value::as_str);
        let place = Place::tool(index, name);
        let mut reader = TableReader::new(entry, place, problems);
        if name.is_some_and(|name| !names.insert(name)) {
            reader.problem(
                "name",
                "an earlier tool has the same name; every name must be unique",
            );
        }
        tools.extend(tool::read(&mut reader, &base, folder));
        reader.deny_unknown();
    }
    Manifest {
        tools,
        queues: queues.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
