//! `note_client_task`, `poll_client_task`, `drop_client_tasks`, and what they change in `deliver_input` and `answer_input`: a client
//! answers a question by a task of its own.

use std::time::Duration;

use taskferry_contract::{
    AnswerReply, ClientTaskReport, ClientTaskStatus, HeldAttempt, OrphanedTask, Owner, PollReply,
    QuestionRef, ReportOccasion, ReportReply, SendRightReply, Sender, SessionId, Status, TaskId,
};
use taskferry_testing::{eventually, eventually_some};

use crate::rig::Rig;
use crate::samples::{asking, sender, sender_of, session};

const AGAIN: Duration = Duration::from_secs(10);
/// Longer than a test.
const SLOW: Duration = Duration::from_secs(300);
const QUICK: Duration = Duration::from_millis(1);
/// How long what comes after [`QUICK`] may take; less than [`AGAIN`].
const DUE: Duration = Duration::from_secs(5);

async fn asked(rig: &Rig) -> (HeldAttempt, TaskId) {
    let hold = rig.running().await;
    let asked = rig.store.ask_input(&hold, &[asking("a")]).await;
    asked.unwrap();
    let id = hold.claimed.id;
    (hold, id)
}

fn said(
    by: ReportOccasion<'_>,
    status: ClientTaskStatus,
    poll: Option<Duration>,
) -> ClientTaskReport<'_> {
    ClientTaskReport {
        session: session(1),
        by,
        status,
        message: "",
        poll,
    }
}

fn made(poll: Duration) -> ClientTaskReport<'static> {
    said(
        ReportOccasion::Making("t1"),
        ClientTaskStatus::Working,
        Some(poll),
    )
}

async fn note(rig: &Rig, id: TaskId, said: ClientTaskReport<'_>) -> ReportReply {
    let note = rig.store.note_client_task(rig.question(id, "a"), said);
    note.await.unwrap()
}

async fn poll(rig: &Rig, id: TaskId, replica: &str) -> PollReply {
    poll_by(rig, rig.question(id, "a"), &sender(replica)).await
}

async fn poll_by(rig: &Rig, question: QuestionRef<'_>, sender: &Sender) -> PollReply {
    let poll = rig.store.poll_client_task(question, AGAIN, sender);
    poll.await.unwrap()
}

/// What is sent at once: whether it fetches, and its number.
async fn sent(rig: &Rig, id: TaskId, replica: &str) -> (bool, u64) {
    what_is_sent(poll(rig, id, replica).await)
}

/// What is sent when it is due, after [`QUICK`].
async fn due(rig: &Rig, id: TaskId, replica: &str) -> (bool, u64) {
    let reply = eventually_some(DUE, "it is due", async || {
        let reply = poll(rig, id, replica).await;
        (!matches!(reply, PollReply::Wait { .. })).then_some(reply)
    });
    what_is_sent(reply.await)
}

fn what_is_sent(reply: PollReply) -> (bool, u64) {
    match reply {
        PollReply::Send {
            fetch,
            number,
            task,
            ..
        } => {
            assert_eq!(task, "t1");
            (fetch, number)
        }
        other => panic!("nothing to send, but {other:?}"),
    }
}

async fn waits(rig: &Rig, id: TaskId, replica: &str) -> Duration {
    match poll(rig, id, replica).await {
        PollReply::Wait { next } => next,
        other => panic!("nothing to wait for, but {other:?}"),
    }
}

async fn answer(rig: &Rig, id: TaskId, from: SessionId) -> AnswerReply {
    let question = rig.question(id, "a");
    let answer = rig
        .store
        .answer_by_client_task(question, from, r#"{"x":1}"#);
    answer.await.unwrap()
}

async fn dropped(rig: &Rig, id: TaskId, from: SessionId) -> Vec<OrphanedTask> {
    let dropped = rig.store.drop_client_tasks(id, &rig.owner, from);
    dropped.await.unwrap()
}

fn orphan(task: &str) -> Vec<OrphanedTask> {
    vec![OrphanedTask {
        key: "a".to_owned(),
        task: task.to_owned(),
    }]
}

#[tokio::test]
async fn a_task_is_asked_for_until_its_outcome_is_the_answer() {
    let mut rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    assert_eq!(note(&rig, id, made(QUICK)).await, ReportReply::Noted);
    assert_eq!(
        note(&rig, id, made(QUICK)).await,
        ReportReply::Noted,
        "again"
    );
    let open = rig.store.questions(id).await.unwrap();
    let remote = open[0].client_task.clone().unwrap();
    assert_eq!((remote.task.as_str(), remote.session), ("t1", session(1)));
    assert_eq!(due(&rig, id, "c1").await, (false, 1));
    assert!(waits(&rig, id, "c1").await > AGAIN / 2, "it has no answer");

    let working = said(
        ReportOccasion::Poll(1),
        ClientTaskStatus::Working,
        Some(SLOW),
    );
    assert_eq!(note(&rig, id, working).await, ReportReply::Noted);
    assert!(
        waits(&rig, id, "c1").await > SLOW / 2,
        "as the client wishes"
    );
    assert_eq!(poll(&rig, id, "c2").await, PollReply::Taken);

    let stale = said(ReportOccasion::Poll(7), ClientTaskStatus::Failed, None);
    assert_eq!(note(&rig, id, stale).await, ReportReply::Ignored);
    let completed = said(ReportOccasion::Poll(1), ClientTaskStatus::Completed, None);
    assert_eq!(note(&rig, id, completed).await, ReportReply::Noted);
    assert_eq!(sent(&rig, id, "c1").await, (true, 2));
    assert_eq!(answer(&rig, id, session(2)).await, AnswerReply::Ignored);
    let stored = answer(&rig, id, session(1)).await;
    assert_eq!(stored, AnswerReply::Stored { open: 0 });
    assert_eq!(rig.status(id).await, Some(Status::Working));
    assert_eq!(answer(&rig, id, session(1)).await, AnswerReply::Ignored);
    assert_eq!(poll(&rig, id, "c1").await, PollReply::Ignored);
    assert!(!rig.record(id).await.contains_key("client_task:a"));
    assert_eq!(dropped(&rig, id, session(1)).await, []);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_task_that_wants_input_is_asked_for_its_result_once_and_then_how_it_stands() {
    let rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    let waiting = said(
        ReportOccasion::Making("t1"),
        ClientTaskStatus::InputRequired,
        Some(QUICK),
    );
    assert_eq!(note(&rig, id, waiting).await, ReportReply::Noted);
    assert_eq!(sent(&rig, id, "c1").await, (true, 1));
    assert_eq!(due(&rig, id, "c1").await, (false, 2));
    let still = said(
        ReportOccasion::Poll(2),
        ClientTaskStatus::InputRequired,
        Some(QUICK),
    );
    assert_eq!(note(&rig, id, still).await, ReportReply::Noted);
    assert_eq!(
        due(&rig, id, "c1").await,
        (false, 3),
        "not for its result again"
    );
    rig.finish(&hold).await;
}

#[tokio::test]
async fn another_sender_takes_over_and_repeats_what_has_no_answer() {
    let rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    note(&rig, id, made(QUICK)).await;
    assert_eq!(due(&rig, id, "c1").await, (false, 1));
    let recalled = rig
        .store
        .recall_input(id, &rig.owner, &sender("c1").id)
        .await;
    assert_eq!(recalled.unwrap(), 1);
    assert_eq!(due(&rig, id, "c2").await, (false, 2));
    let late = said(ReportOccasion::Poll(1), ClientTaskStatus::Completed, None);
    assert_eq!(note(&rig, id, late).await, ReportReply::Ignored);
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_sender_that_takes_over_before_anything_is_due_fetches_again_when_it_is() {
    let mut rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    let wants = said(
        ReportOccasion::Making("t1"),
        ClientTaskStatus::InputRequired,
        Some(SLOW),
    );
    assert_eq!(note(&rig, id, wants).await, ReportReply::Noted);
    assert_eq!(sent(&rig, id, "c1").await, (true, 1));
    let remote = rig.record(id).await["client_task:a"].clone();
    assert!(remote.contains(r#""fetching":true"#), "{remote}");
    let recalled = rig
        .store
        .recall_input(id, &rig.owner, &sender("c1").id)
        .await;
    assert_eq!(recalled.unwrap(), 1);
    // What was asked over the other connection is forgotten, whenever the next comes.
    assert!(waits(&rig, id, "c2").await > SLOW / 2);
    let remote = rig.record(id).await["client_task:a"].clone();
    assert!(!remote.contains("fetching"), "{remote}");
    rig.finish(&hold).await;
}

#[tokio::test]
async fn what_a_client_says_of_its_task_is_kept_and_nothing_is_no_message() {
    let mut rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    note(&rig, id, made(QUICK)).await;
    assert_eq!(due(&rig, id, "c1").await, (false, 1));
    for (number, message) in [(1, "half way"), (2, "")] {
        let told = ClientTaskReport {
            message,
            ..said(
                ReportOccasion::Poll(number),
                ClientTaskStatus::Working,
                Some(QUICK),
            )
        };
        assert_eq!(note(&rig, id, told).await, ReportReply::Noted);
        let remote = rig.record(id).await["client_task:a"].clone();
        let kept = remote.contains(r#""message":"half way""#);
        assert_eq!(kept, number == 1, "{remote}");
        assert_eq!(remote.contains("message"), number == 1, "{remote}");
        assert_eq!(due(&rig, id, "c1").await, (false, number + 1));
    }
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_question_that_a_clients_task_will_answer_is_put_to_no_other_session_until_that_is_abandoned()
 {
    let rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    note(&rig, id, made(QUICK)).await;
    let deliver = async |number: u8, abandoned: Duration| {
        let sender = sender_of("c9", session(number));
        let question = rig.question(id, "a");
        let deliver = rig.store.deliver_input(question, abandoned, &sender);
        deliver.await.unwrap()
    };
    assert_eq!(
        deliver(1, SLOW).await,
        SendRightReply::Ignored,
        "it is asked for"
    );
    assert_eq!(deliver(2, SLOW).await, SendRightReply::Taken);
    eventually(DUE, "it is abandoned", async || {
        matches!(deliver(2, QUICK).await, SendRightReply::Send { .. })
    })
    .await;
    assert_eq!(poll(&rig, id, "c9").await, PollReply::Ignored);
    assert_eq!(dropped(&rig, id, session(2)).await, [], "another's");
    assert_eq!(dropped(&rig, id, session(1)).await, orphan("t1"));
    assert_eq!(dropped(&rig, id, session(1)).await, [], "once");
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_task_that_comes_too_late_is_to_be_cancelled() {
    let rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    let direct = rig.store.answer_input(rig.question(id, "a"), "1").await;
    assert_eq!(direct.unwrap(), AnswerReply::Stored { open: 0 });
    assert_eq!(note(&rig, id, made(SLOW)).await, ReportReply::Late);
    assert_eq!(dropped(&rig, id, session(1)).await, orphan("t1"));
    rig.finish(&hold).await;
    let again = said(
        ReportOccasion::Making("t2"),
        ClientTaskStatus::Working,
        Some(SLOW),
    );
    assert_eq!(note(&rig, id, again).await, ReportReply::Late);
    assert_eq!(dropped(&rig, id, session(1)).await, orphan("t2"));
}

#[tokio::test]
async fn the_end_of_the_job_leaves_its_clients_tasks_to_be_cancelled_but_for_those_that_ended() {
    let rig = Rig::new().await;
    for (status, left) in [
        (ClientTaskStatus::Working, orphan("t1")),
        (ClientTaskStatus::InputRequired, orphan("t1")),
        (ClientTaskStatus::Completed, Vec::new()),
        (ClientTaskStatus::Failed, Vec::new()),
    ] {
        let (hold, id) = asked(&rig).await;
        note(
            &rig,
            id,
            said(ReportOccasion::Making("t1"), status, Some(SLOW)),
        )
        .await;
        assert_eq!(dropped(&rig, id, session(1)).await, [], "it is waited for");
        let cancelled = rig.store.cancel(id, &rig.owner, "no").await;
        cancelled.unwrap();
        assert_eq!(poll(&rig, id, "c1").await, PollReply::Ignored);
        assert_eq!(dropped(&rig, id, session(1)).await, left);
        rig.finish(&hold).await;
    }
}

#[tokio::test]
async fn nobody_else_can_note_ask_for_or_drop_a_clients_task() {
    let mut rig = Rig::new().await;
    let (hold, id) = asked(&rig).await;
    let never = rig
        .store
        .note_client_task(rig.question(id, "never"), made(SLOW))
        .await;
    assert_eq!(never.unwrap(), ReportReply::Ignored);
    note(&rig, id, made(SLOW)).await;
    let second = said(
        ReportOccasion::Making("t2"),
        ClientTaskStatus::Working,
        Some(SLOW),
    );
    assert_eq!(
        note(&rig, id, second).await,
        ReportReply::Late,
        "it has one"
    );
    assert_eq!(dropped(&rig, id, session(1)).await, orphan("t2"));
    let other = poll_by(&rig, rig.question(id, "a"), &sender_of("c2", session(2))).await;
    assert_eq!(other, PollReply::Ignored);
    let before = rig.record(id).await;
    let bob = Owner::named("bob").unwrap();
    let of_bob = QuestionRef {
        owner: &bob,
        ..rig.question(id, "a")
    };
    let noted = rig.store.note_client_task(of_bob, made(SLOW)).await;
    assert_eq!(noted.unwrap(), ReportReply::NotFound);
    let polled = poll_by(&rig, of_bob, &sender("c1")).await;
    assert_eq!(polled, PollReply::NotFound);
    assert_eq!(
        rig.store
            .drop_client_tasks(id, &bob, session(1))
            .await
            .unwrap(),
        []
    );
    assert_eq!(rig.record(id).await, before);
    rig.finish(&hold).await;
}
