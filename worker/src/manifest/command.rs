//! What a tool runs, and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::confinement::{check_together, read_limits, read_sandbox};
use super::table::TableReader;
use crate::exec::env_file;
use crate::exec::template::ArgSource;
use crate::exec::{
    CommandTemplate, Environment, ExecCommand, OutputMode, PassedNames, ResourceLimits, Sandbox,
    closed_folder,
};
use crate::units::LONGEST;

const MIB: usize = 1 << 20;
/// The most standard output, unless the manifest says otherwise.
const MAX_OUTPUT: usize = 4 * MIB;

/// The settings of a command that `[defaults]` may give too.
#[derive(Debug, Clone)]
pub(super) struct CommandSettings {
    cwd: PathBuf,
    env_pass: PassedNames,
    env_files: Vec<PathBuf>,
    env: Environment,
    limits: ResourceLimits,
    sandbox: Sandbox,
    pub(super) output: OutputMode,
    max_output: Option<usize>,
    stop_grace: Duration,
    pub(super) asks: bool,
}

impl CommandSettings {
    pub(super) fn built_in(folder: &Path) -> Self {
        Self {
            cwd: folder.to_owned(),
            env_pass: PassedNames::default(),
            env_files: Vec::new(),
            env: Environment::default(),
            limits: ResourceLimits::default(),
            sandbox: Sandbox::default(),
            output: OutputMode::default(),
            max_output: None,
            stop_grace: Duration::from_secs(3),
            asks: false,
        }
    }

    /// What a table sets, and for the rest `base`. Variables of both are
    /// merged, also those of their files; of one name the table's wins.
    pub(super) fn read(reader: &mut TableReader<'_, '_>, base: &Self, folder: &Path) -> Self {
        let cwd = reader.string("cwd").map(|cwd| folder.join(cwd));
        let output = reader.choice("output", &OutputMode::WORDS);
        let max_output = reader.size("max_output", 1..=64 * MIB);
        let stop_grace = reader.duration("stop_grace", Duration::ZERO..=LONGEST);
        let asks = reader.flag("asks");
        let (mut env_pass, mut env) = (base.env_pass.clone(), base.env.clone());
        read_env_pass(reader, &mut env_pass);
        read_env(reader, &mut env);
        let mut env_files = base.env_files.clone();
        env_files.extend(read_env_file(reader, folder));
        let limits = read_limits(reader, base.limits);
        let sandbox = read_sandbox(reader, &base.sandbox, folder);
        Self {
            cwd: cwd.unwrap_or_else(|| base.cwd.clone()),
            limits,
            sandbox,
            env_pass,
            env_files,
            env,
            output: output.unwrap_or(base.output),
            max_output: max_output.or(base.max_output),
            stop_grace: stop_grace.unwrap_or(base.stop_grace),
            asks: asks.unwrap_or(base.asks),
        }
    }

    /// Checks what can hold only together.
    pub(super) fn settle(&self, reader: &mut TableReader<'_, '_>) {
        check_together(reader, self.limits, &self.sandbox);
    }

    pub(super) fn sets_max_output(&self) -> bool {
        self.max_output.is_some()
    }

    pub(super) fn with_template(self, template: CommandTemplate) -> ExecCommand {
        ExecCommand {
            template,
            cwd: self.cwd,
            env_pass: self.env_pass,
            env_files: self.env_files,
            env: self.env,
            limits: self.limits,
            sandbox: self.sandbox,
            output: self.output,
            max_output: self.max_output.unwrap_or(MAX_OUTPUT),
            stop_grace: self.stop_grace,
            asks: self.asks,
        }
    }

    /// Reads the command `key` and finds its program if it is a relative path.
    pub(super) fn read_template(
        &self,
        reader: &mut TableReader<'_, '_>,
        key: &'static str,
    ) -> Option<CommandTemplate> {
        let Some(value) = reader.value(key) else {
            reader.problem(
                key,
                "is required: a list of the program and its arguments, such as [\"python3\", \"run.py\"]",
            );
            return None;
        };
        let Some(sources) = arg_sources(value) else {
            reader.problem(
                key,
                "must be a list of strings and of lists of strings, such as [\"python3\", \"run.py\", [\"--month\", \"{month}\"]]",
            );
            return None;
        };
        match CommandTemplate::parse(&sources) {
            Ok(template) => self.find_program(template, reader, key),
            Err(errors) => {
                for error in errors {
                    reader.problem(key, error.to_string());
                }
                None
            }
        }
    }

    /// A program that is a relative path starts at `cwd` and must be there. A
    /// bare name is looked up in PATH when the command is run, and an absolute
    /// path may be mounted later.
    fn find_program(
        &self,
        template: CommandTemplate,
        reader: &mut TableReader<'_, '_>,
        key: &'static str,
    ) -> Option<CommandTemplate> {
        let program = Path::new(template.program());
        if program.is_absolute() || !template.program().contains('/') {
            return Some(template);
        }
        let path = self.cwd.join(program);
        if !path.is_file() {
            let (program, cwd) = (program.display(), self.cwd.display());
            let problem = match path.parent().and_then(closed_folder) {
                Some(folder) => format!(
                    "the folder `{}`, which leads to `{program}`, may not be entered by the worker's user (permission denied)",
                    folder.display()
                ),
                None => format!("there is no file `{program}` in {cwd}"),
            };
            reader.problem(key, problem);
            return None;
        }
        if !is_executable(&path) {
            let program = program.display();
            reader.problem(
                key,
                format!(
                    "`{program}` is not executable: run chmod +x, or name its interpreter first"
                ),
            );
            return None;
        }
        // Without the `.` of `./run.sh`.
        let path: PathBuf = path.components().collect();
        let Some(absolute) = path.to_str() else {
            reader.problem(key, "its program's path is not UTF-8");
            return None;
        };
        let absolute = absolute.to_owned();
        Some(template.with_program(absolute))
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

fn arg_sources(value: &Value) -> Option<Vec<ArgSource>> {
    let entries = value.as_array()?.iter();
    let sources = entries.map(|entry| match entry {
        Value::String(text) => Some(ArgSource::One(text.clone())),
        Value::Array(texts) => {
            let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(ArgSource::Group)
        }
        _ => None,
    });
    sources.collect()
}

fn read_env_pass(reader: &mut TableReader<'_, '_>, env_pass: &mut PassedNames) {
    for name in reader.strings("env_pass").unwrap_or_default() {
        let written = name.strip_suffix('*').unwrap_or(name);
        if name.is_empty() || written.contains(['=', '\0', '*']) {
            reader.problem(
                "env_pass",
                format!("{name:?} is no name for a variable: write NAME, or NAME_* for all that begin so"),
            );
        } else if written.starts_with(Environment::RESERVED_PREFIX) {
            let prefix = Environment::RESERVED_PREFIX;
            reader.problem(
                "env_pass",
                format!("names that start with {prefix} are the worker's settings and passwords, or set by it, and never passed"),
            );
        } else {
            env_pass.add(name);
        }
    }
}

/// A file of variables, which must be one that can be used now.
fn read_env_file(reader: &mut TableReader<'_, '_>, folder: &Path) -> Option<PathBuf> {
    let name = reader.string("env_file")?;
    let path = folder.join(name);
    match env_file::read_all(std::slice::from_ref(&path)) {
        Ok(_variables) => Some(path),
        Err(error) => {
            reader.problem("env_file", format!("`{name}` {}", error.fault));
            None
        }
    }
}

fn read_env(reader: &mut TableReader<'_, '_>, env: &mut Environment) {
    for (name, value) in reader.table("env").into_iter().flatten() {
        let key = format!("env.{name}");
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.problem(
                &key,
                "is no name for a variable: it is empty, or has `=` or NUL",
            );
        } else if name.starts_with(Environment::RESERVED_PREFIX) {
            let prefix = Environment::RESERVED_PREFIX;
            reader.problem(
                &key,
                format!("names that start with {prefix} are set by the worker"),
            );
        } else {
            match value.as_str() {
                Some(text) if !text.contains('\0') => env.set(name, text),
                Some(_) => reader.problem(&key, "has a NUL character, which no variable can carry"),
                None => reader.problem(&key, "must be a string: put the value in quotes"),
            }
        }
    }
}
