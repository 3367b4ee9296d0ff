//! `ask_input`, park and `answer_input`: questions to the client.

use taskferry_contract::{
    AnswerReply, AskReply, CancelReply, ClaimReply, FinishReply, NewQuestion, Owner, ParkReply,
    Question, QuestionRef, Status,
};

use crate::rig::Rig;
use crate::samples::{QUESTION, asking, pairs};

fn question(key: &str) -> Question {
    Question {
        key: key.to_owned(),
        request: QUESTION.to_owned(),
        client_task: None,
    }
}

#[tokio::test]
async fn a_question_is_open_until_its_answer_comes() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    for key in ["a", "b"] {
        let asked = rig.store.ask_input(&hold, &[asking(key)]).await;
        assert_eq!(asked.unwrap(), AskReply::Asked(Vec::new()));
    }
    assert_eq!(rig.status(id).await, Some(Status::InputRequired));
    let open = rig.store.questions(id).await.unwrap();
    assert_eq!(open, [question("a"), question("b")]);

    let stored = rig
        .store
        .answer_input(rig.question(id, "a"), r#"{"x":1}"#)
        .await;
    assert_eq!(stored.unwrap(), AnswerReply::Stored { open: 1 });
    assert_eq!(rig.status(id).await, Some(Status::InputRequired));
    assert_eq!(rig.store.questions(id).await.unwrap(), [question("b")]);
    let stored = rig.store.answer_input(rig.question(id, "b"), "2").await;
    assert_eq!(stored.unwrap(), AnswerReply::Stored { open: 0 });
    assert_eq!(rig.status(id).await, Some(Status::Working));
    assert_eq!(rig.store.questions(id).await.unwrap(), []);

    let answered = rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    assert_eq!(answered, AskReply::Answered(pairs(&[("a", r#"{"x":1}"#)])));
    assert_eq!(rig.status(id).await, Some(Status::Working));
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_repeated_question_is_the_same_question() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    for _ in 0..2 {
        let asked = rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
        assert_eq!(asked, AskReply::Asked(Vec::new()));
    }
    let record = rig.record(id).await;
    assert_eq!(
        (record["asked"].as_str(), record["open"].as_str()),
        ("1", "1")
    );
    rig.finish(&hold).await;
}

#[tokio::test]
async fn questions_asked_together_are_open_together_but_for_those_with_an_answer() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    // Of a key that comes twice the first request counts.
    let other = NewQuestion {
        request: "{}",
        ..asking("a")
    };
    let both = [asking("a"), asking("b"), other];
    let asked = rig.store.ask_input(&hold, &both).await.unwrap();
    assert_eq!(asked, AskReply::Asked(Vec::new()));
    let open = rig.store.questions(id).await.unwrap();
    assert_eq!(open, [question("a"), question("b")]);
    let counts = async |rig: &mut Rig| {
        let record = rig.record(id).await;
        (record["asked"].clone(), record["open"].clone())
    };
    assert_eq!(counts(&mut rig).await, ("2".into(), "2".into()));

    let answer = async |rig: &Rig, key: &str| {
        let stored = rig.store.answer_input(rig.question(id, key), "1").await;
        stored.unwrap()
    };
    assert_eq!(answer(&rig, "b").await, AnswerReply::Stored { open: 1 });
    let three = [asking("c"), asking("b"), asking("a")];
    let asked = rig.store.ask_input(&hold, &three).await.unwrap();
    assert_eq!(asked, AskReply::Asked(pairs(&[("b", "1")])));
    assert_eq!(counts(&mut rig).await, ("3".into(), "2".into()));

    assert_eq!(answer(&rig, "a").await, AnswerReply::Stored { open: 1 });
    assert_eq!(answer(&rig, "c").await, AnswerReply::Stored { open: 0 });
    let before = rig.record(id).await;
    let asked = rig.store.ask_input(&hold, &three).await.unwrap();
    let all = pairs(&[("c", "1"), ("b", "1"), ("a", "1")]);
    assert_eq!(asked, AskReply::Answered(all));
    assert_eq!(rig.record(id).await, before, "nothing changes");
    rig.finish(&hold).await;
}

#[tokio::test]
async fn ignores_answers_that_nothing_waits_for() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    let answer = async |rig: &Rig, key: &str| {
        let stored = rig.store.answer_input(rig.question(id, key), "1").await;
        stored.unwrap()
    };
    assert_eq!(answer(&rig, "b").await, AnswerReply::Ignored, "never asked");
    assert_eq!(answer(&rig, "a").await, AnswerReply::Stored { open: 0 });
    let before = rig.record(id).await;
    assert_eq!(
        answer(&rig, "a").await,
        AnswerReply::Ignored,
        "answered before"
    );
    assert_eq!(rig.record(id).await, before);
    rig.store.ask_input(&hold, &[asking("c")]).await.unwrap();
    rig.finish(&hold).await;
    assert_eq!(
        answer(&rig, "c").await,
        AnswerReply::Ignored,
        "the job has ended"
    );
}

#[tokio::test]
async fn an_answer_of_another_owner_finds_nothing() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    for owner in [Owner::named("bob").unwrap(), Owner::anonymous()] {
        let stored = rig
            .store
            .answer_input(
                QuestionRef {
                    task: id,
                    owner: &owner,
                    key: "a",
                },
                "1",
            )
            .await
            .unwrap();
        assert_eq!(stored, AnswerReply::NotFound);
    }
    assert_eq!(rig.store.questions(id).await.unwrap(), [question("a")]);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_parked_job_holds_nothing_and_its_last_answer_queues_it_again() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    for key in ["a", "b"] {
        rig.store.ask_input(&hold, &[asking(key)]).await.unwrap();
    }
    assert_eq!(rig.store.park(&hold).await.unwrap(), ParkReply::Parked);
    assert_eq!((rig.queue_length().await, rig.pending().await), (0, 0));
    assert_eq!(rig.status(id).await, Some(Status::InputRequired));

    rig.store
        .answer_input(rig.question(id, "b"), "2")
        .await
        .unwrap();
    assert_eq!(rig.queue_length().await, 0);
    assert_eq!(rig.status(id).await, Some(Status::InputRequired));
    rig.store
        .answer_input(rig.question(id, "a"), "1")
        .await
        .unwrap();
    assert_eq!(rig.queue_length().await, 1);
    assert_eq!(rig.status(id).await, Some(Status::Queued));

    let (second, job) = rig.start().await;
    assert_eq!((job.attempt.0, job.crashes, job.retries), (2, 0, 0));
    let mut answers: Vec<_> = job.answers.into_iter().collect();
    answers.sort();
    let expected = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(answers, expected);
    assert_eq!(rig.finish(&second).await, FinishReply::Stored);
}

#[tokio::test]
async fn does_not_park_when_nothing_is_open() {
    let rig = Rig::new().await;
    let hold = rig.running().await;
    assert_eq!(
        rig.store.park(&hold).await.unwrap(),
        ParkReply::Answered,
        "never asked"
    );
    rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    let id = hold.claimed.id;
    rig.store
        .answer_input(rig.question(id, "a"), "1")
        .await
        .unwrap();
    assert_eq!(rig.store.park(&hold).await.unwrap(), ParkReply::Answered);
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
}

#[tokio::test]
async fn a_parked_job_can_be_cancelled_and_its_answer_comes_too_late() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    rig.store.park(&hold).await.unwrap();
    let cancelled = rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    assert!(matches!(cancelled, CancelReply::Cancelled(_)));
    let late = rig
        .store
        .answer_input(rig.question(id, "a"), "1")
        .await
        .unwrap();
    assert_eq!(late, AnswerReply::Ignored);
    assert_eq!(rig.queue_length().await, 0);
}

#[tokio::test]
async fn a_job_that_expires_while_parked_or_asked_leaves_nothing() {
    let mut rig = Rig::new().await;
    let parked = rig.running().await;
    rig.store.ask_input(&parked, &[asking("a")]).await.unwrap();
    rig.store.park(&parked).await.unwrap();
    rig.expire(parked.claimed.id).await;
    let asked = rig.running().await;
    rig.store.ask_input(&asked, &[asking("a")]).await.unwrap();
    rig.expire(asked.claimed.id).await;
    for hold in [&parked, &asked] {
        let late = rig
            .store
            .answer_input(rig.question(hold.claimed.id, "a"), "1");
        assert_eq!(late.await.unwrap(), AnswerReply::NotFound);
        assert_eq!(rig.record(hold.claimed.id).await.len(), 0);
    }
    // The worker that waited for the answer is dead as well: whoever reclaims the entry drops it.
    rig.lapse_entry(&asked).await;
    let claimed = crate::samples::job_in(rig.reclaim_by(&"w2".parse().unwrap()).await);
    let reply = rig.claim(&claimed).await;
    assert!(matches!(reply, ClaimReply::Gone(_)), "{reply:?}");
}

#[tokio::test]
async fn an_answer_that_comes_between_attempts_waits_for_the_next_one() {
    let mut rig = Rig::new().await;
    let first = rig.running().await;
    let id = first.claimed.id;
    rig.store.ask_input(&first, &[asking("a")]).await.unwrap();
    let second = rig.crash(&first).await;
    assert_eq!(rig.status(id).await, Some(Status::Working));
    let stored = rig
        .store
        .answer_input(rig.question(id, "a"), "1")
        .await
        .unwrap();
    assert_eq!(stored, AnswerReply::Stored { open: 0 });
    assert_eq!(rig.status(id).await, Some(Status::Working));

    rig.store.ask_input(&second, &[asking("b")]).await.unwrap();
    rig.retry(&second).await;
    rig.store
        .answer_input(rig.question(id, "b"), "2")
        .await
        .unwrap();
    assert_eq!(rig.status(id).await, Some(Status::Queued));
    assert_eq!(rig.queue_length().await, 0, "due, not queued twice");
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (third, job) = rig.start().await;
    assert_eq!(job.answers.len(), 2);
    let again = rig.store.ask_input(&third, &[asking("b")]).await.unwrap();
    assert_eq!(again, AskReply::Answered(pairs(&[("b", "2")])));
    rig.finish(&third).await;
}
