use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use taskferry_worker::exec::{CommandOutcome, ExecEvent};
use taskferry_worker::manifest::{ExternalState, Manifest};

use crate::support::{Case, panic_with, text_of};

/// The code blocks of a language in the guide, in their order.
fn blocks(language: &str) -> Vec<String> {
    blocks_of("WORKERS.md", language)
}

fn blocks_of(page: &str, language: &str) -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    let guide = fs::read_to_string(guide).expect("a page for those who write tools");
    let fence = format!("```{language}\n");
    let blocks = guide.split(fence.as_str()).skip(1);
    blocks
        .filter_map(|block| block.split_once("\n```"))
        .map(|(block, _)| block.to_owned())
        .collect()
}

#[tokio::test]
async fn the_first_python_tool_of_the_guide_works() {
    let mut case = Case::sh("");
    fs::write(case.path("tools.toml"), &blocks("toml")[0]).unwrap();
    fs::write(case.path("report.py"), &blocks("python")[0]).unwrap();
    let manifest = Manifest::load(&case.path("tools.toml")).unwrap();
    case.command = manifest.tools[0].command.clone();
    case.arguments = json!({"month": "2026-01"}).to_string();
    let result = case.result().await;
    let value: Value = serde_json::from_str(result.result.get()).unwrap();
    assert_eq!(
        value["structuredContent"],
        json!({"month": "2026-01", "orders": 1250})
    );
    let Some(ExecEvent::Progress(progress)) = case.events.recv().await else {
        panic!("no progress");
    };
    assert_eq!(progress.message.as_deref(), Some("reading part 1"));
}

#[tokio::test]
async fn the_python_tool_of_the_guide_that_waits_for_its_answer_works() {
    let mut case = Case::sh("");
    fs::write(case.path("copies.py"), &blocks("python")[1]).unwrap();
    case.command = Case::new(&["python3", "copies.py"]).command;
    case.command.cwd = case.path("");
    let (run, mut talk) = case.run_asking();
    let answer = async {
        let asked = talk.asked.recv().await.unwrap().remove(0);
        assert_eq!(asked.key, "copies");
        assert!(asked.request.is_ok(), "{asked:?}");
        let answer =
            json!({"key": "copies", "result": {"action": "accept", "content": {"copies": 3}}});
        talk.replies.send(answer.to_string()).unwrap();
    };
    let (outcome, ()) = tokio::join!(run, answer);
    match outcome.unwrap() {
        CommandOutcome::Completed(result) => assert_eq!(text_of(&result), "3 copies"),
        other => panic_with(&other),
    }
}

#[tokio::test]
async fn the_shell_tool_of_the_guide_that_comes_back_works() {
    let script = &blocks("sh")[1];
    let mut case = Case::sh(script);
    case.answers = Some("{}".to_owned());
    let (run, mut talk) = case.run_asking();
    assert!(matches!(run.await.unwrap(), CommandOutcome::Park));
    let asked = talk.asked.recv().await.unwrap().remove(0);
    assert_eq!(asked.key, "sure");
    assert!(asked.request.is_ok(), "{asked:?}");
    for (answer, expected) in [
        (json!({"result": {"action": "accept"}}), "deleted"),
        (
            json!({"result": {"action": "decline"}}),
            "Nothing was deleted: decline",
        ),
        (
            json!({"error": {"reason": "client", "message": "no"}}),
            "Nothing was deleted: no",
        ),
    ] {
        case.answers = Some(json!({"sure": answer}).to_string());
        let result = case.result().await;
        assert_eq!(text_of(&result), expected);
    }
}

#[test]
fn the_question_of_the_guide_that_comes_first_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("clear.sh");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let manifest = Manifest::parse(&blocks("toml")[2], folder.path()).unwrap();
    assert_eq!(manifest.tools[0].ask_first[0].method, "elicitation/create");
}

#[test]
fn the_first_shell_tool_of_the_guide_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("disk_usage.sh");
    fs::write(&script, &blocks("sh")[0]).unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let manifest = Manifest::parse(&blocks("toml")[1], folder.path()).unwrap();
    let command = &manifest.tools[0].command;
    let render = |arguments: Value| {
        let arguments = RawValue::from_string(arguments.to_string()).unwrap();
        command.template.render(&arguments).unwrap()
    };
    assert_eq!(render(json!({"folder": "/srv/x"})), ["/srv/x"]);
    assert_eq!(
        render(json!({"folder": "/srv/x", "depth": 2})),
        ["/srv/x", "--depth", "2"]
    );
}

#[tokio::test]
async fn the_external_jobs_of_the_guide_are_valid_and_read_the_states_of_their_systems() {
    let all = blocks("toml");
    let all = all.iter().filter(|block| block.contains("\"external\""));
    let manifests: Vec<_> = all
        .map(|text| Manifest::parse(text, Path::new("/")).unwrap())
        .collect();
    let systems: Vec<_> = manifests
        .iter()
        .map(|manifest| manifest.tools[0].command.template.program())
        .collect();
    assert_eq!(systems, ["sbatch", "sh"]);
    // What kubectl prints for the path in `status`: the conditions that hold, and how many pods are active.
    let tool = &manifests[1].tools[0];
    let external = tool.external.as_ref().unwrap();
    for (printed, state) in [
        ("Complete ", Some(ExternalState::Succeeded)),
        ("Failed ", Some(ExternalState::Failed)),
        ("Suspended ", Some(ExternalState::Running)),
        (" 1", Some(ExternalState::Running)),
        (" ", Some(ExternalState::Waiting)),
        ("", None),
    ] {
        let mut case = Case::sh("");
        let kubectl = case.path("kubectl");
        fs::write(&kubectl, format!("#!/bin/sh\nprintf '%s' '{printed}'\n")).unwrap();
        fs::set_permissions(&kubectl, PermissionsExt::from_mode(0o755)).unwrap();
        let path = case.inherited[0].1.clone();
        let path = format!("{}:{path}", case.path("").display());
        case.inherited = vec![("PATH".into(), path)];
        case.command.template = external.status.clone();
        case.arguments = json!({ "$job": "taskferry-0-x" }).to_string();
        let said = case.text().await;
        let word = said.split_whitespace().next();
        let seen = word.and_then(|word| external.state(word));
        assert_eq!(seen, state, "{printed:?} {said:?}");
    }
}

#[test]
fn the_queues_of_the_guide_are_those_of_its_tools() {
    let all = blocks("toml");
    let block = all.iter().find(|block| block.starts_with("[queues]"));
    let manifest = Manifest::parse(block.unwrap(), Path::new("/")).unwrap();
    let mut queues: Vec<&str> = manifest
        .tools
        .iter()
        .map(|tool| tool.policy.queue.as_str())
        .collect();
    queues.sort_unstable();
    let shares: Vec<_> = manifest
        .queues
        .iter()
        .map(|(queue, share)| (queue.as_str(), share.weight, share.slots))
        .collect();
    let said = [
        ("default", 2, None),
        ("heavy", 1, Some(2)),
        ("urgent", 8, None),
    ];
    assert_eq!(shares, said);
    assert_eq!(queues, said.map(|(queue, ..)| queue));
}

#[test]
fn the_first_tool_of_the_first_afternoon_can_be_tried() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = &blocks_of("FLEET.md", "toml")[0];
    fs::write(folder.path().join("tools.toml"), manifest).unwrap();
    let tried = &blocks_of("FLEET.md", "sh")[1];
    let tried = tried.replace("taskferry-worker", env!("CARGO_BIN_EXE_taskferry-worker"));
    // A small folder in place of a large one.
    let tried = tried.replace("/usr/share/doc", &folder.path().display().to_string());
    let mut shell = Command::new("sh");
    let said = shell
        .arg("-c")
        .arg(tried)
        .current_dir(folder.path())
        .output();
    let said = said.unwrap();
    let result: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(result["isError"], false, "{said:?}");
}
