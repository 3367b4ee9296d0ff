//! `try`: one call of a tool, run here as a worker runs it, without Redis.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use taskferry_process::StopSignals;
use taskferry_process::output::say;
use tokio_util::sync::CancellationToken;

use super::{Prepared, Program, hurried, print, take_cgroup};
use crate::sdk::ask::check_key;
use crate::trial::{Call, Trial, TrialEnd, answer};
use crate::worker::Builder;

/// What is logged unless it is said otherwise: the command's plain lines, and no report twice.
const LOG: &str = "warn,tool=debug,tool::log=off";

/// The exit code of a call that a worker would attempt again, as a command says so (`EX_TEMPFAIL`).
const AGAIN: u8 = 75;

pub(super) fn command() -> Command {
    let arguments = Arg::new("arguments")
        .long("arguments")
        .value_name("JSON")
        .default_value("{}")
        .help("The arguments, a JSON object; @FILE reads them from a file, - from standard input");
    let answer = Arg::new("answer")
        .long("answer")
        .value_name("KEY=ANSWER")
        .action(ArgAction::Append)
        .help("The answer to the tool's question KEY; once for each. ANSWER is accept, accept {…}, decline, cancel, or the response's result as JSON");
    let capabilities = Arg::new("capabilities")
        .long("capabilities")
        .value_name("JSON")
        .help("What the client declares, a JSON object of MCP client capabilities [default: it can be asked everything]");
    let attempt = Arg::new("attempt")
        .long("attempt")
        .value_name("N")
        .default_value("1")
        .value_parser(value_parser!(u32).range(1..=1_000_000))
        .help("Run it as this attempt: TASKFERRY_ATTEMPT is N, and N-1 of the tool's attempts are used up");
    Command::new("try")
        .about("Run one call of a tool here, for real, as a worker would; Redis is not asked for anything")
        .after_help("This is no dry run: the tool does what it does in production. Reports and questions are shown on standard error, the result is printed on standard output as the client would see it. Questions without an --answer are answered by lines of standard input.\n\nExit code 0 if the tool did what it was asked, 1 if it failed or was stopped, 2 if nothing was run because settings, manifest, tool or arguments cannot be used, 75 if a worker would attempt the call again.")
        .arg(Arg::new("tool").value_name("TOOL").required(true).help("The tool's name"))
        .arg(arguments)
        .arg(attempt)
        .arg(answer)
        .arg(capabilities)
}

pub(super) async fn run(
    program: Program,
    flags: &ArgMatches,
    extend: impl FnOnce(Builder) -> Builder,
) -> ExitCode {
    let prepared = program.prepare(flags, LOG, extend).and_then(|prepared| {
        let Prepared {
            config, builder, ..
        } = prepared;
        let runtime = builder.runtime().map_err(|error| error.to_string())?;
        Ok((config, Trial::new(runtime, call(flags)?)?))
    });
    let (config, trial) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => return program.refuse(&problem),
    };
    let signals = config.log.start().and_then(|()| {
        StopSignals::catch().map_err(|error| format!("signals cannot be caught: {error}"))
    });
    let signals = match signals {
        Ok(signals) => signals,
        Err(problem) => {
            program.say(&problem);
            return ExitCode::FAILURE;
        }
    };
    if let Err(problem) = take_cgroup(&config.cgroup).await {
        return program.refuse(&problem);
    }
    let (cancel, kill) = (CancellationToken::new(), trial.kill_token());
    let ended = tokio::select! {
        ended = Box::pin(trial.run(&cancel)) => ended,
        () = stop(signals, &cancel, &kill) => TrialEnd::Cancelled,
    };
    let (result, code) = printed(ended);
    match result.map(|result| print(&result)).transpose() {
        Ok(_printed) => code,
        Err(error) => {
            program.say(&format!("the result cannot be written: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What is printed on standard output, and the exit code. A message for people is printed on standard error here.
fn printed(ended: TrialEnd) -> (Option<String>, ExitCode) {
    match ended {
        TrialEnd::Completed { result, is_error } => {
            let code = if is_error {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
            (Some(result), code)
        }
        TrialEnd::Failed { error } => (Some(format!(r#"{{"error":{error}}}"#)), ExitCode::FAILURE),
        TrialEnd::Again { message, result } => {
            say(&message);
            (Some(result), ExitCode::from(AGAIN))
        }
        TrialEnd::NotRun { message } => {
            say(&message);
            (None, ExitCode::from(AGAIN))
        }
        TrialEnd::Cancelled => {
            say("cancelled");
            (None, ExitCode::FAILURE)
        }
    }
}

/// The first signal cancels the call, the second kills what runs, the third does not wait for anything.
async fn stop(mut signals: StopSignals, cancel: &CancellationToken, kill: &CancellationToken) {
    let _signal = signals.next().await;
    cancel.cancel();
    hurried(&mut signals).await;
    kill.cancel();
    hurried(&mut signals).await;
}

fn call(flags: &ArgMatches) -> Result<Call, String> {
    let text = |name: &str| flags.get_one::<String>(name).map(String::as_str);
    let source = text("arguments").unwrap_or("{}");
    let capabilities = text("capabilities").map(capabilities).transpose()?;
    let answers = flags.get_many::<String>("answer").unwrap_or_default();
    Ok(Call {
        tool: text("tool").unwrap_or_default().to_owned(),
        arguments: arguments(source)?.into(),
        attempt: flags.get_one("attempt").copied().unwrap_or(1),
        capabilities,
        answers: answers
            .map(|given| given_answer(given))
            .collect::<Result<HashMap<_, _>, _>>()?,
        reads_answers: source != "-",
    })
}

fn arguments(source: &str) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("--arguments {source} cannot be read: {error}");
    if source == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(unreadable)?;
        return Ok(text);
    }
    match source.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(Path::new(file)).map_err(unreadable),
        None => Ok(source.to_owned()),
    }
}

fn capabilities(json: &str) -> Result<String, String> {
    match serde_json::from_str(json) {
        Ok(serde_json::Value::Object(_)) => Ok(json.to_owned()),
        Ok(_) => Err("--capabilities must be a JSON object".to_owned()),
        Err(error) => Err(format!("--capabilities is not valid JSON: {error}")),
    }
}

fn given_answer(given: &str) -> Result<(String, String), String> {
    let refused = |fault: &str| format!("--answer {given}: {fault}");
    let (key, text) = given
        .split_once('=')
        .ok_or_else(|| refused("write KEY=ANSWER"))?;
    check_key(key).map_err(|error| refused(&error.to_string()))?;
    let answer = answer::read(text).map_err(|fault| refused(&fault))?;
    Ok((key.to_owned(), answer))
}
