//! Questions and answers that come before the job: `submit` parks it, or stores what is known already.

use taskferry_contract::{AnswerReply, AskReply, Question, Status, Submission};

use crate::rig::Rig;
use crate::samples::{QUESTION, asking, pairs};

#[tokio::test]
async fn a_job_that_asks_first_is_queued_by_its_last_answer() {
    let rig = Rig::new().await;
    let asks = pairs(&[("a", QUESTION), ("b", QUESTION)]);
    let submission = Submission {
        asks: &asks,
        ..rig.submission()
    };
    let id = rig.submit_as(submission).await;
    assert_eq!(rig.status(id).await, Some(Status::InputRequired));
    assert_eq!(rig.deliveries().await, [], "nothing is on the stream");
    let question = |key: &str| Question {
        key: key.to_owned(),
        request: QUESTION.to_owned(),
        client_task: None,
    };
    assert_eq!(
        rig.store.questions(id).await.unwrap(),
        [question("a"), question("b")]
    );
    let answer = async |key: &str| {
        rig.store
            .answer_input(rig.question(id, key), "1")
            .await
            .unwrap()
    };
    assert_eq!(answer("a").await, AnswerReply::Stored { open: 1 });
    assert_eq!(rig.deliveries().await, []);
    assert_eq!(answer("b").await, AnswerReply::Stored { open: 0 });
    assert_eq!(rig.status(id).await, Some(Status::Queued));
    let (hold, _job) = rig.start().await;
    assert_eq!(hold.claimed.id, id);
    let asked = rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    assert_eq!(asked, AskReply::Answered(pairs(&[("a", "1")])));
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_job_that_asks_first_can_be_cancelled_and_expires() {
    let mut rig = Rig::new().await;
    let asks = pairs(&[("a", QUESTION)]);
    for expires in [false, true] {
        let submission = Submission {
            asks: &asks,
            ..rig.submission()
        };
        let id = rig.submit_as(submission).await;
        if expires {
            rig.expire(id).await;
        } else {
            rig.store.cancel(id, &rig.owner, "enough").await.unwrap();
        }
        let late = rig
            .store
            .answer_input(rig.question(id, "a"), "1")
            .await
            .unwrap();
        assert_ne!(late, AnswerReply::Stored { open: 0 });
        assert_eq!(rig.deliveries().await, []);
    }
}

#[tokio::test]
async fn an_answer_that_came_with_the_call_is_never_asked_for() {
    let rig = Rig::new().await;
    let answers = pairs(&[("a", r#"{"x":1}"#)]);
    let submission = Submission {
        answers: &answers,
        ..rig.submission()
    };
    rig.submit_as(submission).await;
    let (hold, _job) = rig.start().await;
    let asked = rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    assert_eq!(asked, AskReply::Answered(pairs(&[("a", r#"{"x":1}"#)])));
    rig.finish(&hold).await;
}
