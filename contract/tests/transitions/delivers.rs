//! `deliver_input` and `recall_input`: a question goes out over one connection, whichever replicas have one.

use std::time::Duration;

use taskferry_contract::{HeldAttempt, Owner, QuestionRef, SendRightReply, Sender, TaskId};

use taskferry_testing::eventually;

use crate::rig::Rig;
use crate::samples::{QUESTION, asking, sender};

async fn deliver(rig: &Rig, id: TaskId, key: &str, replica: &str) -> Delivered {
    deliver_by(rig, rig.question(id, key), &sender(replica)).await
}

async fn deliver_by(rig: &Rig, question: QuestionRef<'_>, sender: &Sender) -> Delivered {
    let deliver = rig.store.deliver_input(question, Duration::ZERO, sender);
    Delivered::from(deliver.await.unwrap())
}

/// A reply without the time that the record lives.
#[derive(Debug, PartialEq)]
enum Delivered {
    Send(String),
    Other(SendRightReply),
}

impl From<SendRightReply> for Delivered {
    fn from(reply: SendRightReply) -> Self {
        match reply {
            SendRightReply::Send { request, lives } => {
                assert!(Duration::ZERO < lives && lives <= Duration::from_secs(600));
                Self::Send(request)
            }
            other => Self::Other(other),
        }
    }
}

const TAKEN: Delivered = Delivered::Other(SendRightReply::Taken);
const IGNORED: Delivered = Delivered::Other(SendRightReply::Ignored);
const NOT_FOUND: Delivered = Delivered::Other(SendRightReply::NotFound);

async fn recall(rig: &Rig, id: TaskId, replica: &str) -> u64 {
    let sender = sender(replica).id;
    let recall = rig.store.recall_input(id, &rig.owner, &sender);
    recall.await.unwrap()
}

fn send() -> Delivered {
    Delivered::Send(QUESTION.to_owned())
}

async fn asked(rig: &Rig) -> HeldAttempt {
    let hold = rig.running().await;
    for key in ["a", "b"] {
        rig.store.ask_input(&hold, &[asking(key)]).await.unwrap();
    }
    hold
}

#[tokio::test]
async fn one_sender_sends_an_open_question() {
    let rig = Rig::new().await;
    let hold = asked(&rig).await;
    let id = hold.claimed.id;
    assert_eq!(deliver(&rig, id, "a", "c1").await, send());
    assert_eq!(deliver(&rig, id, "a", "c2").await, TAKEN);
    assert_eq!(deliver(&rig, id, "b", "c2").await, send());
    assert_eq!(deliver(&rig, id, "never", "c1").await, IGNORED);
    let answer = rig.store.answer_input(rig.question(id, "a"), "1").await;
    answer.unwrap();
    assert_eq!(deliver(&rig, id, "a", "c2").await, IGNORED, "answered");
    rig.finish(&hold).await;
    assert_eq!(deliver(&rig, id, "b", "c1").await, IGNORED, "ended");
}

#[tokio::test]
async fn a_sender_keeps_its_right_by_asking_again_and_loses_it_by_silence() {
    let rig = Rig::new().await;
    let hold = asked(&rig).await;
    let id = hold.claimed.id;
    assert_eq!(deliver(&rig, id, "a", "c1").await, send());
    assert_eq!(deliver(&rig, id, "a", "c1").await, send(), "its own");
    assert_eq!(deliver(&rig, id, "a", "c2").await, TAKEN);
    let mut brief = sender("c1");
    brief.right_lasts = Duration::from_millis(1);
    let kept = deliver_by(&rig, rig.question(id, "a"), &brief).await;
    assert_eq!(kept, send());
    eventually(Duration::from_secs(5), "the right lapses", async || {
        deliver(&rig, id, "a", "c2").await == send()
    })
    .await;
    assert_eq!(recall(&rig, id, "c1").await, 0, "it is another's now");
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_sender_that_closes_gives_back_what_was_not_answered() {
    let rig = Rig::new().await;
    let hold = asked(&rig).await;
    let id = hold.claimed.id;
    rig.store.ask_input(&hold, &[asking("c")]).await.unwrap();
    for (key, replica) in [("a", "c1"), ("b", "c1"), ("c", "c2")] {
        assert_eq!(deliver(&rig, id, key, replica).await, send());
    }
    let answer = rig.store.answer_input(rig.question(id, "a"), "1").await;
    answer.unwrap();
    assert_eq!(recall(&rig, id, "c1").await, 1);
    assert_eq!(
        recall(&rig, id, "c1").await,
        0,
        "there is nothing left to give back"
    );
    assert_eq!(deliver(&rig, id, "b", "c3").await, send());
    assert_eq!(deliver(&rig, id, "c", "c3").await, TAKEN);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_question_that_was_sent_is_not_sent_again_by_the_next_attempt() {
    let mut rig = Rig::new().await;
    let hold = asked(&rig).await;
    let id = hold.claimed.id;
    assert_eq!(deliver(&rig, id, "a", "c1").await, send());
    let second = rig.crash(&hold).await;
    rig.store.ask_input(&second, &[asking("a")]).await.unwrap();
    assert_eq!(deliver(&rig, id, "a", "c2").await, TAKEN);
    rig.finish(&second).await;
}

#[tokio::test]
async fn another_owner_can_neither_send_nor_recall() {
    let mut rig = Rig::new().await;
    let hold = asked(&rig).await;
    let id = hold.claimed.id;
    assert_eq!(deliver(&rig, id, "a", "c1").await, send());
    let before = rig.record(id).await;
    for owner in [Owner::named("bob").unwrap(), Owner::anonymous()] {
        let question = QuestionRef {
            owner: &owner,
            ..rig.question(id, "b")
        };
        let sent = deliver_by(&rig, question, &sender("c2")).await;
        assert_eq!(sent, NOT_FOUND);
        let first = sender("c1").id;
        let recalled = rig.store.recall_input(id, &owner, &first).await;
        assert_eq!(recalled.unwrap(), 0);
    }
    assert_eq!(rig.record(id).await, before);
    rig.expire(id).await;
    assert_eq!(deliver(&rig, id, "b", "c2").await, NOT_FOUND);
    assert_eq!(recall(&rig, id, "c1").await, 0);
    assert_eq!(rig.record(id).await.len(), 0);
    rig.store
        .renew_lease(&hold, crate::rig::LEASE)
        .await
        .unwrap();
}
