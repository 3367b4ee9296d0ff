//! What is refused, and with which words.

use super::{problem, problems, tool, tools};
use crate::manifest::Manifest;

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
            "tool \"b\": ttl: must be a duration in quotes, such as \"30s\" or \"10m\", but is of type integer",
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
fn a_rate_is_checked() {
    for (lines, expected) in [
        (
            "rate = 5",
            "rate: must be a number and a time in quotes, such as \"5/1m\", but is of type integer",
        ),
        (
            "rate = \"5\"",
            "rate: `5` must be a whole number and a time, as in 5/1m or 100/1s",
        ),
        (
            "rate = \"0/1m\"",
            "rate: `0/1m` is out of range: write 1/… to 100000/…",
        ),
        (
            "rate = \"5/2d\"",
            "rate: `5/2d` is out of range: write a time of 1s to 1d after the stroke",
        ),
        (
            "rate = \"5/1m\"\nrate_excess = \"refused\"",
            "rate_excess: `refused` is none of wait, refuse; did you mean `refuse`?",
        ),
        (
            "rate_excess = \"refuse\"",
            "rate_excess: says what becomes of calls beyond `rate`, which is not set",
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
        ("env_pass = 'A'", "env_pass: must be a list of strings"),
        ("env_pass = ['A', 1]", "env_pass: must be a list of strings"),
        ("env_pass = ['A=B']", "env_pass: \"A=B\" is no name"),
        ("env_pass = ['*A']", "env_pass: \"*A\" is no name"),
        ("env_pass = ['']", "env_pass: \"\" is no name"),
        (
            "env_pass = ['TASKFERRY_REDIS_URL']",
            "env_pass: names that start with TASKFERRY_",
        ),
        (
            "leading_dash = ['x']",
            "leading_dash: the command has no placeholder `{x}`",
        ),
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
            r#"annotations = '{"title":"\ud83d"}'"#,
            r"annotations: cannot be read by every client: it has \ud83d, half of a surrogate pair, which is no character at title",
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
fn a_size_without_quotes_is_told_how_sizes_are_written() {
    let problem = problem("max_output = 4");
    assert!(
        problem.contains("max_output: must be a size in quotes, such as \"4MiB\""),
        "{problem}"
    );
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
fn limits_and_sandboxes_are_checked() {
    for (lines, expected) in [
        ("limits = 'x'", "limits: must be a table"),
        ("limits = { cpu = '1s' }", "limits.cpu: unknown key"),
        (
            "limits = { cpu_time = '500ms' }",
            "limits.cpu_time: 500ms is out of range: write 1s to",
        ),
        (
            "limits = { memory = '1KiB' }",
            "limits.memory: 1KiB is out of range: write 1MiB to",
        ),
        (
            "limits = { open_files = 3 }",
            "limits.open_files: 3 is out of range: write 8 to",
        ),
        (
            "limits = { file_size = 5 }",
            "limits.file_size: must be a size in quotes",
        ),
        (
            "limits = { processes = 5 }\nsandbox = { user = 'root' }",
            "limits.processes: does not hold for root",
        ),
        (
            "sandbox = { user = 'no-such-user' }",
            "sandbox.user: there is no user \"no-such-user\" in /etc/passwd",
        ),
        (
            "sandbox = { read = ['/no/such/folder'] }",
            "sandbox.read: `/no/such/folder`: No such file",
        ),
        (
            "sandbox = { write = '/tmp' }",
            "sandbox.write: must be a list of strings",
        ),
        (
            "sandbox = { required = true }",
            "sandbox.required: bounds nothing without",
        ),
        (
            "sandbox = { users = 'x' }",
            "sandbox.users: unknown key; did you mean `user`?",
        ),
    ] {
        let problem = problem(lines);
        assert!(problem.contains(expected), "{lines}: {problem}");
    }
}

#[test]
fn weights_and_bounds_of_queues_are_checked() {
    for (line, expected) in [
        (
            "default = 0",
            "[queues] default: is 0: write a weight, 1 to 100, or a table such as { weight = 2, slots = 4 }",
        ),
        ("default = 101", "[queues] default: is 101: write a weight"),
        ("default = 1.5", "[queues] default: is 1.5: write a weight"),
        (
            "default = 'high'",
            "[queues] default: is \"high\": write a weight",
        ),
        (
            "default = { weight = 0 }",
            "[queues] default: weight: 0 is out of range: write 1 to 100",
        ),
        (
            "default = { slots = 0 }",
            "[queues] default: slots: 0 is out of range: write 1 to 1024",
        ),
        (
            "default = { slots = 1025 }",
            "[queues] default: slots: 1025 is out of range: write 1 to 1024",
        ),
        (
            "default = { slot = 2 }",
            "[queues] default: slot: unknown key; did you mean `slots`?",
        ),
        ("'a b' = 1", "[queues] a b: \"a b\" is no valid name"),
    ] {
        let problems = problems(&format!("[queues]\n{line}\n{}", tool("")));
        assert_eq!(problems.len(), 1, "{line}: {problems:?}");
        assert!(problems[0].starts_with(expected), "{line}: {problems:?}");
    }
    let problems = problems(&format!("queues = 3\n{}", tool("")));
    assert_eq!(
        problems,
        ["queues: must be a table, but is of type integer"]
    );
}

#[test]
fn a_file_of_variables_must_be_one_and_shows_nothing_of_itself() {
    let parent = tempfile::tempdir().unwrap();
    let told = |lines: &str, text: &str| {
        std::fs::write(parent.path().join("env"), text).unwrap();
        let read = Manifest::parse(&tool(lines), parent.path());
        let told = read.unwrap_err().to_string();
        assert!(!told.contains("SECRET"), "{told}");
        told
    };
    for (lines, text, expected) in [
        (
            "env_file = 'none'",
            "",
            "tool \"t\": env_file: `none` cannot be read: No such file or directory",
        ),
        ("env_file = '.'", "", "env_file: `.` is no file"),
        ("env_file = 3", "", "env_file: must be a string"),
        (
            "env_file = 'env'",
            "A=b\nSECRET",
            "env_file: `env` cannot be used: line 2 has no `=`: write NAME=value",
        ),
        (
            "env_file = 'env'\nenv_fle = 'env'",
            "A=b",
            "env_fle: unknown key; did you mean `env_file`?",
        ),
    ] {
        let told = told(lines, text);
        assert!(told.contains(expected), "{lines}: {told}");
    }
}
