//! Dead letters.

use serde_json::{Value, json};
use taskferry_testing::{eventually, eventually_some, group_lives};

use super::{SOON, Site, raw};
use crate::client::Legacy;

#[tokio::test]
async fn dead_letters_are_listed_and_shown_and_retried_as_new_tasks() {
    let site = Site::new().await;
    let _worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let id = site.dead(&session, "one").await;

    let listed = site.run(&["dead", "list"]).await;
    for part in ["LETTER", &id, "brittle", "printers", "yes", "no ink"] {
        assert!(listed.out.contains(part), "{part} is not in {}", listed.out);
    }
    assert!(!listed.out.contains("one"), "arguments are not listed");
    let line = site
        .run(&["dead", "list", "--json"])
        .await
        .lines()
        .remove(0);
    assert_eq!(
        (&line["task"], &line["attempts"], &line["queue"]),
        (&json!(id), &json!(2), &json!("printers"))
    );
    let shown = site.run(&["dead", "show", &id, "--json"]).await.lines();
    assert_eq!(shown[0]["arguments"], r#"{"text":"one"}"#);
    assert_eq!(shown[0]["record"]["status"], "completed");
    let letter = line["letter"].as_str().unwrap();
    let shown = site.run(&["dead", "show", letter]).await;
    assert!(shown.out.contains(r#"{"text":"one"}"#), "{}", shown.out);

    std::fs::write(site.folder.path().join("mended"), "").unwrap();
    let retried = site.run(&["dead", "retry", &id]).await;
    let (old, new) = retried.out.trim().split_once(" -> ").unwrap();
    assert_eq!((old, retried.code), (id.as_str(), 0));
    session.until(new, "completed").await;
    let result = session.result_of(new).await;
    assert_eq!(result.result()["content"][0]["text"], "one");
    assert_eq!(session.task(&id).await["status"], "failed", "as it ended");

    let again = site.run(&["dead", "retry", &id]).await;
    assert_eq!((again.code, again.out.as_str()), (1, ""));
    assert!(again.err.contains("no dead letter"), "{}", again.err);
    assert_eq!(site.run(&["dead", "list", "--json"]).await.out, "");
}

#[tokio::test]
async fn all_of_a_tool_are_retried_once_also_those_that_fail_again() {
    let site = Site::new().await;
    let _worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(site.dead(&session, text).await);
    }
    let none = site
        .run(&["dead", "retry", "--all", "--tool", "other"])
        .await;
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    let told = site
        .run(&["dead", "retry", "--all", "--tool", "brittle", "--json"])
        .await;
    let mut old: Vec<Value> = told
        .lines()
        .iter()
        .map(|line| line["task"].clone())
        .collect();
    old.reverse();
    assert_eq!(json!(old), json!(ids), "{}", told.err);
    for line in told.lines() {
        session
            .until(line["new_task"].as_str().unwrap(), "failed")
            .await;
    }
    let listed = site.run(&["dead", "list", "--json"]).await.lines();
    assert_eq!(listed.len(), 3, "one letter for each again: {listed:?}");

    // Page by page.
    let first = site.run(&["dead", "list", "--json", "--limit", "2"]).await;
    let last = first.lines()[1]["letter"].as_str().unwrap().to_owned();
    assert!(
        first.err.contains(&format!("--before {last}")),
        "{}",
        first.err
    );
    let next = site
        .run(&["dead", "list", "--json", "--before", &last])
        .await;
    assert_eq!(next.lines()[0], listed[2]);

    let purged = site.run(&["dead", "purge", &last]).await;
    assert_eq!(purged.out, "dead letters purged: 1\n");
    let old = ["dead", "purge", "--all", "--older-than", "7d"];
    assert_eq!(site.run(&old).await.out, "dead letters purged: 0\n");
    let all = site.run(&["dead", "purge", "--all"]).await;
    assert_eq!(all.out, "dead letters purged: 2\n");
}

#[tokio::test]
async fn what_cannot_be_retried_is_told_with_the_reason() {
    let site = Site::new().await;
    let mut worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    raw::<String>(
        &site.redis,
        &["XADD", "tf:{0}:queue:printers", "*", "hello", "\u{1b}[2J"],
    )
    .await;
    let id = site.dead(&session, "one").await;
    let letters = eventually_some(SOON, "both are dead letters", async || {
        let letters = site.run(&["dead", "list", "--json"]).await.lines();
        (letters.len() == 2).then_some(letters)
    })
    .await;
    let stranger = letters.iter().find(|line| line["task"] == "").unwrap();
    let letter = stranger["letter"].as_str().unwrap();
    let refused = site.run(&["dead", "retry", letter]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("names no job"), "{}", refused.err);

    worker.terminate();
    worker.wait_for_exit(SOON).await;
    let removed = site.run(&["tools", "remove", "brittle"]).await;
    assert_eq!(removed.code, 0, "{}", removed.err);
    let refused = site.run(&["dead", "retry", &id]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("not registered"), "{}", refused.err);
    // The letter is still there, and a changed tool is told too.
    let changed = site.folder.path().join("brittle.json");
    let definition = json!({
        "name": "brittle", "queue": "printers", "input_schema": { "type": "object", "required": ["size"] },
    });
    std::fs::write(&changed, definition.to_string()).unwrap();
    let added = site.run(&["tools", "add", changed.to_str().unwrap()]).await;
    assert_eq!(added.out, "brittle is registered\n", "{}", added.err);
    let refused = site.run(&["dead", "retry", "--all"]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("its tool has changed"),
        "{}",
        refused.err
    );
    assert_eq!(site.run(&["dead", "retry", "nonsense"]).await.code, 1);
    // Ids and filters do not go together: one of them would be passed over in silence.
    for unclear in [
        &["dead", "retry"][..],
        &["dead", "retry", &id, "--all"],
        &["dead", "retry", &id, "--tool", "other"],
        &["dead", "purge", &id, "--older-than", "7d"],
        &["dead", "purge", "--older-than", "7d"],
        &["dead", "purge", "--tool", "brittle"],
    ] {
        assert_eq!(site.run(unclear).await.code, 2, "{unclear:?}");
    }
}

/// What comes before the decision about a job that may run once.
const ENDED: &str = "nothing of it runs any more";

fn assert_says(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[tokio::test]
async fn what_may_run_once_is_run_again_only_with_the_flag_and_under_the_first_id() {
    let site = Site::new().await;
    let _worker = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let harmless = site.dead(&session, "one").await;
    let first = session
        .start("charge", json!({ "text": "card" }), 60_000)
        .await;
    session.until(&first, "failed").await;
    let own = std::fs::read_to_string(site.folder.path().join("charged")).unwrap();
    assert_eq!(own, format!("{first} {first}\n"), "first, its own id");

    let refused = site.run(&["dead", "retry", &first]).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert_says(&refused.err, &["attempts = 1", "done twice", ENDED, &first]);
    assert_says(&refused.err, &["purge it", "--risk-second-run"]);
    let shown = site.run(&["dead", "show", &first]).await.out;
    assert_says(&shown, &["attempts   1 begun (attempts = 1 of its tool)\n"]);
    let all = site.run(&["dead", "retry", "--all", "--json"]).await;
    let lines = all.lines();
    assert_eq!((all.code, lines.len()), (1, 1), "{}", all.err);
    assert_eq!(
        (&lines[0]["task"], &lines[0]["origin_task"]),
        (&json!(harmless), &json!(harmless))
    );
    assert_says(&all.err, &["1 not retried", "charge: 1", ENDED]);
    assert_says(
        &all.err,
        &["the others by their ids with --risk-second-run"],
    );
    let again = lines[0]["new_task"].as_str().unwrap();
    session.until(again, "failed").await;

    // A retry of a retry, by id and with all others.
    let one = ["dead", "retry", &first, "--risk-second-run", "--json"];
    let all = [
        "dead",
        "retry",
        "--all",
        "--tool",
        "charge",
        "--risk-second-run",
        "--json",
    ];
    let mut runs = vec![first.clone()];
    for words in [&one[..], &all[..]] {
        let retried = site.run(words).await;
        assert_eq!(retried.code, 0, "{}", retried.err);
        let line = retried.lines().remove(0);
        assert_eq!(line["origin_task"], first.as_str());
        let new = line["new_task"].as_str().unwrap().to_owned();
        session.until(&new, "failed").await;
        let shown = site.run(&["dead", "show", &new, "--json"]).await.lines();
        let known = (&shown[0]["origin_task"], &shown[0]["max_attempts"]);
        assert_eq!(known, (&json!(first), &json!(1)));
        runs.push(new);
    }
    let charged = std::fs::read_to_string(site.folder.path().join("charged")).unwrap();
    let expected: Vec<String> = runs.iter().map(|id| format!("{id} {first}")).collect();
    assert_eq!(charged.lines().collect::<Vec<&str>>(), expected);
}

#[tokio::test]
async fn a_job_that_may_run_once_fails_with_its_worker_and_says_so() {
    let site = Site::new().await;
    let mut first = site.worker().await;
    let session = Legacy::open(&site.replica.endpoint).await;
    let id = session.start("once", json!({}), 60_000).await;
    let ran = site.folder.path().join("ran");
    let command = eventually_some(SOON, "it runs", async || {
        let text = std::fs::read_to_string(&ran).ok()?;
        text.trim().parse::<u32>().ok()
    })
    .await;
    first.kill9();
    // Nobody else serves its queue: the front end sees to it, once the lease is over.
    let failed = session.until(&id, "failed").await;
    let message = failed["statusMessage"].as_str().unwrap();
    for part in [
        "the worker died during attempt 1",
        "the job is not run again",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(session.result_of(&id).await.code(), -32603);
    let runs = std::fs::read_to_string(&ran).unwrap();
    assert_eq!(runs.lines().count(), 1, "{runs}");
    let letters = site.run(&["dead", "list", "--json"]).await.lines();
    assert_eq!(
        (&letters[0]["task"], &letters[0]["reason"]),
        (&json!(id), &json!("crash limit"))
    );
    // Where to look for what it left behind.
    let worker = letters[0]["worker"].as_str().unwrap();
    let shown = site.run(&["dead", "show", &id]).await.out;
    assert!(
        shown.contains(&format!("last run   by {worker}, begun at ")),
        "{shown}"
    );
    eventually(SOON, "the command ended with its worker", async || {
        !group_lives(command)
    })
    .await;
}
