//! Questions of commands to the client, and what the commands are told.

use serde_json::{Value, json};
use taskferry_contract::{Status, Submission};
use taskferry_testing::eventually;
use taskferry_worker::manifest::Manifest;

use crate::outcomes::environment;
use crate::rig::{SOON, owner, run, text, tool};
use crate::script::{Script, accepted, error, told};

#[tokio::test]
async fn answers_come_on_standard_input_as_they_come_and_the_slot_is_free_meanwhile() {
    let script = Script::new(
        "read -r arguments; echo '::ask a FORM' >&2; echo '::ask b roots' >&2
         read -r first; echo \"$first\" > first.part; mv first.part first
         read -r second; echo \"$first\"; echo \"$second\"; echo \"$arguments\"",
    )
    .await;
    let quick = "[[tool]]\nname = 'quick'\ndescription = 'd'\ncommand = ['echo', 'quick']";
    let quick = Manifest::parse(quick, script.folder.path()).unwrap();
    let worker = run(script.builder().exec_manifest(&quick, &environment()));
    let id = script.submit().await;
    assert_eq!(script.open(id, 2).await, ["a", "b"]);
    let other = script.rig.submit(&tool("quick"), "{}").await;
    assert_eq!(text(&script.rig.end_of(other).await), "quick");

    script.answer(id, "b", &json!({ "roots": [] })).await;
    let first = json!({ "key": "b", "result": { "roots": [] } });
    let written: Value = serde_json::from_str(&script.written("first").await).unwrap();
    assert_eq!(written, first);
    assert_eq!(
        script.rig.view(id).await.status,
        Status::InputRequired,
        "one is open"
    );
    script.answer(id, "a", &accepted()).await;
    let task = script.rig.end_of(id).await;
    let second = json!({ "key": "a", "result": accepted() });
    assert_eq!(told(&task), [first, second, json!({})]);
    assert_eq!(task.attempt, 1);
    worker.stop().await;
}

#[tokio::test]
async fn questions_of_one_write_are_put_together() {
    let script = Script::new(
        "printf '::ask a FORM\\n::progress 1/2\\n::ask b FORM\\n' >&2; read -r x; read -r y; read -r z; echo ok",
    )
    .await;
    let worker = run(script.builder());
    let all: &[&str] = &["CONFIG", "SET", "slowlog-log-slower-than", "0"];
    script.rig.raw::<()>(all).await;
    let id = script.submit().await;
    assert_eq!(script.open(id, 2).await, ["a", "b"]);
    let log: Vec<(u64, u64, u64, Vec<String>, String, String)> =
        script.rig.raw(&["SLOWLOG", "GET", "1000"]).await;
    let asks = log.iter().filter(|(_, _, _, command, _, _)| {
        command[0].eq_ignore_ascii_case("evalsha")
            && command
                .iter()
                .any(|word| word.contains("elicitation/create"))
    });
    assert_eq!(asks.count(), 1, "{log:?}");
    for key in ["a", "b"] {
        script.answer(id, key, &accepted()).await;
    }
    assert_eq!(text(&script.rig.end_of(id).await), "ok");
    worker.stop().await;
}

#[tokio::test]
async fn the_timeout_stands_still_while_a_command_waits() {
    let script = Script::with(
        "asks = true",
        "echo '::ask a FORM' >&2; read -r x; read -r y; echo done",
    )
    .await;
    let worker = run(script.builder());
    let mut definition = script.definition.clone();
    definition.timeout_ms = 5_000;
    let id = script.rig.submit(&definition, "{}").await;
    script.open(id, 1).await;
    let start: u64 = script.field(id, "lease_ms").await.parse().unwrap();
    eventually(SOON, "twice the timeout passes", async || {
        let now: u64 = script.field(id, "lease_ms").await.parse().unwrap();
        now > start + 10_000
    })
    .await;
    script.answer(id, "a", &accepted()).await;
    assert_eq!(text(&script.rig.end_of(id).await), "done");
    worker.stop().await;
}

#[tokio::test]
async fn a_command_that_asks_times_out_all_the_same() {
    let script = Script::with("asks = true\ntimeout = '500ms'", "exec sleep 1000").await;
    let worker = run(script.builder());
    let mut definition = script.definition.clone();
    definition.timeout_ms = 500;
    let id = script.rig.submit(&definition, "{}").await;
    let task = script.rig.end_of(id).await;
    assert_eq!(
        error(&task),
        "timed out after 500ms (the tool's timeout, set in its manifest or definition)"
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_is_not_asked_and_the_command_is_told() {
    let cannot = "does not declare the capability elicitation";
    for (line, expected) in [
        ("read -r x; read -r reply; echo \"$reply\"", true),
        ("exit 76", false),
    ] {
        let script = Script::new(&format!("echo '::ask a FORM' >&2; {line}")).await;
        let worker = run(script.builder());
        let owner = owner();
        let id = script
            .rig
            .submit_as(Submission {
                capabilities: Some(r#"{"sampling":{}}"#),
                ..script.rig.submission(&script.definition, &owner)
            })
            .await;
        let task = script.rig.end_of(id).await;
        if expected {
            let told: Value = serde_json::from_str(&text(&task)).unwrap();
            assert_eq!(
                (&told["key"], &told["error"]["reason"]),
                (&json!("a"), &json!("not_declared"))
            );
        }
        assert_eq!(task.is_error, !expected);
        assert!(text(&task).contains(cannot), "{task:?}");
        assert!(script.rig.store.questions(id).await.unwrap().is_empty());
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_read_is_told_and_harms_no_other() {
    let script = Script::new(
        "printf '::ask a! roots\\n::ask b elicitation {\\n::ask c roots\\n' >&2
         read -r x; read -r a; read -r b; read -r c; echo \"$a\"; echo \"$b\"; echo \"$c\"",
    )
    .await;
    let worker = run(script.builder());
    let id = script.submit().await;
    assert_eq!(script.open(id, 1).await, ["c"]);
    script.answer(id, "c", &json!({ "roots": [] })).await;
    let told = told(&script.rig.end_of(id).await);
    for (told, (key, wrong)) in told
        .iter()
        .zip([("a!", "cannot be the key"), ("b", "not valid JSON")])
    {
        assert_eq!(
            (&told["key"], &told["error"]["reason"]),
            (&json!(key), &json!("invalid"))
        );
        assert!(
            told["error"]["message"].as_str().unwrap().contains(wrong),
            "{told}"
        );
    }
    assert_eq!(told[2]["result"], json!({ "roots": [] }));
    worker.stop().await;
}

#[tokio::test]
async fn a_tool_that_asks_but_did_not_say_so_is_told_what_to_set() {
    let script = Script::with("", "echo '::ask a FORM' >&2; cat > /dev/null; exit 76").await;
    let worker = run(script.builder());
    let id = script.submit().await;
    let said = error(&script.rig.end_of(id).await);
    assert!(said.contains("does not say asks = true"), "{said}");
    assert!(script.rig.store.questions(id).await.unwrap().is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn a_retried_attempt_has_its_answers_without_asking_again() {
    let script = Script::new(
        "read -r arguments; echo '::ask a FORM' >&2; read -r reply
         [ $TASKFERRY_ATTEMPT = 2 ] || exit 75
         echo \"$reply\"; echo \"$TASKFERRY_ANSWERS\"",
    )
    .await;
    let worker = run(script.builder());
    let id = script.submit().await;
    script.open(id, 1).await;
    script.answer(id, "a", &accepted()).await;
    let told = told(&script.rig.end_of(id).await);
    assert_eq!(told[0], json!({ "key": "a", "result": accepted() }));
    assert_eq!(told[1], json!({ "a": { "result": accepted() } }));
    assert_eq!(script.field(id, "asked").await, "1");
    worker.stop().await;
}

#[tokio::test]
async fn what_was_asked_first_is_in_the_environment_of_a_tool_that_never_asks() {
    let first = "[[tool.ask_first]]\nkey = 'who'\nmethod = 'roots'";
    let script = Script::with(first, "cat > /dev/null; echo \"$TASKFERRY_ANSWERS\"").await;
    let worker = run(script.builder());
    script.rig.until_registered("asking").await;
    let registered = script.rig.store.tools().await.unwrap().remove(0);
    assert_eq!(registered.ask_first[0].method, "roots/list");
    let (owner, answers) = (owner(), [("who".to_owned(), r#"{"roots":[]}"#.to_owned())]);
    let submission = Submission {
        answers: &answers,
        ..script.rig.submission(&registered, &owner)
    };
    let id = script.rig.submit_as(submission).await;
    let told = told(&script.rig.end_of(id).await);
    assert_eq!(told, [json!({ "who": { "result": { "roots": [] } } })]);
    worker.stop().await;
}
