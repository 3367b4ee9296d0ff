//! Tools whose jobs run in another system (`kind = "external"`), and how that system is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Value;

use super::command::CommandSettings;
use super::table::TableReader;
use crate::exec::CommandTemplate;
use crate::units::LONGEST;

/// The argument of the commands of an external job that holds its name.
pub const JOB: &str = "$job";

/// What a tool runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A command, to its end.
    Command,
    /// A job of another system.
    External,
}

impl Kind {
    const WORDS: [(&'static str, Self); 2] =
        [("command", Self::Command), ("external", Self::External)];

    /// Reads which it is, and reports keys of the other.
    pub(super) fn read(reader: &mut TableReader<'_, '_>) -> Self {
        let kind = reader.choice("kind", &Self::WORDS);
        let kind = kind.unwrap_or(Self::Command);
        match kind {
            Self::External if reader.value("command").is_some() => {
                let other = "is for tools that run to their end: an external job has `submit`";
                reader.problem("command", other);
            }
            Self::Command if reader.value("submit").is_some() => {
                reader.problem("submit", "is for kind = \"external\": a tool has `command`");
            }
            _ => {}
        }
        kind
    }

    /// The key of what begins its jobs.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::External => "submit",
        }
    }
}

/// How far a job of another system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExternalState {
    /// It is there, and does not run yet.
    Waiting,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// Somebody cancelled it there.
    Cancelled,
}

impl ExternalState {
    const WORDS: [(&'static str, Self); 5] = [
        ("waiting", Self::Waiting),
        ("running", Self::Running),
        ("succeeded", Self::Succeeded),
        ("failed", Self::Failed),
        ("cancelled", Self::Cancelled),
    ];

    /// What other systems call their states, in lower case: Slurm, Kubernetes, Grid Engine, the clouds.
    const KNOWN: [(&'static str, Self); 42] = [
        ("waiting", Self::Waiting),
        ("pending", Self::Waiting),
        ("queued", Self::Waiting),
        ("submitted", Self::Waiting),
        ("runnable", Self::Waiting),
        ("starting", Self::Waiting),
        ("scheduled", Self::Waiting),
        ("configuring", Self::Waiting),
        ("suspended", Self::Waiting),
        ("requeued", Self::Waiting),
        ("requeue_hold", Self::Waiting),
        ("special_exit", Self::Waiting),
        ("stopped", Self::Waiting),
        ("held", Self::Waiting),
        ("running", Self::Running),
        ("active", Self::Running),
        ("started", Self::Running),
        ("in_progress", Self::Running),
        ("completing", Self::Running),
        ("resizing", Self::Running),
        ("signaling", Self::Running),
        ("stage_out", Self::Running),
        ("succeeded", Self::Succeeded),
        ("success", Self::Succeeded),
        ("successful", Self::Succeeded),
        ("completed", Self::Succeeded),
        ("complete", Self::Succeeded),
        ("finished", Self::Succeeded),
        ("done", Self::Succeeded),
        ("failed", Self::Failed),
        ("failure", Self::Failed),
        ("error", Self::Failed),
        ("boot_fail", Self::Failed),
        ("node_fail", Self::Failed),
        ("out_of_memory", Self::Failed),
        ("timeout", Self::Failed),
        ("deadline", Self::Failed),
        ("preempted", Self::Failed),
        ("cancelled", Self::Cancelled),
        ("canceled", Self::Cancelled),
        ("revoked", Self::Cancelled),
        ("aborted", Self::Cancelled),
    ];
}

/// How a job of another system is followed. Its `command` submits it.
#[derive(Debug, Clone)]
pub struct External {
    /// Prints its state.
    pub status: CommandTemplate,
    /// Ends it.
    pub cancel: CommandTemplate,
    /// Prints the end of what it wrote.
    pub logs: Option<CommandTemplate>,
    /// Prints its result; without it, its logs are the result.
    pub result: Option<CommandTemplate>,
    /// How often its state is asked for.
    pub poll: Duration,
    /// How long each of these commands may take.
    pub command_timeout: Duration,
    /// How long its state may be unreadable, or the job unknown once it was submitted, until the attempt is given up.
    pub lost_after: Duration,
    /// Words of the system for its states, in lower case, before those that are known.
    states: BTreeMap<String, ExternalState>,
}

impl External {
    /// Reads what follows a job, and reports what is wrong or lacking.
    pub(super) fn read(
        reader: &mut TableReader<'_, '_>,
        command: &CommandSettings,
    ) -> Option<Self> {
        if command.asks {
            reader.problem(
                "asks",
                "is not for external jobs: nobody reads answers there",
            );
        }
        let status = command.read_template(reader, "status");
        let cancel = command.read_template(reader, "cancel");
        let mut optional = |key| {
            reader.value(key)?;
            command.read_template(reader, key)
        };
        let (logs, result) = (optional("logs"), optional("result"));
        let second = Duration::from_secs(1);
        let mut some = |key| reader.duration(key, Duration::from_millis(100)..=LONGEST);
        let poll = some("poll").unwrap_or(10 * second);
        let command_timeout = some("command_timeout").unwrap_or(30 * second);
        let lost_after = some("lost_after").unwrap_or(300 * second);
        Some(Self {
            status: status?,
            cancel: cancel?,
            logs,
            result,
            poll,
            command_timeout,
            lost_after,
            states: read_states(reader),
        })
    }

    /// Every command but the one that submits, with its key.
    pub fn templates(&self) -> impl Iterator<Item = (&'static str, &CommandTemplate)> {
        let optional = [("logs", &self.logs), ("result", &self.result)];
        let optional = optional.into_iter();
        let optional = optional.filter_map(|(key, template)| Some((key, template.as_ref()?)));
        [("status", &self.status), ("cancel", &self.cancel)]
            .into_iter()
            .chain(optional)
    }

    pub(super) fn templates_mut(&mut self) -> impl Iterator<Item = &mut CommandTemplate> {
        let optional = [self.logs.as_mut(), self.result.as_mut()];
        let required = [&mut self.status, &mut self.cancel];
        required.into_iter().chain(optional.into_iter().flatten())
    }

    /// What the system's word for a state means. Slurm adds a `+` to a word that it cut short.
    #[must_use]
    pub fn state(&self, word: &str) -> Option<ExternalState> {
        let word = word.trim_end_matches(['+', ',', ';']).to_lowercase();
        let known = || {
            let mut known = ExternalState::KNOWN.iter();
            known
                .find(|(name, _)| *name == word)
                .map(|(_, state)| *state)
        };
        self.states.get(&word).copied().or_else(known)
    }
}

fn read_states(reader: &mut TableReader<'_, '_>) -> BTreeMap<String, ExternalState> {
    let mut states = BTreeMap::new();
    for (word, value) in reader.table("states").into_iter().flatten() {
        let meant = value.as_str().and_then(|value| {
            let mut words = ExternalState::WORDS.iter();
            words.find(|(name, _)| *name == value)
        });
        match meant {
            Some((_, state)) => _ = states.insert(word.to_lowercase(), *state),
            None => refuse_state(reader, word, value),
        }
    }
    states
}

fn refuse_state(reader: &mut TableReader<'_, '_>, word: &str, value: &Value) {
    let words = ExternalState::WORDS.map(|(name, _)| name).join(", ");
    reader.problem(
        &format!("states.{word}"),
        format!("is {value}: write one of {words}"),
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::manifest::Manifest;

    const TOOL: &str = r#"
        [[tool]]
        name = "simulate"
        description = "Runs it there"
        kind = "external"
        submit = ["sbatch", "--job-name", "{$job}", "run.sh", "{steps}"]
        status = ["squeue", "--name", "{$job}"]
        cancel = ["scancel", "--name", "{$job}"]
        input_schema = { type = "object", properties = { steps = { type = "integer" } }, additionalProperties = false }
    "#;

    fn refused(from: &str, to: &str) -> String {
        assert!(TOOL.contains(from), "{from}");
        let text = TOOL.replace(from, to);
        let error = Manifest::parse(&text, Path::new("/")).unwrap_err();
        error.to_string()
    }

    #[test]
    fn an_external_job_has_its_commands_and_sensible_times() {
        let manifest = Manifest::parse(TOOL, Path::new("/")).unwrap();
        let tool = &manifest.tools[0];
        let external = tool.external.as_ref().unwrap();
        assert_eq!(tool.command.template.program(), "sbatch");
        assert_eq!(external.templates().count(), 2);
        assert_eq!(external.poll, Duration::from_secs(10));
        assert_eq!(external.command_timeout, Duration::from_secs(30));
        assert_eq!(external.lost_after, Duration::from_secs(300));
        // Workers may come and go while such a job runs.
        assert_eq!(tool.policy.crash_limit, 100);
    }

    #[test]
    fn the_words_of_other_systems_are_known_and_can_be_added_to() {
        let text = format!("{TOOL}\nstates = {{ Odd = \"failed\", DONE = \"running\" }}");
        let manifest = Manifest::parse(&text, Path::new("/")).unwrap();
        let external = manifest.tools[0].external.clone().unwrap();
        for (word, state) in [
            ("PENDING", Some(ExternalState::Waiting)),
            ("RUNNING", Some(ExternalState::Running)),
            ("COMPLETED", Some(ExternalState::Succeeded)),
            ("CANCELLED+", Some(ExternalState::Cancelled)),
            ("OUT_OF_MEMORY", Some(ExternalState::Failed)),
            ("odd", Some(ExternalState::Failed)),
            ("done", Some(ExternalState::Running)),
            ("strange", None),
        ] {
            assert_eq!(external.state(word), state, "{word}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_external_job_is_told_by_its_key() {
        for (from, to, told) in [
            (
                "submit =",
                "command =",
                "command: is for tools that run to their end",
            ),
            (
                "status = [\"squeue\", \"--name\", \"{$job}\"]",
                "",
                "status: is required",
            ),
            ("{steps}", "{step}", "submit: "),
            (
                "cancel = [\"scancel\"",
                "cancel = [\"{steps}\"",
                "cancel: has a placeholder in its program",
            ),
            (
                "kind = \"external\"",
                "kind = \"external\"\nasks = true",
                "asks: is not for external jobs",
            ),
            (
                "kind = \"external\"",
                "kind = \"external\"\nstates = { ODD = \"well\" }",
                "states.ODD: is \"well\": write one of waiting",
            ),
            (
                "kind = \"external\"",
                "kind = \"external\"\nattempts = 1",
                "attempts: must be more than 1",
            ),
            ("kind = \"external\"", "kind = \"extern\"", "kind: "),
            (
                "kind = \"external\"",
                "",
                "submit: is for kind = \"external\"",
            ),
        ] {
            let error = refused(from, to);
            assert!(error.contains(told), "{to}: {error}");
        }
        // Where the name of the job is missing, every call would be the same job.
        let error = refused(
            "\"--name\", \"{$job}\"]\n        cancel",
            "\"all\"]\n        cancel",
        );
        assert!(error.contains("status: has no `{$job}`"), "{error}");
    }
}
