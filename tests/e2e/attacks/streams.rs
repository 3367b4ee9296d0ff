//! Event streams that are not read.

use futures_util::future::join_all;
use taskferry_contract::LogLevel;
use taskferry_worker::{HandlerResult, JobContext, ToolOutput};
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::stream::Stream;

/// The length of a log line, bytes: nearly as long as one may be.
const LINE: usize = 8000;

/// Logs as many lines as it is told, in batches that no bound of the worker cuts, and does not end.
async fn chatty(context: JobContext) -> HandlerResult {
    let arguments: serde_json::Value = context.arguments()?;
    let line = "x".repeat(LINE);
    for _ in 0..arguments["hundreds"].as_u64().unwrap_or(0) {
        (0..100).for_each(|_| context.log(LogLevel::Info, &line));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    context.cancelled().cancelled().await;
    Ok(ToolOutput::text("cancelled"))
}

/// Opens streams that are not read, and for which the system keeps little.
async fn unread(to: SocketAddr, asked: &[u8], count: usize) -> Vec<TcpStream> {
    let open = (0..count).map(async |_| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
        let mut connection = socket.connect(to).await.unwrap();
        connection.write_all(asked).await.unwrap();
        connection
    });
    join_all(open).await
}

#[tokio::test]
async fn streams_that_are_not_read_take_bounded_memory_and_hold_up_no_other() {
    let attacked = Attacked::guarded(&["--event-memory", "4MiB"]).await;
    let mut shared = tool("chatty");
    shared.share_identical = true;
    let worker = attacked.worker(shared, chatty).await;
    let plain = Modern::with(&attacked.replica.endpoint, json!({}));
    let call = |hundreds: u64| {
        let level = json!({ "io.modelcontextprotocol/logLevel": "info" });
        json!({ "name": "chatty", "arguments": { "hundreds": hundreds }, "_meta": level })
    };
    let attacker = plain.by(Some(ATTACKER));
    let asked = wire(&attacker.made("tools/call", call(9)));
    let (to, other, own) = (attacked.address(), plain.by(Some(OTHER)), call(1));
    let attack = async move || {
        let first = unread(to, &asked, 60).await;
        // All of its log is there for those who come later.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let second = unread(to, &asked, 60).await;
        let mut stream = Stream::call(&other, own).await;
        for _ in 0..100 {
            stream.until("notifications/message").await;
        }
        (first, second)
    };
    drop(attacked.beside(attack).await);
    worker.end().await;
    attacked.check_after().await;
}
