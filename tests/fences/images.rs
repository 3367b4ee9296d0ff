//! The images of the Dockerfile, and how docker-compose.yml runs them. There is no engine where the tests run.

use std::collections::BTreeSet;

use crate::packages::metadata;
use crate::rooms::root;

fn read(file: &str) -> String {
    let text = std::fs::read_to_string(root().join(file));
    text.unwrap_or_else(|error| panic!("{file}: {error}"))
        .replace("\\\n", " ")
}

#[test]
fn the_image_builds_every_binary_that_it_copies() {
    let text = read("Dockerfile");
    let build = text
        .lines()
        .find(|line| line.starts_with("RUN ") && line.contains("cargo build "))
        .expect("a line that builds");
    let words: Vec<&str> = build.split_whitespace().collect();
    for needed in ["--bins", "--locked", "--release"] {
        assert!(words.contains(&needed), "{build}");
    }
    let named: BTreeSet<&str> = words
        .windows(2)
        .filter(|pair| pair[0] == "-p")
        .map(|pair| pair[1])
        .collect();
    let metadata = metadata();
    let packages = metadata.workspace_packages().into_iter();
    let built: BTreeSet<&str> = packages
        .filter(|package| named.contains(package.name.as_str()))
        .flat_map(|package| &package.targets)
        .filter(|target| target.is_bin())
        .map(|target| target.name.as_str())
        .collect();
    let copied: BTreeSet<&str> = text
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("/built/"))
        .filter(|name| !name.is_empty() && *name != "'")
        .collect();
    assert_eq!(copied, built, "{build}");
    assert!(
        read(".dockerignore")
            .lines()
            .any(|line| line == "rust-toolchain.toml"),
        "the image's toolchain would be replaced"
    );
}

#[test]
fn no_image_runs_as_root_and_those_without_tools_have_no_shell() {
    let text = read("Dockerfile");
    let stages = text.split("\nFROM ").skip(1);
    let mut seen = 0;
    for stage in stages {
        let (from, rest) = stage.split_once('\n').expect("a stage has lines");
        let is_empty = from.starts_with("scratch ");
        assert!(
            is_empty || from.ends_with(" AS worker"),
            "{from} has programs of others"
        );
        let user = rest
            .lines()
            .filter_map(|line| line.strip_prefix("USER "))
            .next_back();
        // By number: whoever runs it can check that, without the image's own list of users.
        assert_eq!(user, Some("10001:10001"), "{from}");
        if is_empty {
            assert!(!rest.contains("\nRUN "), "{from} has no shell to run that");
            assert!(
                rest.contains("\nENTRYPOINT [\""),
                "{from} has no shell to begin with"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// The lines below a name that begins a line, up to the next that is not further in.
fn block<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| *line != name);
    assert!(lines.next().is_some(), "there is no {name}");
    let inside = lines.take_while(|line| line.is_empty() || depth(line) > depth(name));
    inside.collect()
}

#[test]
fn what_compose_runs_can_write_to_no_image_and_gain_no_right() {
    let text = read("docker-compose.yml");
    let closed = block(&text, "x-closed: &closed");
    for line in [
        "  read_only: true",
        "  cap_drop: [ALL]",
        "    - no-new-privileges:true",
    ] {
        assert!(closed.contains(&line), "{closed:?} has no {line}");
    }
    assert!(block(&text, "x-frontend: &frontend").contains(&"  <<: *closed"));
    let services = block(&text, "services:");
    let is_name =
        |line: &&&str| line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
    let names: Vec<&str> = services.iter().filter(is_name).copied().collect();
    assert_eq!(names.len(), 5, "{names:?}");
    for name in names {
        let service = block(&text, name);
        let is_closed = ["    <<: *closed", "    <<: *frontend"]
            .iter()
            .any(|line| service.contains(line));
        assert!(is_closed, "{name} is not closed");
        let is_ours = service.contains(&"    <<: *frontend") || service.contains(&"    build:");
        let has_user = service.iter().any(|line| line.starts_with("    user: \""));
        assert!(is_ours || has_user, "{name} begins as root");
        let loosens = ["privileged", "cap_add", "read_only: false"];
        assert!(
            !service
                .iter()
                .any(|line| loosens.iter().any(|word| line.contains(word))),
            "{name}"
        );
    }
}
