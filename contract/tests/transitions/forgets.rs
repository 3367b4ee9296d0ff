//! `forget_worker`: a worker that left is no consumer any more, unless entries are pending for it.

use taskferry_contract::{QueueName, QueueStream};

use crate::rig::Rig;
use crate::samples::worker;

async fn consumers(rig: &mut Rig) -> usize {
    let queue = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    let all: Vec<redis::Value> = rig.raw("XINFO", ("CONSUMERS", queue, "workers")).await;
    all.len()
}

fn never_read() -> QueueName {
    "never-read".parse().unwrap()
}

#[tokio::test]
async fn a_worker_without_entries_is_forgotten_and_one_with_some_stays() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let forget = async |rig: &Rig| rig.store.forget_worker(&rig.worker, rig.stream()).await;
    assert!(!forget(&rig).await.unwrap(), "it runs a job");
    assert_eq!(consumers(&mut rig).await, 1);
    rig.finish(&hold).await;
    assert!(forget(&rig).await.unwrap());
    assert_eq!(consumers(&mut rig).await, 0);
    assert!(forget(&rig).await.unwrap(), "nothing is left to forget");
}

#[tokio::test]
async fn a_queue_without_a_group_is_told_apart() {
    let rig = Rig::new().await;
    let never = never_read();
    let stream = QueueStream {
        queue: &never,
        ..rig.stream()
    };
    let refused = rig.store.forget_worker(&rig.worker, stream).await;
    assert!(refused.unwrap_err().is_no_group());
}

#[tokio::test]
async fn silent_workers_are_forgotten_but_not_those_that_beat_or_hold_something() {
    let mut rig = Rig::new().await;
    let hold = rig.running().await;
    let key = rig.store.keys().queue(rig.shard, &rig.tool.queue);
    for name in ["beating", "killed-1", "killed-2"] {
        let create = ("CREATECONSUMER", &key, "workers", name);
        assert_eq!(rig.raw::<i64>("XGROUP", create).await, 1);
    }
    let beating = worker("beating");
    rig.store.beat(&beating, &[]).await.unwrap();
    let forget = async |rig: &Rig| rig.store.forget_silent_workers(rig.stream()).await;
    assert_eq!(forget(&rig).await.unwrap(), 2);
    assert_eq!(
        consumers(&mut rig).await,
        2,
        "one beats, one holds an entry"
    );
    rig.finish(&hold).await;
    assert_eq!(forget(&rig).await.unwrap(), 1);
    rig.store.leave(&beating.id).await.unwrap();
    assert_eq!(forget(&rig).await.unwrap(), 1);
    let never = never_read();
    let stream = QueueStream {
        queue: &never,
        ..rig.stream()
    };
    let refused = rig.store.forget_silent_workers(stream).await;
    assert!(refused.is_err());
}
