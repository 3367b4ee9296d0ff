//! What is wrong with a tool or a file is said by everybody alike, and shows no secret.

use std::collections::HashMap;
use std::path::Path;

use serde_json::value::RawValue;
use taskferry_testing::{Process, TestServer, command};

use super::SOON;
use crate::fleet::Replica;
use crate::tools::define_as;

/// Runs a binary that is to refuse what it is given; what it said.
async fn refused(name: &str, args: &[&str], file: &Path) -> String {
    let mut command = command(name);
    command.args(args).arg(file);
    let mut process = Process::start(name, command);
    let status = process.wait_for_exit(SOON).await;
    assert!(!status.success(), "{status}");
    process.stderr()
}

/// Definitions that a front end cannot use: their members beside the name, as JSON, and what is said of them.
const UNUSABLE: [(&str, &str, &str); 11] = [
    (
        "mirrored_list",
        r#""input_schema":{"type":"object","properties":{"all":{"type":"array","x-mcp-header":"All"}}}"#,
        "input_schema: x-mcp-header \"All\" of \"all\" is not on a string, an integer or a boolean",
    ),
    (
        "odd_type",
        r#""input_schema":{"type":"object","properties":{"a":{"type":"text"}}}"#,
        "input_schema: /properties/a/type: ",
    ),
    (
        "of_its_own_kind",
        r#""input_schema":{"type":"object","$schema":"https://example.com/own"}"#,
        "input_schema: ",
    ),
    (
        "nowhere",
        r##""input_schema":{"type":"object","properties":{"a":{"$ref":"#/$defs/none"}}}"##,
        "input_schema: /properties/a/$ref: there is nothing at \"#/$defs/none\" in the schema",
    ),
    (
        "elsewhere",
        r#""input_schema":{"type":"object","properties":{"a":{"$ref":"http://127.0.0.1:1/x"}}}"#,
        "input_schema: /properties/a/$ref: \"http://127.0.0.1:1/x\" leads out of the schema",
    ),
    (
        "half_a_pattern",
        r#""input_schema":{"type":"object","properties":{"a":{"pattern":"a("}}}"#,
        "input_schema: /properties/a/pattern: ",
    ),
    (
        "huge_pattern",
        r#""input_schema":{"type":"object","properties":{"a":{"pattern":"((a{1000}){1000}){1000}"}}}"#,
        "input_schema: ",
    ),
    (
        "said_twice",
        r#""input_schema":{"type":"object","properties":{"a":true,"a":false}}"#,
        "input_schema: the object at /properties has the name \"a\" twice",
    ),
    (
        "round_and_round",
        r##""input_schema":{"type":"object","properties":{"a":{"$ref":"#/properties/a"}}}"##,
        "input_schema: /properties/a: it refers to itself for the same value",
    ),
    (
        "odd_result",
        r#""input_schema":{"type":"object"},"output_schema":{"type":"object","minProperties":"x"}"#,
        "output_schema: /minProperties: ",
    ),
    (
        "odd_question",
        r#""input_schema":{"type":"object"},"required_capabilities":{"sampling":{},"sampling":{}}"#,
        "required_capabilities: the object has the name \"sampling\" twice",
    ),
];

/// A definition's members as a manifest has them.
fn in_manifest(members: &str) -> String {
    let members: HashMap<String, Box<RawValue>> =
        serde_json::from_str(&format!("{{{members}}}")).unwrap();
    let lines = members
        .iter()
        .map(|(key, json)| format!("{key} = '{json}'\n"));
    lines.collect()
}

#[tokio::test]
async fn a_definition_that_cannot_be_used_is_refused_everywhere_with_the_same_words() {
    let server = TestServer::start().await;
    let url = server.url();
    let mut replica = Replica::start(&url, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let (manifest, definition) = (
        folder.path().join("tools.toml"),
        folder.path().join("odd.json"),
    );
    for (name, members, reason) in UNUSABLE {
        let text = format!(
            "[[tool]]\nname = '{name}'\ndescription = 'd'\ncommand = ['true']\n{}",
            in_manifest(members)
        );
        std::fs::write(&manifest, text).unwrap();
        let flags = ["--redis-url", url.as_str(), "--manifest"];
        let mut wholes = Vec::new();
        for command in [&[][..], &["check"]] {
            let said = refused("taskferry-worker", &[command, &flags].concat(), &manifest).await;
            let (_, whole) = said
                .split_once(&format!("tool {name} cannot be used: "))
                .unwrap_or_else(|| panic!("{said}"));
            wholes.push(whole.trim().to_owned());
        }
        let whole = &wholes[0];
        assert!(whole.starts_with(reason), "{whole}");
        assert_eq!(wholes[1], *whole);

        let stored = format!(r#"{{"name":"{name}",{members}}}"#);
        std::fs::write(&definition, &stored).unwrap();
        let add = ["tools", "--redis-url", url.as_str(), "add"];
        let said = refused("taskferry", &add, &definition).await;
        assert!(said.contains(whole), "{said}");

        define_as(&server, name, &stored).await;
        let told = format!("tool={name} ");
        let line = replica.process.wait_for_line(SOON, &told).await;
        assert!(line.contains(whole), "{line}");
    }
}

#[tokio::test]
async fn a_fault_in_a_file_is_told_without_the_line_that_may_hold_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    for text in [
        "listen = '127.0.0.1:0'\nredis_url = 'redis://:hunter2@127.0.0.1\n",
        "log = 'info'\nredis_url = redis://:hunter2@127.0.0.1\n",
    ] {
        std::fs::write(&file, text).unwrap();
        for (name, args) in [
            ("taskferry", &["serve", "--config"][..]),
            ("taskferry-worker", &["--config"]),
        ] {
            let said = refused(name, args, &file).await;
            assert!(said.contains("it is not TOML: line 2, column "), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
    let text = "[[tool]]\nname = 't'\n[tool.env]\nPASSWORD = \"hunter2\" x\n";
    std::fs::write(&file, text).unwrap();
    let said = refused("taskferry-worker", &["--manifest"], &file).await;
    assert!(said.contains("it is not TOML: line 4, column "), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
