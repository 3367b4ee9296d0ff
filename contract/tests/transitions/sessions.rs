//! Sessions of the legacy protocol.

use std::time::Duration;

use taskferry_contract::{
    DeliveryCursor, Lifetime, Owner, RequestNote, Requestor, SenderId, Session, SessionId,
    StreamHold, Submission, TaskId,
};

use crate::rig::Rig;
use crate::samples::sender;

const IDLE: Duration = Duration::from_secs(60);

fn session(owner: Owner) -> Session {
    Session {
        revision: "2025-11-25".to_owned(),
        owner,
        capabilities: r#"{"elicitation":{}}"#.to_owned(),
        log_level: None,
        client: "inspector 1.0".to_owned(),
    }
}

/// A session of the rig's owner.
async fn opened(rig: &Rig) -> SessionId {
    let session = session(rig.owner.clone());
    let id = SessionId::random();
    rig.store.open_session(id, &session, IDLE).await.unwrap();
    id
}

#[tokio::test]
async fn a_session_reads_back_as_it_was_opened() {
    let rig = Rig::new().await;
    for owner in [rig.owner.clone(), Owner::anonymous()] {
        let opened = session(owner);
        let id = SessionId::random();
        rig.store.open_session(id, &opened, IDLE).await.unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(rig.store.session(id).await.unwrap(), Some(opened));
    }
    let unknown = rig.store.session(SessionId::random()).await.unwrap();
    assert_eq!(unknown, None);
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used_and_ends_for_good() {
    let mut rig = Rig::new().await;
    let id = opened(&rig).await;
    let key = rig.store.keys().session(id);
    rig.store.touch_session(id, IDLE * 10).await.unwrap();
    let left: u64 = rig.raw("PTTL", &key).await;
    assert!((590_000..=600_000).contains(&left), "{left}");

    assert!(rig.store.end_session(id).await.unwrap());
    assert!(!rig.store.end_session(id).await.unwrap());
    rig.store.touch_session(id, IDLE).await.unwrap();
    assert_eq!(rig.store.session(id).await.unwrap(), None);
    assert_eq!(rig.raw::<i64>("EXISTS", &key).await, 0);
}

#[tokio::test]
async fn a_session_whose_owner_cannot_be_read_is_nobodys() {
    let mut rig = Rig::new().await;
    let id = opened(&rig).await;
    let key = rig.store.keys().session(id);
    rig.raw::<()>("HSET", (key, "owner", "two words")).await;
    let owner = rig.store.session(id).await.unwrap().unwrap().owner;
    assert!(owner != rig.owner && !owner.is_anonymous() && owner.as_str() != "*");
}

/// A connection of a front end.
fn sender_id(front_end: &str) -> SenderId {
    sender(front_end).id
}

fn held(before: Option<&str>) -> StreamHold {
    StreamHold::Held {
        before: before.map(sender_id),
    }
}

#[tokio::test]
async fn a_sessions_stream_is_the_one_that_was_opened_last() {
    let mut rig = Rig::new().await;
    let id = SessionId::random();
    assert_eq!(rig.store.session_stream(id).await.unwrap(), None);
    for (front_end, before) in [("r1", None), ("r2", Some("r1")), ("r2", None)] {
        let name = sender_id(front_end);
        let open = rig.store.open_session_stream(id, &name, IDLE);
        assert_eq!(open.await.unwrap(), held(before));
        let there = rig.store.session_stream(id).await.unwrap();
        assert_eq!(there, Some(front_end.parse().unwrap()));
    }
    let left: u64 = rig.raw("PTTL", rig.store.keys().session_stream(id)).await;
    assert!((50_000..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_sessions_stream_is_kept_and_dropped_by_its_own_connection_alone() {
    let mut rig = Rig::new().await;
    let id = SessionId::random();
    let [first, second] = ["r1", "r2"].map(sender_id);
    let keep = rig.store.keep_session_stream(id, &first, IDLE);
    assert_eq!(keep.await.unwrap(), held(None), "there was none");
    let open = rig.store.open_session_stream(id, &second, IDLE / 10);
    assert_eq!(open.await.unwrap(), held(Some("r1")));

    let keep = rig.store.keep_session_stream(id, &first, IDLE);
    assert_eq!(keep.await.unwrap(), StreamHold::Taken);
    assert!(!rig.store.drop_session_stream(id, &first).await.unwrap());
    let there = rig.store.session_stream(id).await.unwrap();
    assert_eq!(there, Some("r2".parse().unwrap()));

    let keep = rig.store.keep_session_stream(id, &second, IDLE);
    assert_eq!(keep.await.unwrap(), held(None));
    let left: u64 = rig.raw("PTTL", rig.store.keys().session_stream(id)).await;
    assert!((50_000..=60_000).contains(&left), "{left}");
    for _again in 0..2 {
        assert!(rig.store.drop_session_stream(id, &second).await.unwrap());
        assert_eq!(rig.store.session_stream(id).await.unwrap(), None);
    }
    let keep = rig.store.keep_session_stream(id, &first, IDLE);
    assert_eq!(keep.await.unwrap(), held(None));
}

#[tokio::test]
async fn a_session_knows_the_tasks_it_asked_for_until_they_expire() {
    let mut rig = Rig::new().await;
    let id = SessionId::random();
    let now = i64::try_from(rig.store.now_ms().await.unwrap()).unwrap();
    let tasks: Vec<TaskId> = (0..3).map(|_| TaskId::random(rig.shard)).collect();
    for (task, expires) in tasks.iter().zip([now + 60_000, now + 90_000, now - 1]) {
        let lives = Lifetime {
            from_ms: now - 2,
            until_ms: expires,
        };
        let note = rig.store.note_session_task(id, *task, lives);
        note.await.unwrap();
    }
    let live = rig.store.session_tasks(id, 10).await.unwrap();
    assert_eq!(live, [tasks[1], tasks[0]], "those that live longest first");
    assert_eq!(rig.store.session_tasks(id, 1).await.unwrap(), [tasks[1]]);
    let expiry: i64 = rig
        .raw("PEXPIRETIME", rig.store.keys().session_tasks(id))
        .await;
    assert_eq!(expiry, now + 90_000);
    let none = rig.store.session_tasks(SessionId::random(), 10).await;
    assert_eq!(none.unwrap(), []);
}

#[tokio::test]
async fn a_session_forgets_tasks_that_expired_and_those_it_is_done_with() {
    let mut rig = Rig::new().await;
    let id = SessionId::random();
    let now = i64::try_from(rig.store.now_ms().await.unwrap()).unwrap();
    let lives = |from_ms, until_ms| Lifetime { from_ms, until_ms };
    let [expired, ended, live] = [(); 3].map(|()| TaskId::random(rig.shard));
    for (task, lives) in [
        (expired, lives(now - 1000, now - 500)),
        (ended, lives(now - 2000, now + 60_000)),
        (live, lives(now, now + 90_000)),
    ] {
        let note = rig.store.note_session_task(id, task, lives);
        note.await.unwrap();
    }
    let key = rig.store.keys().session_tasks(id);
    let kept: Vec<String> = rig.raw("ZRANGE", (&key, 0, -1)).await;
    assert_eq!(kept, [ended.to_string(), live.to_string()]);

    let told = DeliveryCursor {
        progress: Some("0.5".to_owned()),
        line: Some("17-0".to_owned()),
    };
    for (task, until_ms) in [(ended, now + 60_000), (live, now + 90_000)] {
        let note = rig.store.note_delivery_cursor(id, task, &told, until_ms);
        note.await.unwrap();
        assert!(rig.store.has_session_task(id, task).await.unwrap());
    }
    let expiry: i64 = rig
        .raw("PEXPIRETIME", rig.store.keys().session_told(id))
        .await;
    assert_eq!(expiry, now + 90_000);
    rig.store.forget_session_tasks(id, &[]).await.unwrap();
    let over = [ended, expired];
    rig.store.forget_session_tasks(id, &over).await.unwrap();
    assert!(!rig.store.has_session_task(id, ended).await.unwrap());
    assert_eq!(rig.store.session_tasks(id, 10).await.unwrap(), [live]);
    let known = rig.store.delivery_cursors(id, now).await.unwrap();
    assert_eq!(known, [(live, told)].into());
    let none = rig.store.delivery_cursors(id, now + 90_000).await.unwrap();
    assert!(none.is_empty(), "it expired");
    assert_eq!(
        rig.raw::<i64>("EXISTS", rig.store.keys().session_told(id))
            .await,
        0
    );
}

#[tokio::test]
async fn a_record_tells_which_session_asked_for_it() {
    let rig = Rig::new().await;
    let session = SessionId::random();
    let text = session.to_string();
    let id = rig
        .submit_as(Submission {
            session: Some(&text),
            progress_token: Some("7"),
            ..rig.submission()
        })
        .await;
    let requestor = Requestor {
        session,
        progress_token: Some("7".to_owned()),
    };
    assert_eq!(rig.store.requestor(id).await.unwrap(), Some(requestor));
    let other = rig.submit().await;
    assert_eq!(rig.store.requestor(other).await.unwrap(), None);
    rig.leaves_jobs();
}

#[tokio::test]
async fn the_job_behind_a_plain_call_is_found_by_its_session_alone() {
    let mut rig = Rig::new().await;
    let (session, task) = (SessionId::random(), TaskId::random(rig.shard));
    let note = rig.store.note_session_call(session, "d1", task, IDLE);
    assert!(!note.await.unwrap(), "nobody cancelled it");
    let found = rig.store.session_call(session, "d1").await.unwrap();
    assert_eq!(found, Some(task));
    for (session, request) in [(session, "d2"), (SessionId::random(), "d1")] {
        let found = rig.store.session_call(session, request).await.unwrap();
        assert_eq!(found, None);
    }
    let key = rig.store.keys().session_call(session, "d1");
    let left: u64 = rig.raw("PTTL", &key).await;
    assert!((50_000..=60_000).contains(&left), "{left}");
    // Once it was answered, it goes sooner; never later.
    for (kept, most) in [(IDLE / 2, 30_000), (IDLE, 30_000)] {
        let store = &rig.store;
        let shortened = store.shorten_session_request(session, "d1", kept);
        shortened.await.unwrap();
        let left: u64 = rig.raw("PTTL", &key).await;
        assert!((20_000..=most).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn a_cancel_of_a_request_that_never_began_is_forgotten() {
    let mut rig = Rig::new().await;
    let (session, task) = (SessionId::random(), TaskId::random(rig.shard));
    let nothing = RequestNote {
        job: None,
        cancelled: false,
    };
    let unknown = rig.store.cancel_session_request(session, "a").await;
    assert_eq!(unknown.unwrap(), None);
    let kept: Vec<String> = rig.raw("KEYS", "*:session*").await;
    assert_eq!(kept, Vec::<String>::new());
    let note = rig.store.session_request(session, "a").await;
    assert_eq!(note.unwrap(), nothing);
    // So a later call under its id is not cancelled.
    let begin = rig.store.begin_session_request(session, "a", IDLE);
    begin.await.unwrap();
    let cancelled = rig.store.note_session_call(session, "a", task, IDLE).await;
    assert!(!cancelled.unwrap());
}

#[tokio::test]
async fn a_request_is_cancelled_from_its_beginning_to_the_next_one_under_its_id() {
    let mut rig = Rig::new().await;
    let (session, task) = (SessionId::random(), TaskId::random(rig.shard));
    let standing = async |rig: &Rig| rig.store.session_request(session, "a").await.unwrap();
    for _ in 0..2 {
        let begin = rig.store.begin_session_request(session, "a", IDLE);
        begin.await.unwrap();
        assert!(!standing(&rig).await.cancelled);
        // Twice, since the answer to the first may have been lost.
        for _ in 0..2 {
            let early = rig.store.cancel_session_request(session, "a").await;
            assert_eq!(early.unwrap(), None, "no job stands behind it yet");
        }
        let noted = rig.store.note_session_call(session, "a", task, IDLE).await;
        assert!(noted.unwrap(), "it was cancelled before");
    }
    let begin = rig.store.begin_session_request(session, "a", IDLE);
    begin.await.unwrap();
    let noted = rig.store.note_session_call(session, "a", task, IDLE).await;
    assert!(!noted.unwrap(), "the one before it was");
    for _ in 0..2 {
        let late = rig.store.cancel_session_request(session, "a").await;
        assert_eq!(late.unwrap(), Some(task));
    }
    let cancelled = RequestNote {
        job: Some(task),
        cancelled: true,
    };
    assert_eq!(standing(&rig).await, cancelled);
    for name in ["a", "cancelled-a"] {
        let key = rig.store.keys().session_call(session, name);
        assert!(
            rig.raw::<i64>("PTTL", key).await > 0,
            "{name} does not stay"
        );
    }
}
