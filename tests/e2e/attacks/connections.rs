//! Connections, heads and bodies that are begun and not ended.

use std::io::ErrorKind;

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// What a request begins with.
const HEAD: &str = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

/// Opens `count` connections from one address, and sends `begin` on each, as far as it is taken.
pub(super) async fn begun(to: SocketAddr, last: u8, count: usize, begin: &[u8]) -> Vec<TcpStream> {
    let open = stream::iter(0..count).map(async |_| {
        let mut connection = from(last, to).await.ok()?;
        connection.write_all(begin).await.ok()?;
        Some(connection)
    });
    open.buffer_unordered(64)
        .filter_map(async |opened| opened)
        .collect()
        .await
}

/// How many of these the server has closed, or answered.
pub(super) async fn ended(connections: &mut [TcpStream]) -> usize {
    let mut ended = 0;
    for connection in connections {
        let read = connection.try_read(&mut [0; 64]);
        let waits = matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock);
        ended += usize::from(!waits);
    }
    ended
}

#[tokio::test]
async fn idle_connections_leave_room_for_others() {
    let attacked = Attacked::start(&["--max-connections", "400"]).await;
    let to = attacked.address();
    let attack = async move || {
        let mut one = begun(to, 2, 500, b"").await;
        eventually(
            SOON,
            "those beyond the share of 300 are closed",
            async || ended(&mut one).await >= 200,
        )
        .await;
        // With a second address all is taken; then those idle longest make room.
        let two = begun(to, 3, 300, b"").await;
        (one, two)
    };
    attacked.beside(attack).await;
    attacked.check_after().await;
}

#[tokio::test]
async fn unfinished_heads_take_bounded_memory_and_time() {
    let attacked = Attacked::start(&[]).await;
    let to = attacked.address();
    let head = format!("{HEAD}x: {}", "y".repeat(60 << 10));
    let attack = async move || {
        let mut held = begun(to, 2, 3000, head.as_bytes()).await;
        let all = held.len();
        eventually(SOON, "none is waited for any longer", async || {
            ended(&mut held).await == all
        })
        .await;
        held
    };
    attacked.beside(attack).await;
    attacked.check_after().await;
}

#[tokio::test]
async fn unfinished_bodies_take_bounded_memory() {
    let attacked = Attacked::start(&[]).await;
    let to = attacked.address();
    let large = format!(
        "{HEAD}content-length: 4000000\r\n\r\n{}",
        " ".repeat(3_900_000)
    );
    let attack = async move || {
        let mut held = begun(to, 2, 200, large.as_bytes()).await;
        eventually(SOON, "those without room are told", async || {
            ended(&mut held).await > 100
        })
        .await;
        held
    };
    attacked.beside(attack).await;
    attacked.check_after().await;
}

/// In pieces of a byte, each of which a server that keeps them apart pays for many times.
#[tokio::test]
async fn bodies_of_single_bytes_take_bounded_memory() {
    let attacked = Attacked::start(&[]).await;
    let to = attacked.address();
    let chunks = "1\r\n \r\n".repeat(200_000);
    let chunked = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunks}");
    let attack = async move || begun(to, 2, 100, chunked.as_bytes()).await;
    let held = attacked.beside(attack).await;
    assert!(!held.is_empty());
    attacked.check_after().await;
}

#[tokio::test]
async fn a_peer_with_many_requests_leaves_room_for_others() {
    let attacked = Attacked::start(&["--max-requests", "40"]).await;
    let to = attacked.address();
    let body = " ".repeat(10);
    let waiting = format!("{HEAD}content-length: 20\r\n\r\n{body}");
    let attack = async move || {
        let mut held = begun(to, 2, 60, waiting.as_bytes()).await;
        eventually(SOON, "those beyond the share are told", async || {
            ended(&mut held).await >= 30
        })
        .await;
        let mut refused = String::new();
        let mut one = from(2, to).await.unwrap();
        one.write_all(waiting.as_bytes()).await.unwrap();
        let mut part = [0; 1024];
        while !refused.contains("peer_share") {
            let read = one.read(&mut part).await.unwrap();
            assert!(read > 0, "it ended: {refused}");
            refused.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
        assert!(refused.contains("retry-after: 1"), "{refused}");
        held
    };
    attacked.beside(attack).await;
    attacked.check_after().await;
}
