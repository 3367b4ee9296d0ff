mod questions;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use taskferry_contract::TaskSupport;

use crate::exec::OutputMode;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tools(text: &str) -> Vec<ExecTool> {
    match Manifest::parse(text, folder()) {
        Ok(manifest) => manifest.tools,
        Err(error) => panic!("{error}"),
    }
}

fn problems(text: &str) -> Vec<String> {
    match Manifest::parse(text, folder()) {
        Err(ManifestError::Invalid { problems, .. }) => {
            problems.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The only problem of a tool with these lines.
#[track_caller]
fn problem(lines: &str) -> String {
    let mut problems = problems(&tool(lines));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.remove(0)
}

fn tool(lines: &str) -> String {
    let command = if lines.contains("command") {
        ""
    } else {
        "command = [\"true\"]\n"
    };
    format!("[[tool]]\nname = \"t\"\ndescription = \"d\"\n{command}{lines}\n")
}

fn json_of(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

#[test]
fn the_defaults_hold_when_nothing_is_set() {
    let tool = tools(&tool("")).remove(0);
    assert_eq!(tool.name, "t");
    assert_eq!(tool.policy, Policy::default());
    let policy = tool.policy;
    assert_eq!(policy.queue, "default");
    assert_eq!(
        (policy.attempts, policy.crash_limit, policy.rank),
        (3, 3, 0)
    );
    assert_eq!(policy.timeout, Duration::from_secs(600));
    assert_eq!(policy.ttl, Duration::from_secs(3600));
    assert_eq!(policy.ttl_min, Duration::from_secs(1));
    assert_eq!(policy.ttl_max, Duration::from_secs(86_400));
    assert_eq!(policy.keep, Duration::from_secs(300));
    assert_eq!(policy.poll_interval, Duration::from_secs(1));
    assert_eq!(policy.poll_interval_max, Duration::from_secs(5));
    assert_eq!(policy.backoff_initial, Duration::from_secs(1));
    assert_eq!(policy.backoff_max, Duration::from_secs(60));
    assert_eq!(policy.task_support, TaskSupport::Optional);
    assert_eq!((policy.concurrency, policy.share), (None, false));
    assert_eq!(tool.command.stop_grace, Duration::from_secs(5));
    assert_eq!(tool.command.max_output, 4 << 20);
    assert_eq!(tool.command.output, OutputMode::Auto);
    assert_eq!(tool.command.cwd, folder());
    assert_eq!(
        json_of(&tool.input_schema),
        json!({"type": "object", "additionalProperties": false})
    );
    assert!(tool.output_schema.is_none() && tool.annotations.is_none());
    assert!(tool.icons.is_none() && tool.ask_first.is_empty() && !tool.command.asks);
}

const FULL: &str = r#"
        [[tool]]
        name = "generate_report"
        title = "Monthly report"
        description = "Makes a report"
        command = ["python3", "report.py", ["--month", "{month}"]]
        cwd = "src"
        env = { REPORT_DATA = "data/orders.csv" }
        output = "json"
        rank = -3
        queue = "reports"
        task_support = "required"
        timeout = "5m"
        ttl = "2h"
        ttl_min = "10s"
        ttl_max = "1d"
        keep = "7m"
        poll_interval = "500ms"
        asks = true
        poll_interval_max = "3s"
        share = true
        immediate_response = "It is being made"
        attempts = 5
        crash_limit = 2
        backoff_initial = "2s"
        backoff_max = "2m"
        concurrency = 2
        stop_grace = "0s"
        max_output = "64KiB"
        annotations = { readOnlyHint = true, title = "R", "example.com/x" = 1 }
        [tool.input_schema]
        type = "object"
        properties.month = { type = "string", minLength = 7 }
        additionalProperties = false
        [tool.output_schema]
        type = "object"
    "#;

#[test]
fn reads_every_setting() {
    let tool = tools(FULL).remove(0);
    assert_eq!(tool.title.as_deref(), Some("Monthly report"));
    assert_eq!(tool.immediate_response.as_deref(), Some("It is being made"));
    assert_eq!(
        tool.policy,
        Policy {
            queue: "reports".into(),
            rank: -3,
            task_support: TaskSupport::Required,
            timeout: Duration::from_secs(300),
            ttl: Duration::from_secs(7200),
            ttl_min: Duration::from_secs(10),
            ttl_max: Duration::from_secs(86_400),
            keep: Duration::from_secs(7 * 60),
            poll_interval: Duration::from_millis(500),
            poll_interval_max: Duration::from_secs(3),
            share: true,
            attempts: 5,
            crash_limit: 2,
            backoff_initial: Duration::from_secs(2),
            backoff_max: Duration::from_secs(120),
            concurrency: Some(2),
        }
    );
    let command = &tool.command;
    assert!(command.asks);
    assert_eq!(command.cwd, folder().join("src"));
    assert_eq!(command.env.get("REPORT_DATA").unwrap(), "data/orders.csv");
    assert_eq!(
        (command.output, command.max_output),
        (OutputMode::Json, 65_536)
    );
    assert_eq!(command.stop_grace, Duration::ZERO);
    let rendered = command
        .template
        .render(&json!({"month": "2026-01"}))
        .unwrap();
    assert_eq!(rendered, ["report.py", "--month", "2026-01"]);
    assert_eq!(
        tool.input_schema.get(),
        r#"{"type":"object","properties":{"month":{"type":"string","minLength":7}},"additionalProperties":false}"#
    );
    assert_eq!(
        json_of(&tool.output_schema.unwrap()),
        json!({"type": "object"})
    );
    assert_eq!(
        json_of(&tool.annotations.unwrap()),
        json!({"readOnlyHint": true, "title": "R", "example.com/x": 1})
    );
}

#[test]
fn a_tool_overrides_the_defaults() {
    let text = r#"
        [defaults]
        queue = "slow"
        timeout = "1h"
        attempts = 1
        cwd = "src"
        env = { A = "default", B = "default" }
        output = "text"
        [[tool]]
        name = "a"
        description = "d"
        command = ["true"]
        [[tool]]
        name = "b"
        description = "d"
        command = ["true"]
        queue = "fast"
        attempts = 4
        cwd = "/tmp"
        env = { B = "own" }
    "#;
    let tools = tools(text);
    let (a, b) = (&tools[0], &tools[1]);
    assert_eq!(
        (a.policy.queue.as_str(), b.policy.queue.as_str()),
        ("slow", "fast")
    );
    assert_eq!((a.policy.attempts, a.policy.crash_limit), (1, 1));
    assert_eq!((b.policy.attempts, b.policy.crash_limit), (4, 3));
    assert_eq!(b.policy.timeout, Duration::from_secs(3600));
    assert_eq!(
        (a.command.output, b.command.output),
        (OutputMode::Text, OutputMode::Text)
    );
    assert_eq!(a.command.cwd, folder().join("src"));
    assert_eq!(b.command.cwd, Path::new("/tmp"));
    assert_eq!(b.command.env.get("A").unwrap(), "default");
    assert_eq!(b.command.env.get("B").unwrap(), "own");
}

#[test]
fn a_slow_tool_is_polled_no_more_often_when_it_is_old() {
    let slow = tools(&tool("poll_interval = \"10s\"")).remove(0);
    assert_eq!(slow.policy.poll_interval_max, Duration::from_secs(10));
}

#[test]
fn a_json_schema_stays_as_it_is_written() {
    let lines = "input_schema = '''\n {\"type\": \"object\",\n  \"z\": 1.0} '''";
    let tool = tools(&tool(lines)).remove(0);
    assert_eq!(
        tool.input_schema.get(),
        "{\"type\": \"object\",\n  \"z\": 1.0}"
    );
}

#[test]
fn reports_all_problems_at_once() {
    let text = r#"
        [default]
        [defaults]
        timout = "5m"
        name = "x"
        [[tool]]
        description = ""
        command = []
        [[tool]]
        name = "b"
        description = "d"
        command = ["true"]
        ttl = 5
        [[tool]]
        name = "b"
        description = "d"
        command = ["true"]
        queue = "not good"
    "#;
    assert_eq!(
        problems(text),
        [
            "default: unknown key; did you mean `defaults`?",
            "[defaults]: timout: unknown key; did you mean `timeout`?",
            "[defaults]: name: unknown key",
            "[[tool]] number 1: name: is required",
            "[[tool]] number 1: description: must not be empty",
            "[[tool]] number 1: command: is empty: the first entry is the program to run",
            "tool \"b\": ttl: must be a string, but is of type integer",
            "tool \"b\": name: an earlier tool has the same name; every name must be unique",
            "tool \"b\": queue: \"not good\" is no valid name: write 1 to 64 of A-Z a-z 0-9 _ . -",
        ]
    );
}

#[test]
fn says_where_the_toml_breaks() {
    let problems = problems("[[tool]]\nname = \n");
    assert!(problems[0].contains("line 2"), "{problems:?}");
}

#[test]
fn a_manifest_has_tools() {
    assert_eq!(problems(""), ["tool: there is none: add a `[[tool]]`"]);
    assert!(problems("tool = 1")[0].contains("`[[tool]]`"));
    assert!(problems("[tool]\nname = \"x\"")[0].contains("`[[tool]]`"));
}

#[test]
fn names_are_checked() {
    for name in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
        let text =
            format!("[[tool]]\nname = \"{name}\"\ndescription = \"d\"\ncommand = [\"true\"]");
        let problems = problems(&text);
        assert!(
            problems[0].contains("name: ") && problems[0].contains("1 to 64"),
            "{problems:?}"
        );
    }
    let name = "aZ09_.-".to_owned() + &"x".repeat(57);
    tools(&format!(
        "[[tool]]\nname = \"{name}\"\ndescription = \"d\"\ncommand = [\"true\"]"
    ));
}

#[test]
fn values_are_checked() {
    for (lines, expected) in [
        (
            "timeout = \"5 minutes\"",
            "timeout: `5 minutes` must be a whole number and a unit",
        ),
        (
            "timeout = \"0s\"",
            "timeout: 0s is out of range: write 1ms to 365d",
        ),
        (
            "max_output = \"4MB\"",
            "max_output: `4MB` must be a whole number and a unit",
        ),
        (
            "max_output = \"1GiB\"",
            "max_output: 1GiB is out of range: write 1B to 64MiB",
        ),
        ("attempts = 0", "attempts: 0 is out of range: write 1 to"),
        ("attempts = \"3\"", "attempts: must be a whole number"),
        (
            "output = \"jsn\"",
            "output: `jsn` is none of auto, text, json, result; did you mean `json`?",
        ),
        ("task_support = true", "task_support: must be a string"),
        (
            "ttl = \"2d\"",
            "ttl: must be at most ttl_max, but 2d is more than 1d",
        ),
        (
            "ttl_min = \"2h\"",
            "ttl_min: must be at most ttl, but 2h is more than 1h",
        ),
        (
            "backoff_max = \"1ms\"",
            "backoff_initial: must be at most backoff_max",
        ),
        (
            "poll_interval_max = \"500ms\"",
            "poll_interval: must be at most poll_interval_max, but 1s is more than 500ms",
        ),
        (
            "share = \"yes\"",
            "share: must be true or false, but is of type string",
        ),
        (
            "immediate_response = \" \"",
            "immediate_response: must not be empty: leave it out",
        ),
        (
            "attempts = 1\ncrash_limit = 2",
            "crash_limit: must be 1 here",
        ),
    ] {
        let problem = problem(lines);
        assert!(problem.starts_with("tool \"t\": "), "{problem}");
        assert!(problem.contains(expected), "{lines}: {problem}");
    }
}

#[test]
fn keys_and_variables_are_checked() {
    for (lines, expected) in [
        ("env = { A = 1 }", "env.A: must be a string"),
        (
            "env = { TASKFERRY_X = \"1\" }",
            "env.TASKFERRY_X: names that start with TASKFERRY_",
        ),
        ("env = { \"A=B\" = \"1\" }", "env.A=B: is no name"),
        (
            "annotations = { readonlyhint = true }",
            "did you mean `readOnlyHint`?",
        ),
        (
            "annotations = { readOnlyHint = \"yes\" }",
            "must be true or false",
        ),
        (
            "maxOutput = \"1MiB\"",
            "maxOutput: unknown key; did you mean `max_output`?",
        ),
        ("title = 1", "title: must be a string"),
        (
            "required_capabilities = { samplings = {} }",
            "did you mean `sampling`?",
        ),
        (
            "required_capabilities = { sampling = true }",
            "required_capabilities.sampling: must be a table",
        ),
        (
            "required_capabilities = 1",
            "required_capabilities: must be a table",
        ),
    ] {
        let problem = problem(lines);
        assert!(problem.starts_with("tool \"t\": "), "{problem}");
        assert!(problem.contains(expected), "{lines}: {problem}");
    }
}

#[test]
fn schemas_are_checked() {
    for (lines, expected) in [
        ("input_schema = \"{\"", "input_schema: is not valid JSON"),
        (
            "input_schema = \"[]\"",
            "input_schema: must be a JSON object",
        ),
        (
            "input_schema = 1",
            "input_schema: must be a table, or a string",
        ),
        ("input_schema = {}", "must have type = \"object\""),
        (
            "input_schema = { type = \"string\" }",
            "must have type = \"object\"",
        ),
        (
            "input_schema = { type = \"object\", x = 1979-05-27 }",
            "put it in quotes",
        ),
        (
            "input_schema = { type = \"object\", x = inf }",
            "no JSON number",
        ),
        (
            "output_schema = { type = \"array\" }",
            "output_schema: must have type",
        ),
        (
            "output = \"text\"\noutput_schema = { type = \"object\" }",
            "use \"json\"",
        ),
        (
            "[tool.input_schema]\ntype = \"object\"\ntimeout = \"5m\"",
            "input_schema.timeout: `timeout` stands below [tool.input_schema]",
        ),
    ] {
        let problem = problem(lines);
        assert!(problem.contains(expected), "{lines}: {problem}");
    }
}

#[test]
fn commands_are_checked() {
    for (lines, expected) in [
        ("command = \"sh -c x\"", "must be a list of strings"),
        ("command = [\"sh\", 1]", "must be a list of strings"),
        ("command = [\"sh\", [[\"x\"]]]", "must be a list of strings"),
        ("command = [\"sh\", \"{\"]", "literal brace"),
        (
            "command = [\"./missing\"]",
            "there is no file `./missing` in",
        ),
        ("command = [\"./Cargo.toml\"]", "is not executable"),
        ("command = [\"src/\"]", "there is no file"),
    ] {
        let problem = problem(lines);
        assert!(
            problem.contains("command: ") && problem.contains(expected),
            "{lines}: {problem}"
        );
    }
    tools(&tool("command = [\"no-such-program\"]"));
    tools(&tool("command = [\"/no/such/program\"]"));
}

#[test]
fn a_placeholder_of_a_closed_schema_names_a_property() {
    let with = |placeholder: &str, schema: &str| {
        tool(&format!(
            "command = [\"true\", \"{placeholder}\"]\ninput_schema = '{schema}'"
        ))
    };
    let closed = r#"{"type":"object","additionalProperties":false,"properties":{"month":{},"range":{"additionalProperties":false,"properties":{"from":{}}}}}"#;
    tools(&with("{month}", closed));
    tools(&with("{month.anything}", closed));
    tools(&with("{range.from}", closed));
    let problem = |placeholder| problems(&with(placeholder, closed)).remove(0);
    assert!(
        problem("{mouth}")
            .ends_with("no property `mouth` and allows no others; did you mean `month`?")
    );
    assert!(problem("{range.to}").contains("`range` in the input schema has no property `to`"));
    tools(&with(
        "{other}",
        r#"{"type":"object","properties":{"month":{}}}"#,
    ));
    tools(&with(
        "{x1}",
        r#"{"type":"object","additionalProperties":false,"patternProperties":{"^x":{}}}"#,
    ));
    let no_schema = problems(&tool("command = [\"true\", \"{month}\"]"));
    assert!(
        no_schema[0].contains("no property `month`"),
        "{no_schema:?}"
    );
}

#[test]
fn a_file_gives_its_folder_to_relative_paths() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("bin/run.sh");
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let path = folder.path().join("tools.toml");
    std::fs::write(&path, tool("cwd = \"bin\"\ncommand = [\"./run.sh\"]")).unwrap();
    let manifest = Manifest::load(&path).unwrap();
    let command = &manifest.tools[0].command;
    assert_eq!(command.cwd, folder.path().join("bin"));
    assert_eq!(
        Path::new(command.template.program()),
        folder.path().join("bin/./run.sh")
    );

    std::fs::write(&path, tool("timeout = 1")).unwrap();
    let error = Manifest::load(&path).unwrap_err().to_string();
    assert!(
        error.contains("tools.toml cannot be used:\n  tool \"t\": timeout: "),
        "{error}"
    );
    let missing = Manifest::load(&folder.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().contains("none.toml"), "{missing}");
}
