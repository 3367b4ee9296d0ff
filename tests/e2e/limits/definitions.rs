//! What is wrong with a tool or a file is said by everybody alike, and shows no secret.

use std::path::Path;

use serde_json::json;
use taskferry_testing::{Process, TestServer, command};

use super::SOON;
use crate::fleet::Replica;
use crate::tools::register;

/// Runs a binary that is to refuse what it is given; what it said.
async fn refused(name: &str, args: &[&str], file: &Path) -> String {
    let mut command = command(name);
    command.args(args).arg(file);
    let mut process = Process::start(name, command);
    let status = process.wait_for_exit(SOON).await;
    assert!(!status.success(), "{status}");
    process.stderr()
}

#[tokio::test]
async fn a_definition_that_cannot_be_used_is_refused_everywhere_with_the_same_words() {
    let server = TestServer::start().await;
    let mut replica = Replica::start(&server.url(), &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let (manifest, definition) = (
        folder.path().join("tools.toml"),
        folder.path().join("odd.json"),
    );
    for (name, schema, reason) in [
        (
            "mirrored_list",
            json!({ "type": "object", "properties": { "all": { "type": "array", "x-mcp-header": "All" } } }),
            "input_schema: x-mcp-header \"All\" of \"all\" is not on a string, an integer or a boolean",
        ),
        (
            "odd_type",
            json!({ "type": "object", "properties": { "a": { "type": "text" } } }),
            "input_schema: /properties/a/type: ",
        ),
        (
            "elsewhere",
            json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/none" } } }),
            "input_schema: ",
        ),
    ] {
        let text = format!(
            "[[tool]]\nname = '{name}'\ndescription = 'd'\ncommand = ['true']\ninput_schema = '{schema}'\n"
        );
        std::fs::write(&manifest, text).unwrap();
        let url = server.url();
        let flags = ["--redis-url", url.as_str(), "--manifest"];
        let said = refused("taskferry-worker", &flags, &manifest).await;
        let whole = said
            .split_once(&format!("tool {name} cannot be used: "))
            .unwrap_or_else(|| panic!("{said}"))
            .1
            .trim();
        assert!(whole.starts_with(reason), "{whole}");

        let stored = json!({ "name": name, "input_schema": schema });
        std::fs::write(&definition, stored.to_string()).unwrap();
        let add = ["tools", "--redis-url", url.as_str(), "add"];
        let said = refused("taskferry", &add, &definition).await;
        assert!(said.contains(whole), "{said}");

        register(&server, name, &schema).await;
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
