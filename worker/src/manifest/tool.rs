//! One `[[tool]]`, and the settings that `[defaults]` gives for all.

use std::path::Path;

use serde_json::Value;

use super::ask_first::read_ask_first;
use super::command::CommandSettings;
use super::dash::read_leading_dash;
use super::exec_tool::ExecTool;
use super::external::{External, JOB, Kind};
use super::icons::read_icons;
use super::name::check_name;
use super::policy::Policy;
use super::schema::{Document, missing_property, read_annotations, read_capabilities, read_schema};
use super::table::TableReader;
use crate::exec::{CommandTemplate, OutputMode};

/// The input schema where the manifest gives none: such a tool takes no arguments.
const NO_ARGUMENTS: &str = r#"{"type":"object","additionalProperties":false}"#;

/// What both `[defaults]` and a `[[tool]]` may set.
#[derive(Debug, Clone)]
pub(super) struct ToolSettings {
    policy: Policy,
    command: CommandSettings,
}

impl ToolSettings {
    pub(super) fn built_in(folder: &Path) -> Self {
        Self {
            policy: Policy::default(),
            command: CommandSettings::built_in(folder),
        }
    }

    /// What a table sets, and for the rest `base`.
    pub(super) fn read(reader: &mut TableReader<'_, '_>, base: &Self, folder: &Path) -> Self {
        Self {
            policy: Policy::read(reader, &base.policy),
            command: CommandSettings::read(reader, &base.command, folder),
        }
    }
}

/// Reads a tool, and reports what is wrong to `reader`. `None` if a part that it cannot be built without is absent or
/// cannot be read; `Some` does not mean that nothing was reported.
pub(super) fn read(
    reader: &mut TableReader<'_, '_>,
    base: &ToolSettings,
    folder: &Path,
) -> Option<ExecTool> {
    let name = required(reader, "name");
    if let Some(name) = name {
        check_name(reader, "name", name);
    }
    let title = reader.string("title").map(str::to_owned);
    let immediate_response = text(reader, "immediate_response");
    let description = required(reader, "description");
    let ToolSettings {
        mut policy,
        command,
    } = ToolSettings::read(reader, base, folder);
    policy.settle(reader);
    command.settle(reader);
    let kind = Kind::read(reader);
    let mut template = command.read_template(reader, kind.key());
    let mut external = (kind == Kind::External)
        .then(|| {
            policy.settle_external(reader);
            External::read(reader, &command)
        })
        .flatten();
    let declared = reader.value("input_schema").is_some();
    let input_schema = if declared {
        read_schema(reader, "input_schema")
    } else {
        Document::parse(NO_ARGUMENTS.to_owned()).ok()
    };
    let output_schema = read_schema(reader, "output_schema").map(|schema| schema.raw);
    if output_schema.is_some() && command.output == OutputMode::Text {
        reader.problem(
            "output_schema",
            "promises structured content, which output = \"text\" never has: use \"json\"",
        );
    }
    if let (Some(template), Some(schema)) = (&mut template, &input_schema) {
        check_placeholders(reader, kind, (template, external.as_ref()), &schema.value);
        let mut templates = vec![template];
        templates.extend(external.iter_mut().flat_map(External::templates_mut));
        read_leading_dash(reader, templates, &schema.value);
    }
    let annotations = read_annotations(reader);
    let icons = read_icons(reader);
    let ask_first = read_ask_first(reader);
    let required_capabilities = read_capabilities(reader);
    Some(ExecTool {
        name: name?.to_owned(),
        title,
        immediate_response,
        description: description?.to_owned(),
        input_schema: input_schema?.raw,
        output_schema,
        annotations,
        icons,
        ask_first,
        required_capabilities,
        policy,
        external,
        sets_max_output: command.sets_max_output(),
        command: command.with_template(template?),
    })
}

/// Checks that each placeholder is an argument of the tool, and that each command of an external job names the job.
fn check_placeholders(
    reader: &mut TableReader<'_, '_>,
    kind: Kind,
    (template, external): (&CommandTemplate, Option<&External>),
    schema: &Value,
) {
    let following = external.into_iter().flat_map(External::templates);
    for (key, template) in [(kind.key(), template)].into_iter().chain(following) {
        let mut names_job = kind == Kind::Command;
        for path in template.placeholders() {
            if kind == Kind::External && path == [JOB] {
                names_job = true;
            } else if let Some(message) = missing_property(schema, path) {
                reader.problem(key, message);
            }
        }
        if !names_job {
            let lacks = "has no `{$job}`: it must say which job it means";
            reader.problem(key, lacks);
        }
    }
}

/// A text that may be left out, but not be empty.
fn text(reader: &mut TableReader<'_, '_>, key: &'static str) -> Option<String> {
    let text = reader.string(key)?;
    if text.trim().is_empty() {
        reader.problem(key, "must not be empty: leave it out");
    }
    Some(text.to_owned())
}

fn required<'a>(reader: &mut TableReader<'a, '_>, key: &'static str) -> Option<&'a str> {
    if reader.value(key).is_none() {
        reader.problem(key, "is required");
    }
    let text = reader.string(key)?;
    // An empty name is reported by `check_name`.
    if key != "name" && text.trim().is_empty() {
        reader.problem(key, "must not be empty");
    }
    Some(text)
}
