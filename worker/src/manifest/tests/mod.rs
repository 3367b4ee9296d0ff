mod questions;
mod read;
mod refused;

use std::path::Path;

use serde_json::Value;

use super::*;
use serde_json::value::RawValue;

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
