//! A tool that is a command, as its manifest says.

use serde_json::value::RawValue;
use taskferry_contract::AskFirst;

use super::dash::may_begin_with_dash;
use super::external::{External, JOB};
use super::policy::Policy;
use crate::exec::ExecCommand;

/// A tool that is a command.
#[derive(Debug, Clone)]
pub struct ExecTool {
    /// 1 to 64 letters, digits, `_`, `.` or `-`; unique in the manifest.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// What a client may show its model while a task runs.
    pub immediate_response: Option<String>,
    /// What the tool does, for the model that chooses it.
    pub description: String,
    /// A JSON Schema whose root has the type `object`. Default: an object
    /// without properties.
    pub input_schema: Box<RawValue>,
    /// The JSON Schema of the structured content, if it is promised.
    pub output_schema: Option<Box<RawValue>>,
    /// The annotations of MCP, a JSON object.
    pub annotations: Option<Box<RawValue>>,
    /// The icons of MCP, a JSON array.
    pub icons: Option<Box<RawValue>>,
    /// What its callers are asked before the job is queued, if they can be.
    pub ask_first: Vec<AskFirst>,
    /// What a client must declare to call it: MCP client capabilities, a JSON
    /// object.
    pub required_capabilities: Option<Box<RawValue>>,
    /// How its jobs are queued, bounded and retried.
    pub policy: Policy,
    /// What runs; of an external job, what submits it.
    pub command: ExecCommand,
    /// How a job of another system is followed, if the tool is one.
    pub external: Option<External>,
    /// Whether the manifest says how much it may write.
    pub sets_max_output: bool,
}

impl ExecTool {
    /// Everything that it may run.
    pub(crate) fn commands(&self) -> Vec<ExecCommand> {
        let external = self.external.iter().flat_map(External::templates);
        let others = external.map(|(_, template)| ExecCommand {
            template: template.clone(),
            ..self.command.clone()
        });
        std::iter::once(self.command.clone())
            .chain(others)
            .collect()
    }

    /// The arguments of which a call may have a value that is refused, since it begins with `-`.
    pub(crate) fn refuses_dashes_of(&self) -> Vec<String> {
        let schema = serde_json::from_str(self.input_schema.get()).unwrap_or_default();
        let external = self.external.iter().flat_map(External::templates);
        let exposed = external.flat_map(|(_, template)| template.without_dash());
        let exposed = self.command.template.without_dash().chain(exposed);
        exposed
            .filter(|path| *path != [JOB])
            .filter(|path| may_begin_with_dash(&schema, path))
            .map(|path| path.join("."))
            .collect()
    }
}
