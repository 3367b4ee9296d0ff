//! A command in a folder of its own, and what became of it.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_testing::{eventually, eventually_some};
use taskferry_worker::exec::stderr::AskLine;
use taskferry_worker::exec::template::ArgSource;
use taskferry_worker::exec::{
    CgroupHome, Channels, CommandOutcome, CommandTemplate, Environment, ExecCommand, ExecEvent,
    Invocation, OutputMode, PassedNames, QuestionChannel, ResourceLimits, Runner, Sandbox,
    StartError, Supervisor, ToolResult,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Case {
    pub(crate) folder: TempDir,
    pub(crate) command: ExecCommand,
    pub(crate) arguments: String,
    pub(crate) timeout: Duration,
    pub(crate) inherited: Vec<(String, String)>,
    pub(crate) answers: Option<String>,
    pub(crate) cancel: CancellationToken,
    /// As commands of a worker are.
    pub(crate) supervised: bool,
    /// Where it gets a cgroup of its own.
    pub(crate) home: Option<CgroupHome>,
    sender: mpsc::Sender<ExecEvent>,
    pub(crate) events: mpsc::Receiver<ExecEvent>,
}

impl Case {
    pub(crate) fn new(command: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let sources: Vec<_> = command
            .iter()
            .map(|&arg| ArgSource::One(arg.to_owned()))
            .collect();
        let template = CommandTemplate::parse(&sources).expect("a valid command");
        let cwd = folder.path().to_owned();
        let (sender, events) = mpsc::channel(64);
        #[expect(
            clippy::disallowed_methods,
            reason = "commands need a PATH, and this test has no settings"
        )]
        let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok());
        let path = (
            "PATH".to_owned(),
            path.expect("a PATH to find sh and python3"),
        );
        Self {
            folder,
            command: ExecCommand {
                template,
                cwd,
                env_pass: PassedNames::default(),
                env_files: Vec::new(),
                env: Environment::default(),
                limits: ResourceLimits::default(),
                sandbox: Sandbox::default(),
                output: OutputMode::Auto,
                max_output: 4 << 20,
                stop_grace: LONG,
                asks: false,
            },
            arguments: "{}".to_owned(),
            timeout: LONG,
            inherited: vec![path],
            answers: None,
            cancel: CancellationToken::new(),
            supervised: true,
            home: None,
            sender,
            events,
        }
    }

    /// A shell script; it can tell its process group by writing `$$`.
    pub(crate) fn sh(script: &str) -> Self {
        Self::new(&["sh", "-c", &script.replace('{', "{{").replace('}', "}}")])
    }

    pub(crate) fn python(script: &str) -> Self {
        Self::new(&[
            "python3",
            "-c",
            &script.replace('{', "{{").replace('}', "}}"),
        ])
    }

    pub(crate) fn event_room(&mut self, events: usize) {
        (self.sender, self.events) = mpsc::channel(events);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The run, as a future of its own that borrows nothing.
    pub(crate) fn run(
        &self,
    ) -> impl Future<Output = Result<CommandOutcome, StartError>> + Send + use<> {
        self.run_with(None)
    }

    /// The run of a tool that asks, and the other side of its questions.
    pub(crate) fn run_asking(
        &self,
    ) -> (
        impl Future<Output = Result<CommandOutcome, StartError>> + Send + use<>,
        Client,
    ) {
        let (asked, questions) = mpsc::unbounded_channel();
        let (told, replies) = mpsc::unbounded_channel();
        let client = Client {
            asked: questions,
            replies: told,
        };
        (
            self.run_with(Some(QuestionChannel { asked, replies })),
            client,
        )
    }

    fn run_with(
        &self,
        questions: Option<QuestionChannel>,
    ) -> impl Future<Output = Result<CommandOutcome, StartError>> + Send + use<> {
        let inherited = self.inherited.iter().cloned();
        let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
        let supervisor = Supervisor::at(env!("CARGO_BIN_EXE_taskferry-worker"));
        let supervisor = match &self.home {
            Some(home) => supervisor.in_cgroups_of(home.clone()),
            None => supervisor,
        };
        let supervisor = self.supervised.then_some(supervisor);
        let runner = Runner::new(Environment::inherited(inherited)).supervised_by(supervisor);
        let arguments = RawValue::from_string(self.arguments.clone()).expect("valid arguments");
        let (command, sender) = (self.command.clone(), self.sender.clone());
        let (cancel, timeout) = (self.cancel.clone(), self.timeout);
        let (answers, events) = (self.answers.clone(), sender);
        async move {
            let invocation = Invocation {
                trace: [
                    ("TRACEPARENT", None),
                    ("TRACESTATE", None),
                    ("BAGGAGE", None),
                ],
                task_id: "0-11111111-2222-4333-8444-555555555555",
                origin_task_id: "0-66666666-7777-4888-9999-000000000000",
                attempt: 2,
                tool: "the_tool",
                owner: "somebody",
                arguments: &arguments,
                timeout,
                deadline: SystemTime::now() + timeout,
                answers: answers.as_deref(),
            };
            let talk = Channels { events, questions };
            runner.run(&command, invocation, talk, &cancel).await
        }
    }

    pub(crate) async fn outcome(&self) -> CommandOutcome {
        self.run().await.expect("the command starts")
    }

    pub(crate) async fn result(&self) -> ToolResult {
        match self.outcome().await {
            CommandOutcome::Completed(result) => result,
            other => panic_with(&other),
        }
    }

    /// The text of a result without error.
    pub(crate) async fn text(&self) -> String {
        let result = self.result().await;
        assert!(!result.is_error, "{result:?}");
        text_of(&result)
    }

    /// The text of a tool error.
    pub(crate) async fn error(&self) -> String {
        let result = self.result().await;
        assert!(result.is_error, "{result:?}");
        text_of(&result)
    }

    /// The process group that the script has written to `name`, once it has.
    pub(crate) async fn group(&self, name: &str) -> i32 {
        let path = self.path(name);
        eventually_some(LONG, "a process id is written", async || {
            fs::read_to_string(&path).ok()?.trim().parse().ok()
        })
        .await
    }
}

/// Who is asked.
pub(crate) struct Client {
    pub(crate) asked: mpsc::UnboundedReceiver<Vec<AskLine>>,
    pub(crate) replies: mpsc::UnboundedSender<String>,
}

pub(crate) fn text_of(result: &ToolResult) -> String {
    let value: Value = serde_json::from_str(result.result.get()).expect("a JSON result");
    assert_eq!(value.get("isError"), Some(&Value::Bool(result.is_error)));
    let text = value.pointer("/content/0/text").and_then(Value::as_str);
    text.expect("a text content").to_owned()
}

#[track_caller]
#[expect(clippy::panic, reason = "fails the test that calls it")]
pub(crate) fn panic_with(outcome: &CommandOutcome) -> ! {
    panic!("unexpected outcome: {outcome:?}")
}

/// The processes of a group that are not zombies, with their states.
pub(crate) fn members(group: i32) -> Vec<(i32, char)> {
    let entries = fs::read_dir("/proc").expect("a Linux /proc");
    let stats = entries.flatten().filter_map(|entry| stat(&entry.path()));
    stats
        .filter(|(_, state, its_group)| *its_group == group && !matches!(state, 'Z' | 'X'))
        .map(|(pid, state, _)| (pid, state))
        .collect()
}

fn stat(folder: &Path) -> Option<(i32, char, i32)> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    let text = fs::read_to_string(folder.join("stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some((pid, state, group))
}

pub(crate) async fn gone(group: i32) {
    eventually(LONG, "the group is gone", async || {
        members(group).is_empty()
    })
    .await;
}
