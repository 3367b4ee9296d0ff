use taskferry_testing::eventually;
use taskferry_worker::exec::CommandOutcome;

use crate::support::{Case, LONG, panic_with, text_of};

fn completed(outcome: &CommandOutcome) -> String {
    match outcome {
        CommandOutcome::Completed(result) => text_of(result),
        other => panic_with(other),
    }
}

#[tokio::test]
async fn standard_input_ends_after_the_arguments_unless_the_tool_asks() {
    let case = Case::python("import json, sys; print(json.load(sys.stdin))");
    assert_eq!(case.text().await, "{}");

    let case = Case::sh("read -r a; read -r b; read -r c; echo $c; cat");
    let (run, client) = case.run_asking();
    client.replies.send("b".to_owned()).unwrap();
    client.replies.send("c".to_owned()).unwrap();
    // Without anyone who could tell it more, it ends.
    drop(client.replies);
    assert_eq!(completed(&run.await.unwrap()), "c");
}

#[tokio::test]
async fn a_command_that_asks_is_stopped_while_it_reads() {
    let case =
        Case::sh("trap 'echo bye > bye; exit 0' TERM; read -r a; touch ready; read -r b; wait");
    let (run, _client) = case.run_asking();
    let cancel = async {
        eventually(LONG, "it reads", async || case.path("ready").exists()).await;
        case.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(run, cancel);
    assert!(matches!(outcome.unwrap(), CommandOutcome::Cancelled));
}

#[tokio::test]
async fn a_command_that_leaves_its_answers_unread_is_not_waited_for() {
    let case = Case::sh("echo done");
    let (run, client) = case.run_asking();
    for _ in 0..4 {
        client.replies.send("x".repeat(64 << 10)).unwrap();
    }
    assert_eq!(completed(&run.await.unwrap()), "done");
}

#[tokio::test]
async fn a_question_may_be_longer_than_other_lines_but_not_without_end() {
    let case = Case::python(
        "import json, sys
for size in (30_000, 70_000):
    print('::ask k sampling ' + json.dumps({'messages': [], 'maxTokens': 1, 'x': 'y' * size}), file=sys.stderr)",
    );
    let (run, mut client) = case.run_asking();
    run.await.unwrap();
    let mut asked = Vec::new();
    while let Some(more) = client.asked.recv().await {
        asked.extend(more);
    }
    assert!(asked[0].request.is_ok(), "{asked:?}");
    let refused = asked[1].request.clone().unwrap_err();
    assert!(refused.contains("longer than 64 KiB"), "{refused}");
}

#[tokio::test]
async fn questions_without_end_are_bounded() {
    let case = Case::sh("for i in $(seq 300); do echo \"::ask k$i roots\"; done >&2");
    let (run, mut client) = case.run_asking();
    run.await.unwrap();
    let mut asked = Vec::new();
    while let Some(more) = client.asked.recv().await {
        asked.extend(more);
    }
    assert_eq!(asked.len(), 257);
    let refused = asked[256].request.clone().unwrap_err();
    assert!(refused.contains("256 times"), "{refused}");
    assert!(asked[..256].iter().all(|ask| ask.request.is_ok()));
}
