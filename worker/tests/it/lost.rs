//! Jobs that lost their worker, where others wait.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskferry_contract::{ClaimReply, Delivery, QueueStream, StreamReader, WorkerId};
use taskferry_testing::eventually;
use taskferry_worker::{HandlerResult, JobContext, ToolOutput};

use crate::rig::{LEASE, Rig, SOON, run, tool};

#[tokio::test]
async fn a_lost_job_comes_after_those_that_wait_already() {
    let rig = Rig::new().await;
    let shard = rig.settings.shards.all().next().unwrap();
    let step = tool("step");
    let stream = QueueStream {
        shard,
        queue: &step.queue,
    };
    rig.store.ensure_group(stream).await.unwrap();
    let lost = rig.submit(&step, "{}").await;
    // A worker claims it and is never heard of again.
    let dead: WorkerId = "dead".parse().unwrap();
    let mut connection = rig.store.connections().blocking().await.unwrap();
    let source = StreamReader {
        worker: &dead,
        shard,
        queues: std::slice::from_ref(&step.queue),
    };
    let read = rig.store.read_new(&mut connection, source, 1, None).await;
    let Some(Delivery::Job(claimed)) = read.unwrap().pop() else {
        panic!("there is no entry");
    };
    let claim = rig.store.claim(&claimed, &dead, LEASE).await.unwrap();
    assert!(matches!(claim, ClaimReply::Started(_)), "{claim:?}");

    // Work for longer than a lease, for one slot.
    let mut backlog = Vec::new();
    for _ in 0..80 {
        backlog.push(rig.submit(&step, "{}").await);
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let ran = Arc::clone(&order);
    let handler = move |job: JobContext| {
        let ran = Arc::clone(&ran);
        async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            ran.lock().unwrap().push(job.task_id());
            let done: HandlerResult = Ok(ToolOutput::text("done"));
            done
        }
    };
    let worker = run(rig.builder().slots(1).tool(step, handler));
    eventually(SOON, "all ran", async || order.lock().unwrap().len() == 81).await;
    let order = order.lock().unwrap().clone();
    backlog.push(lost);
    assert_eq!(order, backlog, "each in its turn");
    worker.stop().await;
}
