//! How a worker shares its slots out among its queues.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use taskferry_contract::{AnswerReply, Owner, QuestionRef, Status, TaskId, ToolDefinition};
use taskferry_testing::{ServerOptions, eventually, promptly, redis, stays};
use taskferry_worker::{AskRequest, Builder, HandlerResult, JobContext, QueueShare, ToolOutput};
use tokio::sync::Semaphore;

use crate::rig::{Rig, Running, SOON, owner, run, text, tool};

/// A read of several queues waits so long for an entry. What begins sooner was not left to its end.
const READ: Duration = Duration::from_secs(5);
/// How long what must not happen is looked for.
const WHILE: Duration = Duration::from_millis(300);

/// What jobs note of themselves. Each runs until it is let go.
#[derive(Clone)]
struct Notes {
    begun: Arc<Mutex<Vec<(String, Instant)>>>,
    running: Arc<Mutex<HashMap<String, usize>>>,
    most: Arc<Mutex<HashMap<String, usize>>>,
    gates: Arc<HashMap<String, Semaphore>>,
}

impl Notes {
    /// Of jobs on these queues, of which so many may end.
    fn of(queues: &[&str], may_end: usize) -> Self {
        let gates = queues.iter();
        let gates = gates.map(|queue| ((*queue).to_owned(), Semaphore::new(may_end)));
        Self {
            begun: Arc::default(),
            running: Arc::default(),
            most: Arc::default(),
            gates: Arc::new(gates.collect()),
        }
    }

    /// Adds a tool to each queue.
    fn add_to(&self, builder: Builder) -> Builder {
        let queues = self.gates.keys();
        queues.fold(builder, |builder, queue| {
            let (notes, queue) = (self.clone(), queue.clone());
            builder.tool(on(&queue), move |_job: JobContext| {
                let (notes, queue) = (notes.clone(), queue.clone());
                async move { notes.run(&queue).await }
            })
        })
    }

    async fn run(&self, queue: &str) -> HandlerResult {
        let begun = (queue.to_owned(), Instant::now());
        self.begun.lock().unwrap().push(begun);
        let now = {
            let mut running = self.running.lock().unwrap();
            let now = running.entry(queue.to_owned()).or_default();
            *now += 1;
            *now
        };
        {
            let mut most = self.most.lock().unwrap();
            let most = most.entry(queue.to_owned()).or_default();
            *most = now.max(*most);
        }
        self.gates[queue].acquire().await.unwrap().forget();
        *self.running.lock().unwrap().get_mut(queue).unwrap() -= 1;
        Ok(ToolOutput::text(queue))
    }

    /// Lets so many jobs of a queue end.
    fn let_go(&self, queue: &str, jobs: usize) {
        self.gates[queue].add_permits(jobs);
    }

    /// The queues of the jobs that began, in their order.
    fn order(&self) -> Vec<String> {
        let begun = self.begun.lock().unwrap();
        begun.iter().map(|(queue, _)| queue.clone()).collect()
    }

    fn begun(&self, queue: &str) -> usize {
        let order = self.order();
        order.iter().filter(|other| *other == queue).count()
    }

    fn most(&self, queue: &str) -> usize {
        self.most.lock().unwrap().get(queue).copied().unwrap_or(0)
    }
}

/// A tool of the name of its queue.
fn on(queue: &str) -> ToolDefinition {
    let mut tool = tool(queue);
    tool.queue = queue.parse().unwrap();
    tool
}

fn weighs(weight: u32) -> QueueShare {
    QueueShare {
        weight,
        ..QueueShare::default()
    }
}

fn bound(slots: u32) -> QueueShare {
    QueueShare {
        slots: Some(slots),
        ..QueueShare::default()
    }
}

fn with(builder: Builder, shares: &[(&str, QueueShare)]) -> Builder {
    shares.iter().fold(builder, |builder, (queue, share)| {
        builder.queue(&queue.parse().unwrap(), *share)
    })
}

async fn submit(rig: &Rig, queue: &str, jobs: usize) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for _ in 0..jobs {
        ids.push(rig.submit(&on(queue), "{}").await);
    }
    ids
}

/// How many entries of a queue were given to workers and not acked.
async fn given_out(rig: &Rig, queue: &str) -> i64 {
    let key = format!("tf:{{0}}:queue:{queue}");
    let pending: (i64, redis::Value, redis::Value, redis::Value) =
        rig.raw(&["XPENDING", &key, "workers"]).await;
    pending.0
}

async fn all_begun(notes: &Notes, jobs: usize) {
    eventually(SOON, "all have begun", async || notes.order().len() == jobs).await;
}

#[tokio::test]
async fn jobs_that_wait_begin_in_the_shares_of_their_queues() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 1000));
    submit(&rig, "heavy", 30).await;
    submit(&rig, "light", 30).await;
    let builder = notes.add_to(rig.builder().slots(1));
    let worker = run(with(builder, &[("heavy", weighs(3))]));
    all_begun(&notes, 60).await;
    let order = notes.order();
    let (both, rest) = order.split_at(40);
    for four in both.windows(4) {
        let light = four.iter().filter(|queue| *queue == "light").count();
        assert_eq!(light, 1, "{order:?}");
    }
    // The others have it for themselves, once it is alone.
    assert!(rest.iter().all(|queue| queue == "light"), "{order:?}");
    worker.stop().await;
}

#[tokio::test]
async fn queues_of_which_nothing_is_said_take_turns() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["a", "b", "c"], 1000));
    for queue in ["a", "b", "c"] {
        submit(&rig, queue, 5).await;
    }
    let worker = run(notes.add_to(rig.builder().slots(1)));
    all_begun(&notes, 15).await;
    for three in notes.order().windows(3) {
        let mut three = three.to_vec();
        three.sort_unstable();
        assert_eq!(three, ["a", "b", "c"]);
    }
    worker.stop().await;
}

#[tokio::test]
async fn the_lightest_queue_does_not_starve() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 1000));
    submit(&rig, "heavy", 150).await;
    submit(&rig, "light", 2).await;
    let builder = notes.add_to(rig.builder().slots(1));
    let worker = run(with(builder, &[("heavy", weighs(100))]));
    all_begun(&notes, 152).await;
    let order = notes.order();
    let light = order
        .iter()
        .enumerate()
        .filter(|(_, queue)| *queue == "light");
    let light: Vec<usize> = light.map(|(place, _)| place).collect();
    assert!(light[0] <= 100 && light[1] - light[0] == 101, "{light:?}");
    worker.stop().await;
}

#[tokio::test]
async fn several_free_slots_are_shared_out_by_weight_at_once() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 0));
    submit(&rig, "heavy", 20).await;
    submit(&rig, "light", 20).await;
    let builder = notes.add_to(rig.builder().slots(8));
    let worker = run(with(builder, &[("heavy", weighs(3))]));
    all_begun(&notes, 8).await;
    assert_eq!((notes.begun("heavy"), notes.begun("light")), (6, 2));
    for queue in ["heavy", "light"] {
        notes.let_go(queue, 20);
    }
    all_begun(&notes, 40).await;
    worker.stop().await;
}

/// How long a job that is queued now takes to begin.
async fn time_to_begin(rig: &Rig, notes: &Notes, queue: &str) -> Duration {
    let (before, since) = (notes.begun(queue), Instant::now());
    submit(rig, queue, 1).await;
    eventually(SOON, "it begins", async || notes.begun(queue) > before).await;
    let begun = notes.begun.lock().unwrap();
    let (_, last) = begun.iter().rfind(|(other, _)| other == queue).unwrap();
    last.saturating_duration_since(since)
}

#[tokio::test]
async fn a_queue_without_jobs_holds_up_no_other() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 1000));
    let builder = notes.add_to(rig.builder().slots(1));
    let worker = run(with(builder, &[("heavy", weighs(100))]));
    for queue in ["light", "heavy"] {
        promptly(Duration::from_millis(500), queue, async || {
            time_to_begin(&rig, &notes, queue).await
        })
        .await;
    }
    // Nor does it while the others have many.
    let all = notes.order().len() + 100;
    submit(&rig, "light", 100).await;
    all_begun(&notes, all).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_queue_takes_no_more_slots_than_its_bound_and_leaves_its_jobs_to_other_workers() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 0));
    submit(&rig, "heavy", 6).await;
    submit(&rig, "light", 12).await;
    let builder = notes.add_to(rig.builder().slots(8));
    let worker = run(with(builder, &[("heavy", bound(2))]));
    all_begun(&notes, 8).await;
    assert_eq!((notes.begun("heavy"), notes.begun("light")), (2, 6));
    stays(WHILE, "the others stay on the stream", async || {
        given_out(&rig, "heavy").await == 2 && notes.begun("heavy") == 2
    })
    .await;
    notes.let_go("light", 12);
    eventually(SOON, "the light ones go on", async || {
        notes.begun("light") == 12
    })
    .await;
    assert_eq!(notes.begun("heavy"), 2);
    // Another worker, with slots of its own.
    let others = Notes::of(&["heavy"], 1000);
    let other = run(others.add_to(rig.builder().slots(1)));
    eventually(SOON, "it takes them", async || others.begun("heavy") == 4).await;
    notes.let_go("heavy", 2);
    worker.stop().await;
    other.stop().await;
    assert_eq!((notes.most("heavy"), notes.most("light")), (2, 6));
}

#[tokio::test]
async fn what_waits_at_a_bound_begins_as_soon_as_there_is_room() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 0));
    let builder = notes.add_to(rig.builder().slots(8));
    let worker = run(with(builder, &[("heavy", bound(1))]));
    submit(&rig, "heavy", 5).await;
    // The worker reads the other queue meanwhile, and waits for what comes there.
    eventually(SOON, "one runs", async || notes.begun("heavy") == 1).await;
    promptly(READ / 5, "the next one begins", async || {
        let (before, since) = (notes.begun("heavy"), Instant::now());
        notes.let_go("heavy", 1);
        eventually(SOON, "it begins", async || notes.begun("heavy") > before).await;
        since.elapsed()
    })
    .await;
    notes.let_go("heavy", 5);
    eventually(SOON, "all have begun", async || notes.begun("heavy") == 5).await;
    assert_eq!(notes.most("heavy"), 1);
    worker.stop().await;
}

#[tokio::test]
async fn the_only_queue_of_a_worker_may_have_a_bound_too() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy"], 1000));
    submit(&rig, "heavy", 9).await;
    let builder = notes.add_to(rig.builder().slots(4));
    let worker = run(with(builder, &[("heavy", bound(2))]));
    all_begun(&notes, 9).await;
    assert!(notes.most("heavy") <= 2, "{}", notes.most("heavy"));
    promptly(
        Duration::from_millis(500),
        "it waits for more",
        async || time_to_begin(&rig, &notes, "heavy").await,
    )
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn an_entry_that_begins_nothing_leaves_room_again() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy"], 1000));
    let ids = submit(&rig, "heavy", 3).await;
    let key = format!("tf:{{0}}:task:{}", ids[0]);
    // Its record is gone, and its entry is not.
    rig.raw::<i64>(&["DEL", &key]).await;
    let active = "tf:{0}:active:key:alice";
    rig.raw::<i64>(&["ZREM", active, &ids[0].to_string()]).await;
    let builder = notes.add_to(rig.builder().slots(4));
    let worker = run(with(builder, &[("heavy", bound(1))]));
    promptly(READ / 2, "the others begin", async || {
        let since = Instant::now();
        all_begun(&notes, 2).await;
        since.elapsed()
    })
    .await;
    worker.stop().await;
}

/// Answers the question of a job.
async fn answer(rig: &Rig, task: TaskId) {
    let owner = owner();
    let key = "confirm";
    let owner = &owner;
    let stored = rig
        .store
        .answer_input(QuestionRef { task, owner, key }, r#"{"action":"accept"}"#);
    assert!(matches!(stored.await.unwrap(), AnswerReply::Stored { .. }));
}

#[tokio::test]
async fn a_job_that_waits_for_an_answer_leaves_its_queues_slot_too() {
    async fn asks(job: JobContext) -> HandlerResult {
        let question = AskRequest::elicitation("Go on?", json!({ "type": "object" }));
        let answer = job.ask("confirm", question).await?;
        Ok(ToolOutput::text(answer["action"].to_string()))
    }
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 0));
    let mut asking = on("heavy");
    asking.name = "asks".parse().unwrap();
    let builder = notes.add_to(rig.builder().slots(4));
    let builder = builder.tool(asking.clone(), asks);
    let worker = run(with(builder, &[("heavy", bound(1))]));
    let id = rig.submit(&asking, "{}").await;
    rig.has_status(id, Status::InputRequired).await;
    let other = submit(&rig, "heavy", 1).await;
    eventually(SOON, "the slot is free", async || notes.begun("heavy") == 1).await;
    // With its answer it waits until the queue has room again, and nobody else waits for that.
    answer(&rig, id).await;
    stays(WHILE, "it waits", async || {
        !rig.view(id).await.status.is_terminal()
    })
    .await;
    assert!(time_to_begin(&rig, &notes, "light").await < SOON);
    notes.let_go("light", 1);
    notes.let_go("heavy", 1);
    assert_eq!(text(&rig.end_of(id).await), "\"accept\"");
    assert_eq!(text(&rig.end_of(other[0]).await), "heavy");
    worker.stop().await;
}

/// A job of each of these callers, who are spread over the shards.
async fn one_of_each(rig: &Rig, callers: usize) -> Vec<TaskId> {
    let (heavy, mut ids) = (on("heavy"), Vec::new());
    for number in 0..callers {
        let owner = Owner::named(&format!("key:{number}")).unwrap();
        ids.push(rig.submit_as(rig.submission(&heavy, &owner)).await);
    }
    ids
}

async fn begun_and_idle_again(worker: Running, notes: &Notes, rig: &Rig) {
    for round in 1..=2 {
        let ids = one_of_each(rig, 8).await;
        for id in ids {
            rig.end_of(id).await;
        }
        assert_eq!(notes.begun("heavy"), 8 * round);
    }
    assert_eq!(notes.most("heavy"), 1);
    worker.stop().await;
}

#[tokio::test]
async fn the_last_slot_of_a_queue_serves_several_shards() {
    for queues in [&["heavy"][..], &["heavy", "light"]] {
        let rig = Rig::on(ServerOptions::default(), 3).await;
        let notes = Notes::of(queues, 1000);
        let builder = notes.add_to(rig.builder().slots(4));
        let worker = run(with(builder, &[("heavy", bound(1))]));
        begun_and_idle_again(worker, &notes, &rig).await;
    }
}

#[tokio::test]
async fn a_worker_that_ends_after_some_jobs_keeps_to_bounds_and_turns() {
    let (rig, notes) = (Rig::new().await, Notes::of(&["heavy", "light"], 1000));
    submit(&rig, "heavy", 8).await;
    submit(&rig, "light", 8).await;
    let builder = notes.add_to(rig.builder().slots(1).max_jobs(8));
    let shares = [("heavy", weighs(3))];
    let worker = with(builder, &shares).build().unwrap();
    worker
        .run(tokio_util::sync::CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((notes.begun("heavy"), notes.begun("light")), (6, 2));
    let builder = notes.add_to(rig.builder().slots(4).max_jobs(8));
    let worker = with(builder, &[("light", bound(1))]).build().unwrap();
    worker
        .run(tokio_util::sync::CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((notes.begun("heavy"), notes.begun("light")), (8, 8));
    assert_eq!(notes.most("light"), 1);
}

#[tokio::test]
async fn a_share_of_a_queue_that_no_tool_is_on_is_refused() {
    let rig = Rig::new().await;
    let notes = Notes::of(&["heavy"], 0);
    let shares = [("heavi", weighs(101)), ("heavy", bound(1))];
    let refused = with(notes.add_to(rig.builder()), &shares).build();
    let refused = refused.unwrap_err().0;
    assert_eq!(
        refused,
        [
            "[queues] heavi: weight must be from 1 to 100",
            "[queues] heavi: no tool of this worker is on that queue; did you mean `heavy`?"
        ]
    );
}
