//! Doorbells: who waits is rung, once per change, and nobody else.

use std::time::Duration;

use taskferry_contract::{
    Doorbell, FrontEndId, LeaveReply, Leaver, NewQuestion, Owner, ProgressReport, Ring, Submission,
    TaskId, TaskView,
};
use taskferry_testing::eventually_some;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::rig::{LEASE, Rig, SOON};
use crate::samples::{asking, sender, tool};

const ONE_QUESTION: &[NewQuestion<'_>] = &[asking("a")];

/// A bell with someone at it.
pub(crate) struct Listener {
    rings: UnboundedReceiver<Ring>,
    _stop: DropGuard,
    _task: JoinHandle<()>,
}

impl Listener {
    #[expect(
        clippy::disallowed_methods,
        reason = "the guard beside the handle ends the task with the test"
    )]
    pub(crate) async fn at(bell: Doorbell) -> Self {
        let (ring, rings) = unbounded_channel();
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let task = tokio::spawn(async move {
            bell.listen(&stop, |why| {
                // Fails when the test is over and nobody listens any more.
                let _over = ring.send(why);
            })
            .await;
        });
        let mut listener = Self {
            rings,
            _stop: guard,
            _task: task,
        };
        assert_eq!(listener.next().await, Ring::Connected);
        listener
    }

    pub(crate) async fn next(&mut self) -> Ring {
        let next = tokio::time::timeout(SOON, self.rings.recv()).await;
        next.expect("the bell rings soon").unwrap()
    }

    /// What rang until now: up to a ring that the caller made last.
    async fn until(&mut self, last: TaskId) -> usize {
        let mut before = 0;
        while self.next().await != Ring::Task(last) {
            before += 1;
        }
        before
    }
}

/// Publishes behind everything that was published before, and counts what came for the channel since the last time.
async fn rung(rig: &mut Rig, listener: &mut Listener, channel: &str) -> usize {
    let mark = TaskId::random(rig.shard);
    let channel = format!("{}{channel}", rig.store.keys().base(rig.shard));
    rig.raw::<i64>("PUBLISH", (channel, mark.to_string())).await;
    listener.until(mark).await
}

async fn watch(rig: &Rig, id: TaskId, front_end: &FrontEndId) -> Option<TaskView> {
    rig.store.watch(id, &rig.owner, front_end).await.unwrap()
}

#[tokio::test]
async fn rings_who_waits_once_per_change() {
    let mut rig = Rig::new().await;
    let front_end: FrontEndId = "r1".parse().unwrap();
    let mut at = Listener::at(rig.store.front_end_bell(&front_end)).await;
    let id = rig
        .submit_as(Submission {
            waiter: Some(&front_end),
            ..rig.submission()
        })
        .await;
    let (hold, _) = rig.start().await;
    rig.store.renew_lease(&hold, LEASE).await.unwrap();
    assert_eq!(
        rung(&mut rig, &mut at, "bell:r1").await,
        0,
        "nothing a caller sees changed"
    );

    rig.store
        .report_progress(&hold, &ProgressReport::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 1, "progress");
    rig.store.ask_input(&hold, ONE_QUESTION).await.unwrap();
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 1, "a question");
    rig.store
        .answer_input(rig.question(id, "a"), "1")
        .await
        .unwrap();
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 1, "an answer");
    rig.store
        .answer_input(rig.question(id, "a"), "1")
        .await
        .unwrap();
    assert_eq!(
        rung(&mut rig, &mut at, "bell:r1").await,
        0,
        "an answer that is ignored"
    );
    let why = Some("draining");
    let released = rig.store.release_after_run(&hold, Duration::ZERO, why);
    released.await.unwrap();
    assert_eq!(
        rung(&mut rig, &mut at, "bell:r1").await,
        1,
        "a release that says why"
    );
    let (hold, _) = rig.start().await;
    rig.retry(&hold).await;
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 1, "a retry");
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 1, "the end");
    rig.finish(&hold).await;
    rig.store.cancel(id, &rig.owner, "late").await.unwrap();
    assert_eq!(
        rung(&mut rig, &mut at, "bell:r1").await,
        0,
        "nothing after the end"
    );
}

#[tokio::test]
async fn rings_when_a_question_may_be_sent_again() {
    let mut rig = Rig::new().await;
    let front_end: FrontEndId = "r1".parse().unwrap();
    let hold = rig.running().await;
    let id = hold.claimed.id;
    rig.store.ask_input(&hold, &[asking("a")]).await.unwrap();
    watch(&rig, id, &front_end).await.unwrap();
    let mut at = Listener::at(rig.store.front_end_bell(&front_end)).await;
    let (question, sender) = (rig.question(id, "a"), sender("c1"));
    let sent = rig.store.deliver_input(question, Duration::ZERO, &sender);
    sent.await.unwrap();
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 0, "it was sent");
    for rings in [1, 0] {
        let recalled = rig.store.recall_input(id, &rig.owner, &sender.id).await;
        assert_eq!(recalled.unwrap(), rings);
        let rung = rung(&mut rig, &mut at, "bell:r1").await;
        assert_eq!(rung as u64, rings, "it was given back");
    }
    rig.finish(&hold).await;
}

#[tokio::test]
async fn rings_every_way_a_job_can_end() {
    let mut rig = Rig::new().await;
    rig.tool.attempts = 1;
    rig.tool.crash_limit = 1;
    let front_end: FrontEndId = "r1".parse().unwrap();
    let mut at = Listener::at(rig.store.front_end_bell(&front_end)).await;

    let cancelled = rig.submit().await;
    watch(&rig, cancelled, &front_end).await.unwrap();
    rig.store.cancel(cancelled, &rig.owner, "no").await.unwrap();
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 1, "a cancel");

    let dead = rig.running().await;
    watch(&rig, dead.claimed.id, &front_end).await.unwrap();
    rig.retry(&dead).await;
    assert_eq!(
        rung(&mut rig, &mut at, "bell:r1").await,
        1,
        "the last retry"
    );

    let poison = rig.running().await;
    watch(&rig, poison.claimed.id, &front_end).await.unwrap();
    rig.lapse(&poison).await;
    let claimed = crate::samples::job_in(rig.reclaim_by(&"w2".parse().unwrap()).await);
    rig.claim(&claimed).await;
    assert_eq!(
        rung(&mut rig, &mut at, "bell:r1").await,
        1,
        "the crash limit"
    );
}

#[tokio::test]
async fn watching_notes_a_front_end_once_and_shows_the_task() {
    let mut rig = Rig::new().await;
    rig.tool.crash_limit = 1;
    let id = rig.submit().await;
    assert!(
        rig.view(id).await.unwrap().last_crash,
        "all that a poll shows"
    );
    let front_ends: Vec<FrontEndId> = ["r1", "r11", "1"].map(|id| id.parse().unwrap()).into();
    for front_end in front_ends.iter().chain(&front_ends) {
        let seen = watch(&rig, id, front_end).await;
        assert_eq!(seen, rig.view(id).await);
    }
    assert_eq!(rig.record(id).await["waiters"], "r1,r11,1");

    let front_end = &front_ends[0];
    let bob = Owner::named("bob").unwrap();
    assert_eq!(rig.store.watch(id, &bob, front_end).await.unwrap(), None);
    assert_eq!(
        watch(&rig, TaskId::random(rig.shard), front_end).await,
        None
    );

    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
    let late: FrontEndId = "r3".parse().unwrap();
    let seen = watch(&rig, id, &late).await.unwrap();
    assert!(seen.status.is_terminal());
    assert_eq!(
        seen.result, None,
        "whoever watches many would hold them all"
    );
    assert!(
        rig.store
            .view_with_outcome(id)
            .await
            .unwrap()
            .unwrap()
            .result
            .is_some()
    );
    assert_eq!(
        rig.record(id).await["waiters"],
        "r1,r11,1",
        "nothing rings after the end"
    );
    rig.expire(id).await;
    assert_eq!(watch(&rig, id, front_end).await, None);
    assert_eq!(rig.record(id).await.len(), 0);
}

#[tokio::test]
async fn rings_the_worker_that_holds_the_job_on_answers_and_cancels() {
    let mut rig = Rig::new().await;
    let mut inbox = Listener::at(rig.store.worker_bell(&rig.worker)).await;
    let hold = rig.running().await;
    let id = hold.claimed.id;
    for key in ["a", "b"] {
        rig.store.ask_input(&hold, &[asking(key)]).await.unwrap();
    }
    assert_eq!(rung(&mut rig, &mut inbox, "inbox:w1").await, 0);
    rig.store
        .answer_input(rig.question(id, "a"), "1")
        .await
        .unwrap();
    assert_eq!(inbox.next().await, Ring::Task(id));
    rig.store.park(&hold).await.unwrap();
    rig.store
        .answer_input(rig.question(id, "b"), "2")
        .await
        .unwrap();
    assert_eq!(
        rung(&mut rig, &mut inbox, "inbox:w1").await,
        0,
        "a parked job has no holder"
    );

    let (_hold, _) = rig.start().await;
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    assert_eq!(inbox.next().await, Ring::Task(id));
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    assert_eq!(
        rung(&mut rig, &mut inbox, "inbox:w1").await,
        0,
        "it was told"
    );
}

fn plain(rig: &Rig) -> Submission<'_> {
    Submission {
        plain: true,
        keep: Duration::from_secs(60),
        ..rig.submission()
    }
}

#[tokio::test]
async fn rings_the_worker_that_holds_a_plain_call_when_its_last_caller_left() {
    let mut rig = Rig::new().await;
    let front_end: FrontEndId = "r1".parse().unwrap();
    let mut inbox = Listener::at(rig.store.worker_bell(&rig.worker)).await;
    let mut at = Listener::at(rig.store.front_end_bell(&front_end)).await;
    let queued = Submission {
        waiter: Some(&front_end),
        ..plain(&rig)
    };
    let queued = rig.submit_as(queued).await;
    let left = async |rig: &Rig, id| {
        let leaver = Leaver {
            sharer: id,
            on_purpose: false,
        };
        let left = rig.store.leave_call(id, &rig.owner, leaver, "left").await;
        assert_eq!(left.unwrap(), LeaveReply::Cancelled);
    };
    left(&rig, queued).await;
    assert_eq!(
        rung(&mut rig, &mut inbox, "inbox:w1").await,
        0,
        "nobody runs it"
    );
    assert_eq!(rung(&mut rig, &mut at, "bell:r1").await, 1, "the end");
    let running = rig.running_as(plain(&rig)).await.claimed.id;
    left(&rig, running).await;
    assert_eq!(inbox.next().await, Ring::Task(running));
}

#[tokio::test]
async fn rings_when_tools_change() {
    let rig = Rig::new().await;
    let front_end = FrontEndId::random();
    let mut at = Listener::at(rig.store.front_end_bell(&front_end)).await;
    let tools = [tool("a"), tool("b")];
    assert_eq!(rig.store.register_tools(&tools).await.unwrap(), 2);
    assert_eq!(at.next().await, Ring::Tools);
    assert_eq!(rig.store.register_tools(&tools).await.unwrap(), 0);
    assert!(rig.store.remove_tool("a").await.unwrap());
    assert_eq!(at.next().await, Ring::ToolRemoved("a".parse().unwrap()));
}

#[tokio::test]
async fn a_bell_mends_itself_and_says_so() {
    let mut rig = Rig::new().await;
    let front_end: FrontEndId = "r1".parse().unwrap();
    let mut at = Listener::at(rig.store.front_end_bell(&front_end)).await;
    rig.server.restart().await;
    assert_eq!(at.next().await, Ring::Connected);
    rig.redis = rig.server.raw().await;
    let id = TaskId::random(rig.shard);
    let mut redis = rig.redis.clone();
    let heard = eventually_some(SOON, "the bell is heard", async || {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg("tf:{0}:bell:r1").arg(id.to_string());
        let heard: i64 = publish.query_async(&mut redis).await.unwrap();
        (heard > 0).then_some(heard)
    });
    assert_eq!(heard.await, 1);
    assert_eq!(at.next().await, Ring::Task(id));
}
