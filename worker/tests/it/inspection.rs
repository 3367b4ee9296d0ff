//! What a tool can learn of its worker from the system, and which worker takes tools that are bounded.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use taskferry_testing::Process;
use taskferry_worker::exec::Environment;
use taskferry_worker::manifest::Manifest;

use crate::rig::{Rig, text, tool};

/// The user `nobody` of every Linux system: as root the test could look into any process.
const NOBODY: u32 = 65_534;

const MANIFEST: &str = r#"
[[tool]]
name = "peek"
description = "Reads what the system tells of a process"
command = ["sh", "-c", "for file in environ mem fd/0 maps; do cat /proc/$1/$file > /dev/null 2> reason && echo \"read $file\"; cat reason >&2; done; ls /proc/$1/fd; cat /proc/$1/environ; grep -c . /proc/self/environ; env", "sh", "{pid}"]
input_schema = { type = "object", properties = { pid = { type = "integer" } } }
"#;

#[tokio::test]
async fn a_tool_of_the_same_user_cannot_look_into_its_worker() {
    let rig = Rig::new().await;
    // Where another user may go, wherever this one has its own temporary files.
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let manifest = folder.path().join("tools.toml");
    fs::write(&manifest, MANIFEST).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    // The build may be where nobody may go.
    let binary = folder.path().join("taskferry-worker");
    let built = env!("CARGO_BIN_EXE_taskferry-worker");
    if fs::hard_link(built, &binary).is_err() {
        fs::copy(built, &binary).unwrap();
    }
    let mut command = Command::new(&binary);
    command.arg("--manifest").arg(&manifest);
    command.current_dir(folder.path());
    command.env("TASKFERRY_REDIS_URL", rig.server.url());
    command.env("PLANTED_PASSWORD", "correct horse battery staple");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let worker = Process::start("taskferry-worker", command);
    rig.until_registered("peek").await;
    let pid = worker.pid();
    let id = rig
        .submit(&peek(&rig).await, &format!(r#"{{"pid":{pid}}}"#))
        .await;
    let said = text(&rig.end_of(id).await);
    // It can read its own, and that alone.
    assert!(said.contains("TASKFERRY_TOOL=peek"), "{said}");
    assert!(!said.contains("read "), "{said}");
    assert!(!said.contains("PLANTED_PASSWORD"), "{said}");
    assert!(!said.contains(&rig.server.url()), "{said}");
}

async fn peek(rig: &Rig) -> taskferry_worker::contract::ToolDefinition {
    let tools = rig.store.tools().await.unwrap();
    let found = tools.iter().find(|tool| tool.name.as_str() == "peek");
    found.cloned().unwrap_or_else(|| tool("peek"))
}

#[tokio::test]
async fn a_program_that_does_not_supervise_refuses_tools_that_are_bounded() {
    let rig = Rig::new().await;
    for bounds in ["limits.open_files = 64", "sandbox.write = []"] {
        let text = format!("[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['true']\n{bounds}");
        let manifest = Manifest::parse(&text, std::path::Path::new("/")).unwrap();
        let builder = rig.builder();
        let builder = builder.exec_manifest(&manifest, &Environment::default());
        let refused = builder.build().unwrap_err().to_string();
        assert!(
            refused.contains("tool t has limits or a sandbox"),
            "{refused}"
        );
        assert!(refused.contains("supervise_if_told"), "{refused}");
    }
}
