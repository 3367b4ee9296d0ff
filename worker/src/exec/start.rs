//! Starts a command.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;

use taskferry_process::lower_open_files;
use tokio::process::Command;

use super::command::ExecCommand;
use super::env_file;
use super::environment::Environment;
use super::error::StartError;
use super::fault::StartFault;
use super::group::ProcessGroup;
use super::invocation::Invocation;
use super::pipes::Pipes;
use super::process::Process;
use super::supervisor::Supervisor;

/// Starts it under the supervisor, or by itself if there is none.
pub(super) async fn start(
    command: &ExecCommand,
    inherited: &Environment,
    invocation: Invocation<'_>,
    supervisor: Option<&Supervisor>,
) -> Result<(Process, Pipes), StartError> {
    let arguments = command.template.render(invocation.arguments)?;
    let from_files = read_files(command).await?;
    let environment = environment(command, inherited, &from_files, invocation);
    let Some(supervisor) = supervisor else {
        return alone(command, arguments, environment);
    };
    let started = supervisor.start(command, arguments, environment).await?;
    let pipes = Pipes {
        stdin: Some(Box::new(started.stdin)),
        stdout: started.stdout,
        stderr: started.stderr,
    };
    Ok((Process::Supervised(started.handle), pipes))
}

/// The variables of its files, as they are now.
async fn read_files(command: &ExecCommand) -> Result<Environment, StartError> {
    if command.env_files.is_empty() {
        return Ok(Environment::default());
    }
    let files = command.env_files.clone();
    // A file may be on a disk that does not answer at once.
    let read = tokio::task::spawn_blocking(move || env_file::read_all(&files)).await;
    let read = read.map_err(|died| StartError::Other {
        source: io::Error::other(died),
    })?;
    Ok(read?)
}

/// The whole environment of a command; of a name that comes again, the last counts.
fn environment(
    command: &ExecCommand,
    inherited: &Environment,
    from_files: &Environment,
    invocation: Invocation<'_>,
) -> Vec<(OsString, OsString)> {
    let passed = inherited.passed(&command.env_pass);
    let user = command.sandbox.user.iter().flat_map(|user| {
        let name = user.name.as_str();
        [
            ("HOME", user.home.as_str()),
            ("USER", name),
            ("LOGNAME", name),
        ]
    });
    let facts = invocation.facts().into_iter();
    passed
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .chain(user.map(|(name, value)| (name.into(), value.into())))
        .chain(
            from_files
                .iter()
                .chain(command.env.iter())
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
        .chain(facts.map(|(name, value)| (name.into(), value.into())))
        .collect()
}

fn alone(
    command: &ExecCommand,
    arguments: Vec<String>,
    environment: Vec<(OsString, OsString)>,
) -> Result<(Process, Pipes), StartError> {
    let program = command.template.program();
    if !command.limits.is_empty() || !command.sandbox.is_empty() {
        let reason = "its limits and its sandbox need a supervisor, which this worker has not";
        let fault = StartFault::Unconfined(reason.to_owned());
        return Err(StartError::from_fault(program, &command.cwd, fault));
    }
    let path = environment.iter().rfind(|(name, _)| name == "PATH");
    let path = path.map(|(_, value)| value.clone());
    let mut process = Command::new(program);
    process
        .args(arguments)
        .current_dir(&command.cwd)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = process.spawn().map_err(|source| {
        let fault = StartFault::of(&source, &command.cwd, program.as_ref(), path.as_deref());
        StartError::from_fault(program, &command.cwd, fault)
    })?;
    child.id().into_iter().for_each(lower_open_files);
    let pipes = Pipes {
        stdin: child.stdin.take().map(|stdin| Box::new(stdin) as _),
        stdout: child.stdout.take(),
        stderr: child.stderr.take(),
    };
    let group = ProcessGroup::of_child(child.id());
    Ok((Process::Alone { group, child }, pipes))
}
