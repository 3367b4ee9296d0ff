//! Everything that there is to do, done as the role that does it.

use std::collections::HashMap;

use taskferry_contract::{
    FrontEndId, LetterFilter, Lifetime, LogLevel, NewQuestion, Outcome, PendingFrom, Replaces,
    Replication, Role, Session, SessionId, Store, Submission, TaskId,
};
use tokio_util::sync::CancellationToken;

use crate::cluster::{
    KEEP, a_question_is_answered, a_rate_is_used_up, a_session_lives, a_tool_is_paused,
    calls_are_left, jobs_are_lost, jobs_run, jobs_wait_in_line, the_fleet_comes_and_goes,
};
use crate::rig::{Rig, SOON};
use crate::roles::{queues, store_of};
use crate::samples::{look_at, worker};

/// The user of each connection that there was, by its address.
pub(super) type Users = HashMap<String, String>;

/// Notes who has which connection now. A store takes its connections with it, so this comes before one is dropped.
async fn note_users(rig: &mut Rig, users: &mut Users) {
    let clients: String = rig.raw("CLIENT", "LIST").await;
    for client in clients.lines() {
        let field = |name: &str| {
            let named = client.split(' ').find_map(|field| field.strip_prefix(name));
            named.unwrap_or_default().to_owned()
        };
        users.insert(field("addr="), field("user="));
    }
}

/// A process is the first to use this Redis, which knows neither scripts nor the contract's version.
async fn is_the_first(rig: &mut Rig, store: &Store) {
    rig.raw::<()>("SCRIPT", "FLUSH").await;
    rig.raw::<()>("DEL", store.keys().contract()).await;
    store.ready().await.unwrap();
}

/// What front ends do beside what the tests of single transitions have.
async fn a_front_end_reads(rig: &mut Rig) {
    rig.raw::<()>("FUNCTION", "FLUSH").await;
    let store = &rig.store;
    store.install_functions(Replaces::Same).await.unwrap();
    store.registry().await.unwrap();
    store.fleet().await.unwrap();
    store.pauses_of(rig.shard).await.unwrap();
    let id = SessionId::random();
    let task = a_session_has_a_task(rig, id).await;
    a_task_is_followed(rig, task).await;
    rig.store.end_session(id).await.unwrap();
}

/// A session, and a task that it asked for.
async fn a_session_has_a_task(rig: &Rig, id: SessionId) -> TaskId {
    let (store, front_end) = (&rig.store, FrontEndId::random());
    let opened = Session {
        revision: "2025-11-25".to_owned(),
        owner: rig.owner.clone(),
        capabilities: "{}".to_owned(),
        client: "test".to_owned(),
        log_level: Some(LogLevel::Debug),
    };
    store.open_session(id, &opened, KEEP).await.unwrap();
    store.session(id).await.unwrap();
    store.touch_session(id, KEEP).await.unwrap();
    let session = id.to_string();
    let submission = Submission {
        session: Some(&session),
        log_level: Some(LogLevel::Debug),
        waiter: Some(&front_end),
        ..rig.submission()
    };
    let task = rig.submit_as(submission).await;
    let lives = Lifetime {
        from_ms: 0,
        until_ms: i64::MAX / 2,
    };
    store.note_session_task(id, task, lives).await.unwrap();
    store.session_tasks(id, 10).await.unwrap();
    store.has_session_task(id, task).await.unwrap();
    store.delivery_cursors(id, 0).await.unwrap();
    store.session_stream(id).await.unwrap();
    store.requestor(task).await.unwrap();
    task
}

/// What is read of a task, from its first line of log on to its result.
async fn a_task_is_followed(rig: &mut Rig, task: TaskId) {
    let question = NewQuestion {
        key: "a",
        request: "{}",
    };
    let (hold, _) = rig.start().await;
    let lines = [(LogLevel::Info, "a line".to_owned())];
    rig.at_work
        .report_log(&hold, &lines)
        .await
        .unwrap()
        .unwrap();
    rig.store.log_lines(task, None, 10).await.unwrap();
    rig.at_work.ask_input(&hold, &[question]).await.unwrap();
    rig.store.questions(task).await.unwrap();
    rig.store.client_task(task, "a").await.unwrap();
    rig.store
        .answer_input(rig.question(task, "a"), "1")
        .await
        .unwrap();
    let long = Outcome::Completed {
        result: format!("{{\"a\":\"{}\"}}", "x".repeat(100 << 10)),
        is_error: false,
        message: None,
    };
    rig.at_work.finish(&hold, &long).await.unwrap();
    rig.store.view_with_outcome(task).await.unwrap();
    // As a version left it that did not note how large it is.
    let record = rig.store.keys().record(task);
    rig.raw::<()>("HDEL", (record, "outcome_bytes")).await;
    rig.store.view_with_size(task).await.unwrap();
    rig.store.list_owned(&rig.owner, None, 10).await.unwrap();
}

/// A task that is accepted once Redis replicas have it, of which none are asked for here.
async fn a_task_is_replicated(rig: &mut Rig) {
    let replication = Replication {
        replicas: 0,
        timeout: SOON,
    };
    let store = rig.store.clone().with_replication(Some(replication));
    let submission = rig.submission();
    store.submit(&submission).await.unwrap();
    // Twice over one connection of the pool.
    store.cancel(submission.id, &rig.owner, "no").await.unwrap();
}

/// Bells are heard.
async fn bells_ring(rig: &mut Rig, users: &mut Users) {
    let front_end = rig.store.front_end_bell(&FrontEndId::random());
    let worker = rig.at_work.worker_bell(&rig.worker);
    for bell in [front_end, worker] {
        let (stop, heard) = (CancellationToken::new(), CancellationToken::new());
        let rung = heard.clone();
        let listen = bell.listen(&stop, move |_| rung.cancel());
        tokio::select! {
            () = listen => {}
            () = async {
                heard.cancelled().await;
                note_users(rig, users).await;
            } => {}
        }
    }
}

/// A read that waits for entries is ended.
pub(super) async fn a_read_is_ended(rig: &Rig) {
    let mut blocked = rig.at_work.connections().blocking().await.unwrap();
    let id = blocked.client_id();
    let queues = queues();
    let reader = taskferry_contract::StreamReader {
        worker: &rig.worker,
        shard: rig.shard,
        queues: &queues,
    };
    let read = rig.at_work.read_new(&mut blocked, reader, 1, Some(SOON));
    let unblock = async {
        rig.until_blocked(id).await;
        rig.at_work.connections().unblock(id).await.unwrap();
    };
    let (read, ()) = tokio::join!(read, unblock);
    assert!(read.unwrap_or_default().is_empty());
}

/// A front end keeps the queues going.
async fn a_front_end_keeps_house(rig: &mut Rig) {
    rig.store.queues_with_tools().await.unwrap();
    let queues = queues();
    let waiting = rig.store.queues_that_wait(rig.shard, &queues);
    waiting.await.unwrap();
    rig.store.listeners(rig.shard).await.unwrap();
    rig.store.listens(&rig.worker).await.unwrap();
    rig.store.forward(rig.stream(), 10).await.unwrap();
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let silent = ("CREATECONSUMER", queue, "workers", "silent");
    rig.raw::<i64>("XGROUP", silent).await;
    let swept = rig.store.forget_silent_workers(rig.stream()).await;
    assert!(swept.unwrap() > 0);
    rig.tool.crash_limit = 1;
    let hold = rig.running().await;
    rig.lapse(&hold).await;
    let from = PendingFrom::default();
    let requeued = rig.store.requeue(rig.stream(), &from, look_at(10));
    assert_eq!(requeued.await.unwrap().found.len(), 1);
    rig.tool.crash_limit = 3;
}

/// What workers do beside what the tests of single transitions have.
async fn a_worker_reads(rig: &mut Rig) {
    let from = rig.stream();
    let post = (rig.shard, Some(&rig.tool.queue));
    let held = rig.at_work.hold_housekeeping(post, "w1", KEEP, 1).await;
    held.unwrap();
    rig.at_work.drop_housekeeping(post, "w1").await.unwrap();
    rig.at_work.listeners(rig.shard).await.unwrap();
    let queues = queues();
    rig.at_work.names_of_tools(&queues).await.unwrap();
    let waiting = rig.at_work.queues_that_wait(rig.shard, &queues);
    waiting.await.unwrap();
    rig.at_work.forget_silent_workers(from).await.unwrap();
    let digest = taskferry_contract::DefinitionDigest::of(&rig.tool);
    rig.at_work.is_held(&rig.tool.name, &digest).await.unwrap();
}

/// A worker ends a job whose identical calls share it.
async fn a_shared_job_ends(rig: &mut Rig) {
    let scope = taskferry_contract::Scope {
        owner: &rig.owner,
        session: None,
    };
    let alike = taskferry_contract::Alias::identical(scope, &"same".into()).unwrap();
    let submission = Submission {
        plain: true,
        keep: KEEP,
        alias: Some(&alike),
        queue_cap: 100,
        owner_cap: 100,
        owner_bytes: 1 << 30,
        ..rig.submission()
    };
    let hold = rig.running_as(submission).await;
    rig.finish(&hold).await;
}

/// A worker ends a job whose record stays for longer after its end than it was to live.
async fn a_job_is_kept(rig: &mut Rig) {
    let submission = Submission {
        ttl: SOON,
        keep: KEEP,
        ..rig.submission()
    };
    let hold = rig.running_as(submission).await;
    rig.finish(&hold).await;
}

/// A front end cancels a job that runs, and gives its slot on past one that has expired; and one that is due.
async fn jobs_are_cancelled(rig: &mut Rig) {
    let hold = rig.running().await;
    let waits = rig.submit().await;
    let reply = rig.claim(&rig.next().await).await;
    assert!(matches!(reply, taskferry_contract::ClaimReply::Waits(_)));
    rig.expire(waits).await;
    let id = hold.claimed.id;
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
    let hold = rig.running().await;
    let last = crate::samples::failed("no");
    let retry = rig.at_work.schedule_retry(&hold, KEEP, "later", &last);
    retry.await.unwrap();
    let id = hold.claimed.id;
    rig.store.cancel(id, &rig.owner, "no").await.unwrap();
}

/// What an operator looks at.
async fn an_operator_looks(store: &Store, rig: &Rig) {
    store.libraries().await.unwrap();
    store.tools().await.unwrap();
    store.workers().await.unwrap();
    store.survey().await.unwrap();
    store.server_overview().await.unwrap();
    store.queue_overview(&rig.tool.queue).await.unwrap();
    store.shard_overview(&rig.queues()).await.unwrap();
    let letters = store
        .dead_letters(&LetterFilter::default(), 10)
        .await
        .unwrap();
    if let Some(letter) = letters.first() {
        store.dead_letter_at(letter.id).await.unwrap();
        store.revivable(letter).await.unwrap();
    }
    store
        .dead_letter_of(TaskId::random(rig.shard))
        .await
        .unwrap();
}

async fn a_line_is_logged(rig: &mut Rig) {
    let hold = rig.running().await;
    let lines = [(LogLevel::Info, "a line".to_owned())];
    let logged = rig.at_work.report_log(&hold, &lines).await;
    logged.unwrap().unwrap();
    rig.finish(&hold).await;
}

/// Does all that there is to do, each as its role. The users that did it.
pub(super) async fn all_is_done(rig: &mut Rig) -> Users {
    let mut users = Users::new();
    rig.store = store_of(rig, Role::FrontEnd).await;
    rig.operator = store_of(rig, Role::Operator).await;
    rig.at_work = store_of(rig, Role::Worker).await;
    let viewer = store_of(rig, Role::Viewer).await;
    for store in [rig.store.clone(), rig.at_work.clone()] {
        is_the_first(rig, &store).await;
    }
    rig.store.secrets().await.unwrap();
    the_fleet_comes_and_goes(rig).await;
    let tools = [rig.tool.clone()];
    rig.raw::<()>("SCRIPT", "FLUSH").await;
    rig.operator.install_functions(Replaces::Any).await.unwrap();
    rig.operator.register_tools(&tools).await.unwrap();
    rig.at_work.register_tools(&tools).await.unwrap();
    let beating = worker("w1");
    rig.at_work.beat(&beating, &[]).await.unwrap();
    rig.at_work.beat_again(&beating.id, &[]).await.unwrap();
    let level = "everysec".parse().unwrap();
    for store in [&rig.store, &rig.at_work] {
        store.check_durability(level).await.unwrap_err();
    }
    a_front_end_reads(rig).await;
    a_session_lives(rig).await;
    a_worker_reads(rig).await;
    a_front_end_keeps_house(rig).await;
    for role in [Role::Worker, Role::ForeignWorker] {
        note_users(rig, &mut users).await;
        rig.at_work = store_of(rig, role).await;
        rig.tool.attempts = 3;
        rig.raw::<()>("SCRIPT", "FLUSH").await;
        rig.ensure_group().await;
        a_read_is_ended(rig).await;
        rig.at_work.libraries().await.unwrap();
        jobs_run(rig).await;
        a_question_is_answered(rig).await;
        calls_are_left(rig).await;
        a_shared_job_ends(rig).await;
        a_job_is_kept(rig).await;
        jobs_are_cancelled(rig).await;
        a_line_is_logged(rig).await;
        jobs_are_lost(rig).await;
        a_tool_is_paused(rig).await;
        a_rate_is_used_up(rig).await;
        jobs_wait_in_line(rig).await;
        bells_ring(rig, &mut users).await;
        // The next one begins anew with the same key.
        rig.raw::<()>("DEL", "tf:{0}:idem:key:alice,k").await;
    }
    a_task_is_replicated(rig).await;
    let hold = rig.running().await;
    let queue = [rig.tool.queue.clone()];
    let jobs = viewer.jobs_of_tool(&rig.tool.name, &queue).await;
    assert_eq!(jobs.unwrap().begun, 1);
    rig.retry(&hold).await;
    an_operator_looks(&viewer, rig).await;
    note_users(rig, &mut users).await;
    users
}
