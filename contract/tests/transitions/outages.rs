//! Redis down, frozen, restarted or read-only: errors come soon and say that they pass, and everything works again
//! without a restart of ours.

use std::time::{Duration, Instant};

use taskferry_contract::{
    Error, FinishReply, RedisSettings, Role, Shards, Status, Store, StreamReader, TaskId,
};
use taskferry_testing::{AppendOnly, ServerOptions, eventually, eventually_some};

use crate::rig::{LEASE, Rig, SOON};
use crate::samples::patient;

/// What a test calls quick.
const QUICK: Duration = Duration::from_secs(10);

/// Fails unless the calls all fail soon, as something that passes.
async fn assert_down(rig: &Rig) {
    let start = Instant::now();
    let errors = [
        rig.store.view(TaskId::random(rig.shard)).await.err(),
        rig.store.submit(&rig.submission()).await.err(),
        rig.store.connections().blocking().await.err(),
    ];
    for error in errors {
        let error = error.expect("Redis is down");
        assert!(error.is_transient(), "{error:?}");
    }
    assert!(
        start.elapsed() < QUICK,
        "three errors took {:?}",
        start.elapsed()
    );
}

async fn works_again(rig: &Rig) {
    eventually(SOON, "the store works again", async || {
        rig.store.now_ms().await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_store_without_redis_fails_soon_and_works_once_there_is_one() {
    let mut rig = Rig::new().await;
    rig.server.kill9();
    let settings = RedisSettings::new(&rig.server.url());
    rig.store = Store::new(&settings).unwrap();
    assert_down(&rig).await;
    let check = rig.store.check_server(Role::Worker, &[]).await.unwrap_err();
    assert!(check.is_transient(), "{check:?}");
    rig.server.restart().await;
    works_again(&rig).await;
    rig.store.check_server(Role::Worker, &[]).await.unwrap();
    rig.store.ready().await.unwrap();
}

#[tokio::test]
async fn a_restart_with_its_data_loses_nothing_that_was_accepted() {
    let options = ServerOptions {
        append_only: AppendOnly::Always,
        ..ServerOptions::default()
    };
    let mut rig = Rig::on(options, Shards::default()).await;
    let hold = rig.running().await;
    let queued = rig.submit().await;
    rig.server.kill9();
    assert_down(&rig).await;
    rig.server.restart().await;
    works_again(&rig).await;
    rig.redis = rig.server.raw().await;

    let renewed = rig.store.renew_lease(&hold, LEASE).await.unwrap();
    assert!(
        matches!(renewed, taskferry_contract::RenewReply::Renewed(_)),
        "{renewed:?}"
    );
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
    assert_eq!(rig.status(queued).await, Some(Status::Queued));
    let (hold, _) = rig.start().await;
    assert_eq!(hold.claimed.id, queued);
    assert_eq!(rig.finish(&hold).await, FinishReply::Stored);
}

#[tokio::test]
async fn a_restart_without_data_forgets_old_tasks_and_takes_new_ones() {
    let mut rig = Rig::new().await;
    let old = rig.running().await;
    rig.server.restart().await;
    works_again(&rig).await;
    rig.redis = rig.server.raw().await;
    assert_eq!(rig.view(old.claimed.id).await, None);
    let gone = FinishReply::Refused(taskferry_contract::Refused::Gone);
    assert_eq!(rig.finish(&old).await, gone);
    rig.submit().await;
    rig.ensure_group().await;
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_frozen_redis_fails_within_the_time_limit_and_is_used_again() {
    let mut rig = Rig::new().await;
    let mut settings = RedisSettings::new(&rig.server.url());
    settings.response_timeout = Duration::from_millis(200);
    rig.store = Store::new(&settings).unwrap();
    rig.store.now_ms().await.unwrap();
    // One exclusive connection waits in the pool: asking whether it still lives must not hang.
    drop(rig.store.connections().blocking().await.unwrap());
    rig.server.pause();
    let start = Instant::now();
    let error = rig.store.now_ms().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(start.elapsed() < QUICK, "it took {:?}", start.elapsed());
    let error = rig.store.connections().blocking().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    rig.server.resume();
    works_again(&rig).await;
    eventually(SOON, "exclusive connections work again", async || {
        rig.store.connections().blocking().await.is_ok()
    })
    .await;
    // What follows may take longer than this store waits.
    rig.store = Store::new(&patient(&rig.server.url())).unwrap();
    let hold = rig.running().await;
    rig.finish(&hold).await;
}

#[tokio::test]
async fn a_server_that_became_read_only_is_asked_on_a_fresh_connection() {
    let mut rig = Rig::new().await;
    let before = client_of(&rig).await;
    rig.raw::<()>("REPLICAOF", ("127.0.0.1", 1)).await;
    let error = rig.store.submit(&rig.submission()).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let Error::Redis { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(source.code(), Some("READONLY"));
    let after = client_of(&rig).await;
    assert_ne!(before, after, "the connection is the same");

    rig.raw::<()>("REPLICAOF", ("NO", "ONE")).await;
    rig.submit().await;
    rig.leaves_jobs();
}

/// The id of the connection on which the store sends its commands: the last to have sent TIME.
async fn client_of(rig: &Rig) -> String {
    let mut redis = rig.redis.clone();
    eventually_some(SOON, "the store's connection is listed", async || {
        rig.store.now_ms().await.ok()?;
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST");
        let clients: String = list.query_async(&mut redis).await.unwrap();
        let line = clients.lines().find(|line| line.contains(" cmd=time "))?;
        Some(line.split(' ').next()?.to_owned())
    })
    .await
}

#[tokio::test]
async fn a_blocking_read_ends_with_its_server_and_its_connection_is_not_used_again() {
    let mut rig = Rig::new().await;
    let mut connection = rig.store.connections().blocking().await.unwrap();
    let client_id = connection.client_id();
    let (store, worker, tool) = (rig.store.clone(), rig.worker.clone(), rig.tool.clone());
    let source = StreamReader {
        worker: &worker,
        shard: rig.shard,
        queues: std::slice::from_ref(&tool.queue),
    };
    let block = Some(Duration::from_secs(60));
    let (read, ()) = tokio::join!(store.read_new(&mut connection, source, 1, block), async {
        rig.until_blocked(client_id).await;
        rig.server.kill9();
    });
    let error = read.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    drop(connection);
    rig.server.restart().await;
    works_again(&rig).await;
    rig.redis = rig.server.raw().await;
    rig.ensure_group().await;
    rig.submit().await;
    let (hold, _) = rig.start().await;
    rig.finish(&hold).await;
}

#[tokio::test]
async fn asks_for_more_exclusive_connections_than_there_are_do_not_wait_for_ever() {
    let rig = Rig::new().await;
    let mut held = Vec::new();
    let error = loop {
        match rig.store.connections().blocking().await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
        assert!(held.len() < 1_000);
    };
    assert!(error.is_transient(), "{error:?}");
    held.pop();
    rig.store.connections().blocking().await.unwrap();
}
