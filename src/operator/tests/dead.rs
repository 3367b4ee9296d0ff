//! Dead letters: found, retried, purged.

use std::time::Duration;

use taskferry_contract::{DeadLetter, LetterFilter, Status};
use taskferry_testing::eventually;

use super::rig::{Rig, tool};
use crate::operator::{LetterName, Prepared, Ready, Retrier, Revival};

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(10);

async fn letter_of(rig: &Rig, name: &str) -> DeadLetter {
    let name: LetterName = name.parse().unwrap();
    let found = rig.operator.dead_letters().find(name).await.unwrap();
    found.expect("there is a letter")
}

async fn unfit(retrier: &Retrier<'_>, letter: &DeadLetter) -> String {
    match retrier.prepare(letter).await.unwrap() {
        Prepared::Unfit(why) => why.to_string(),
        Prepared::Ready(ready) => panic!("it is ready: {ready:?}"),
    }
}

async fn ready(retrier: &Retrier<'_>, letter: &DeadLetter) -> Box<Ready> {
    match retrier.prepare(letter).await.unwrap() {
        Prepared::Ready(ready) => ready,
        Prepared::Unfit(why) => panic!("it is unfit: {why}"),
    }
}

#[tokio::test]
async fn a_letter_is_found_by_its_own_id_and_by_its_tasks() {
    let rig = Rig::start().await;
    let task = rig.bury(&tool("report"), "the disk is full").await;
    let letter = letter_of(&rig, &task.to_string()).await;
    assert_eq!(letter.reason, "the disk is full");
    assert_eq!(letter_of(&rig, &letter.id.to_string()).await, letter);
    let detail = rig.operator.dead_letters().detail(&letter).await.unwrap();
    let record = detail.record.expect("the record is there");
    assert_eq!((record.id, record.status), (task, Status::Failed));
    let revivable = detail.revivable.expect("the arguments are there");
    assert_eq!(revivable.arguments.as_str(), r#"{"n":1}"#);
    let neither = "report".parse::<LetterName>().unwrap_err();
    assert!(neither.to_string().contains("neither"), "{neither}");
}

#[tokio::test]
async fn a_page_says_whether_there_is_more() {
    let rig = Rig::start().await;
    for reason in ["one", "two", "three"] {
        rig.bury(&tool("report"), reason).await;
    }
    let letters = rig.operator.dead_letters();
    let all = LetterFilter::default();
    let page = letters.list(&all, 2).await.unwrap();
    let reasons: Vec<&str> = page.letters.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!((reasons, page.has_more), (vec!["three", "two"], true));
    let rest = LetterFilter {
        before_id: page.letters.last().map(|last| last.id),
        ..all
    };
    let page = letters.list(&rest, 2).await.unwrap();
    assert_eq!((page.letters.len(), page.has_more), (1, false));
}

#[tokio::test]
async fn what_cannot_be_retried_says_why() {
    let rig = Rig::start().await;
    let task = rig.bury(&tool("report"), "no").await;
    let letter = letter_of(&rig, &task.to_string()).await;
    let letters = rig.operator.dead_letters();

    let without_tools = letters.retrier().await.unwrap();
    let why = unfit(&without_tools, &letter).await;
    assert!(why.starts_with("tool report is not registered"), "{why}");

    let mut changed = tool("report");
    let takes_text = r#"{"type":"object","properties":{"n":{"type":"string"}}}"#;
    changed.input_schema = serde_json::value::RawValue::from_string(takes_text.to_owned()).unwrap();
    rig.operator.tools().register(changed).await.unwrap();
    let with_another_tool = letters.retrier().await.unwrap();
    let why = unfit(&with_another_tool, &letter).await;
    assert!(why.starts_with("its tool has changed"), "{why}");
}

#[tokio::test]
async fn a_job_that_may_run_once_is_retried_as_one_new_task_at_its_operators_risk() {
    let rig = Rig::start().await;
    let task = rig.bury(&tool("report"), "no").await;
    let letter = letter_of(&rig, &task.to_string()).await;
    rig.operator.tools().register(tool("report")).await.unwrap();
    let retrier = rig.operator.dead_letters().retrier().await.unwrap();
    let first = ready(&retrier, &letter).await;
    assert!(first.risks_second_run());
    assert_eq!((first.task, first.revivable.origin), (task, task));
    // Another operator who has read the same letter comes too late.
    let second = ready(&retrier, &letter).await;
    let revived = retrier.revive(&letter, &first).await.unwrap();
    assert_eq!(revived, Revival::Queued);
    let again = retrier.revive(&letter, &second).await.unwrap();
    assert_eq!(again, Revival::Gone);
    let view = rig.store.view(first.new_task).await.unwrap();
    assert_eq!(view.map(|view| view.status), Some(Status::Queued));
    assert_eq!(rig.store.view(second.new_task).await.unwrap(), None);
    rig.cancel(first.new_task).await;
}

#[tokio::test]
async fn all_that_are_old_enough_are_purged_batch_by_batch() {
    let rig = Rig::start().await;
    rig.bury(&tool("report"), "no").await;
    rig.bury(&tool("audit"), "no").await;
    let letters = rig.operator.dead_letters();
    let hour = Duration::from_secs(3600);
    let mut none = letters.all(LetterFilter::default(), hour).await.unwrap();
    assert_eq!(none.next().await.unwrap(), []);

    // Those of the very moment in which it begins are left out.
    let newest = letters.list(&LetterFilter::default(), 1).await.unwrap();
    let buried_ms = newest.letters.first().map(DeadLetter::buried_ms);
    eventually(SOON, "the moment is over", async || {
        Some(rig.store.now_ms().await.unwrap()) > buried_ms
    })
    .await;
    let of_one = LetterFilter {
        tool: Some("audit".to_owned()),
        ..LetterFilter::default()
    };
    let mut batches = letters.all(of_one, Duration::ZERO).await.unwrap();
    let batch = batches.next().await.unwrap();
    assert_eq!(letters.purge(&batch).await.unwrap(), 1);
    assert_eq!(batches.next().await.unwrap(), []);
    let left = letters.list(&LetterFilter::default(), 10).await.unwrap();
    let left: Vec<&str> = left.letters.iter().map(|it| it.tool.as_str()).collect();
    assert_eq!(left, ["report"]);
}
