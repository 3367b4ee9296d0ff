//! What is read from a manifest that fits.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use taskferry_contract::{Rate, RateExcess, TaskSupport};

use super::{folder, json_of, tool, tools};
use crate::exec::{Environment, OutputMode};
use crate::manifest::{ExecTool, Manifest, Policy};

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
    assert_eq!((policy.rate, policy.rate_excess), (None, RateExcess::Wait));
    assert_eq!(tool.command.stop_grace, Duration::from_secs(3));
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
        rate = "5/1m"
        rate_excess = "refuse"
        scopes = ["a:b"]
        task_scopes = []
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
            rate: Some(Rate::new(5, Duration::from_mins(1))),
            rate_excess: RateExcess::Refuse,
            scopes: vec!["a:b".to_owned()],
            task_scopes: Vec::new(),
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
    let arguments = RawValue::from_string(r#"{"month":"2026-01"}"#.to_owned()).unwrap();
    let rendered = command.template.render(&arguments).unwrap();
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
        env_pass = ["PROXY_*"]
        limits = { memory = "64MiB", cpu_time = "90s" }
        sandbox = { write = ["src"], required = true }
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
        env_pass = ["SECRET"]
        limits = { memory = "1GiB" }
        sandbox = { write = [], read = ["/"] }
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
    let mut inherited = Environment::default();
    for name in ["PROXY_HTTP", "SECRET", "OTHER"] {
        inherited.set(name, "x");
    }
    let passed = |tool: &ExecTool| inherited.passed(&tool.command.env_pass).count();
    assert_eq!((passed(a), passed(b)), (1, 2));
    let limits = |tool: &ExecTool| (tool.command.limits.memory, tool.command.limits.cpu_time);
    let time = Some(Duration::from_secs(90));
    assert_eq!(limits(a), (Some(64 << 20), time));
    assert_eq!(limits(b), (Some(1 << 30), time));
    assert_eq!(a.command.sandbox.write, Some(vec![folder().join("src")]));
    assert_eq!(a.command.sandbox.read, None);
    let sandbox = &b.command.sandbox;
    assert_eq!(sandbox.write, Some(Vec::new()));
    assert_eq!(sandbox.read, Some(vec![Path::new("/").to_owned()]));
    assert!(sandbox.required && !sandbox.new_privileges);
}

#[test]
fn values_that_may_begin_with_a_dash_are_those_the_manifest_lets() {
    let lines = r#"
        leading_dash = ["filter"]
        [tool.input_schema]
        type = "object"
        [tool.input_schema.properties]
        filter = { type = "string" }
        offset = { type = "number" }
        either = { type = ["integer", "string"] }
        order = { enum = ["-r", "-n"] }
        day = { type = "string", pattern = "^[0-9]+$" }
        file = { type = "string" }
        flag = { type = "boolean" }
    "#;
    let command = r#"command = ["true", "{filter}", "{offset}", "{either}", "{order}", "{day}", "{file}", "{flag}", "{any}", "{d}.x"]"#;
    let text = tool(lines).replace("command = [\"true\"]", command);
    let tool = tools(&text).remove(0);
    assert_eq!(tool.refuses_dashes_of(), ["either", "file", "any", "d"]);
    let rendered = |arguments: &str| {
        let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
        let rendered = tool.command.template.render(&arguments);
        rendered.map_err(|error| error.placeholder)
    };
    let allowed = r#"{"filter": "-x", "offset": -1.5, "either": -2, "order": "-r"}"#;
    assert_eq!(rendered(allowed).unwrap(), ["-x", "-1.5", "-2", "-r"]);
    assert_eq!(rendered(r#"{"either": "-2"}"#).unwrap_err(), "either");
    assert_eq!(rendered(r#"{"file": "-2"}"#).unwrap_err(), "file");
    assert_eq!(rendered(r#"{"any": -2}"#).unwrap_err(), "any");
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
fn queues_have_weights_and_bounds() {
    let text = format!(
        "[queues]\nurgent = 8\nslow = {{ slots = 2 }}\nboth = {{ weight = 100, slots = 1024 }}\nplain = {{}}\n{}",
        tool("")
    );
    let manifest = Manifest::parse(&text, folder()).unwrap();
    let shares: Vec<_> = manifest
        .queues
        .iter()
        .map(|(queue, share)| (queue.as_str(), share.weight, share.slots))
        .collect();
    assert_eq!(
        shares,
        [
            ("both", 100, Some(1024)),
            ("plain", 1, None),
            ("slow", 1, Some(2)),
            ("urgent", 8, None),
        ]
    );
    let manifest = Manifest::parse(&tool(""), folder()).unwrap();
    assert!(manifest.queues.is_empty());
}

#[test]
fn files_of_variables_start_at_the_manifest_and_those_of_all_tools_come_first() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["all.env", "own.env"] {
        std::fs::write(parent.path().join(name), "A=b").unwrap();
    }
    let text = format!(
        "[defaults]\nenv_file = 'all.env'\n{}",
        tool("cwd = '/tmp'\nenv_file = 'own.env'")
    );
    let manifest = Manifest::parse(&text, parent.path()).unwrap();
    let files = &manifest.tools[0].command.env_files;
    let expected = ["all.env", "own.env"].map(|name| parent.path().join(name));
    assert_eq!(*files, expected);
}
