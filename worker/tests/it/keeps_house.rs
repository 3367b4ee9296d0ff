//! Who keeps house: front ends and workers alike, one at a time, for all queues or, with fewer rights, for their own.

use std::time::{Duration, Instant};

use taskferry_contract::{
    Again, ClaimReply, Delivery, QueueName, QueueStream, RedisSettings, Shard, Status, Store,
    StreamReader, TaskId, ToolDefinition, WorkerId,
};
use taskferry_housekeeping::Housekeeping;
use taskferry_testing::eventually;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rig::{LEASE, Rig, SOON, tool};

fn shard(rig: &Rig) -> Shard {
    rig.settings.shards.all().next().unwrap()
}

/// Keeps house as this process until it is told to stop, or aborted as if it was killed.
pub(crate) fn keep_house(
    store: &Store,
    (who, own): (&str, &[QueueName]),
    shard: Shard,
) -> (CancellationToken, JoinSet<()>) {
    let stop = CancellationToken::new();
    let (keeping, until) = (
        Housekeeping::new(store.clone(), who.to_owned(), own.to_vec()),
        stop.clone(),
    );
    let mut task = JoinSet::new();
    task.spawn(async move { keeping.run(shard, &until).await });
    (stop, task)
}

fn of_queue(queue: &str) -> ToolDefinition {
    let mut tool = tool("step");
    tool.queue = queue.parse().unwrap();
    tool
}

/// Queues a job of a registered tool, which a worker claims that is never heard of again.
async fn lose_one(rig: &Rig, tool: &ToolDefinition) -> TaskId {
    let registered = rig.store.register_tools(std::slice::from_ref(tool)).await;
    registered.unwrap();
    let (shard, queue) = (shard(rig), &tool.queue);
    let stream = QueueStream { shard, queue };
    rig.store.ensure_group(stream).await.unwrap();
    let id = rig.submit(tool, "{}").await;
    let dead: WorkerId = "dead".parse().unwrap();
    let mut connection = rig.store.connections().blocking().await.unwrap();
    let reader = StreamReader {
        worker: &dead,
        shard,
        queues: std::slice::from_ref(queue),
    };
    let read = rig.store.read_new(&mut connection, reader, 1, None).await;
    let mut jobs = read.unwrap().into_iter().filter_map(|one| match one {
        Delivery::Job(claimed) => Some(claimed),
        Delivery::Unreadable(_) => None,
    });
    let claimed = jobs.next().unwrap();
    let claim = rig.store.claim(&claimed, &dead, LEASE).await.unwrap();
    assert!(matches!(claim, ClaimReply::Started(_)), "{claim:?}");
    id
}

async fn is_holder(rig: &Rig, who: &str) {
    eventually(SOON, "it keeps house", async || {
        let held: Option<String> = rig.raw(&["GET", "tf:{0}:housekeeper"]).await;
        held.is_some_and(|held| held.starts_with(&format!("{who} ")))
    })
    .await;
}

#[tokio::test]
async fn another_goes_on_when_the_one_who_keeps_house_is_killed_or_stops() {
    let rig = Rig::new().await;
    let (_, first) = keep_house(&rig.store, ("first", &[]), shard(&rig));
    is_holder(&rig, "first").await;
    let (stop, mut second) = keep_house(&rig.store, ("second", &[]), shard(&rig));
    // Nobody here serves the queue.
    let id = lose_one(&rig, &of_queue("unserved")).await;
    drop(first);
    let killed = Instant::now();
    is_holder(&rig, "second").await;
    println!("killed to the next housekeeper: {:?}", killed.elapsed());
    rig.has_status(id, Status::Queued).await;
    let waits = rig.view(id).await.waits.unwrap();
    assert_eq!(waits.again, Some(Again::Lost));

    let (_, _third) = keep_house(&rig.store, ("third", &[]), shard(&rig));
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.cancel();
    second.join_next().await.unwrap().unwrap();
    is_holder(&rig, "third").await;
    rig.leaves_jobs();
}

#[tokio::test]
async fn after_a_time_without_anybody_the_living_renew_before_they_are_judged() {
    let rig = Rig::new().await;
    // Held last by somebody long ago: Redis may have been away since.
    rig.raw::<()>(&["SET", "tf:{0}:housekeeper", "before 1000 3"])
        .await;
    let id = lose_one(&rig, &of_queue("unserved")).await;
    tokio::time::sleep(LEASE).await;
    let begun = Instant::now();
    let (_, _keeping) = keep_house(&rig.store, ("late", &[]), shard(&rig));
    rig.has_status(id, Status::Queued).await;
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(2), "judged after {took:?}");
    rig.leaves_jobs();
}

#[tokio::test]
async fn a_user_with_the_rights_of_one_queue_keeps_house_for_that() {
    let rig = Rig::new().await;
    let (own, other) = (of_queue("own"), of_queue("other"));
    let queues = [own.queue.clone()];
    let rights = taskferry_contract::Role::Worker.rights("tf", &queues);
    let mut rules: Vec<String> = ["ACL", "SETUSER", "limited", "on", ">pw"]
        .map(ToOwned::to_owned)
        .to_vec();
    rules.extend(rights.rules());
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    rig.raw::<()>(&rules).await;
    let (lost, foreign) = (lose_one(&rig, &own).await, lose_one(&rig, &other).await);
    let url = rig.server.url().replace("redis://", "redis://limited:pw@");
    let settings = RedisSettings::new(&url);
    let store = Store::new(&settings).unwrap();
    let (_, _keeping) = keep_house(&store, ("w1", &queues), shard(&rig));
    rig.has_status(lost, Status::Queued).await;
    assert_eq!(rig.view(foreign).await.status, Status::Working);
    let held: String = rig.raw(&["GET", "tf:{0}:housekeeper:own"]).await;
    assert!(held.starts_with("w1 "), "{held}");
    rig.leaves_jobs();
}
