//! A wire between a client that nobody here wrote and the balancer, which keeps every byte, so that every message of
//! either side can be held against the schemas afterwards.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use taskferry_client::MODERN;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::client::events;
use crate::schema::check;

/// What went over one connection.
#[derive(Default)]
struct Connection {
    sent: Vec<u8>,
    received: Vec<u8>,
}

type Connections = Arc<Mutex<Vec<Connection>>>;

/// The wire.
pub(crate) struct Recorder {
    port: u16,
    connections: Connections,
    _work: JoinSet<()>,
}

/// A request or a response of HTTP/1.1.
struct Http {
    headers: HashMap<String, String>,
    body: String,
}

impl Recorder {
    /// Leads to `endpoint`, on this machine.
    pub(crate) async fn to(endpoint: &str) -> Self {
        let target: u16 = endpoint
            .trim_end_matches("/mcp")
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("an endpoint with a port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Connections::default();
        let mut work = JoinSet::new();
        work.spawn(accept(listener, target, Arc::clone(&connections)));
        Self {
            port,
            connections,
            _work: work,
        }
    }

    /// Where the client is to go.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    /// Checks everything that was said; how many messages that were.
    pub(crate) fn check(&self) -> usize {
        let connections = lock(&self.connections);
        connections.iter().map(Connection::check).sum()
    }
}

impl Connection {
    fn check(&self) -> usize {
        let (requests, responses) = (parse(&self.sent), parse(&self.received));
        let mut count = 0;
        for (number, request) in requests.iter().enumerate() {
            let sent: Value = serde_json::from_str(&request.body).unwrap_or_default();
            let received = responses.get(number).map(messages).unwrap_or_default();
            // The first request names no revision: its answer does.
            let negotiated = received
                .first()
                .and_then(|answer| answer["result"]["protocolVersion"].as_str());
            let named = request.headers.get("mcp-protocol-version");
            let revision = negotiated.or(named.map(String::as_str)).unwrap_or(MODERN);
            if !sent.is_null() {
                check(revision, None, &sent);
                count += 1;
            }
            // A stream that was resumed ends with what its call returns.
            let method = sent["method"].as_str().unwrap_or("tools/call");
            for message in &received {
                check(revision, Some(method), message);
                count += 1;
            }
        }
        count
    }
}

/// The messages that a response holds.
fn messages(response: &Http) -> Vec<Value> {
    let kind = response.headers.get("content-type");
    if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return events(&response.body);
    }
    serde_json::from_str(&response.body).into_iter().collect()
}

/// The requests or the responses of a connection, in their order. The last may be cut short.
fn parse(mut bytes: &[u8]) -> Vec<Http> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let headers: HashMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = match headers.get("content-length") {
            Some(length) => {
                let length = length.parse::<usize>().unwrap().min(bytes.len());
                let (body, rest) = bytes.split_at(length);
                bytes = rest;
                body.to_vec()
            }
            None if headers.contains_key("transfer-encoding") => chunks(&mut bytes),
            None => Vec::new(),
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        all.push(Http { headers, body });
    }
    all
}

fn chunks(bytes: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let from = end + 2;
        let to = (from + size).min(bytes.len());
        body.extend_from_slice(&bytes[from..to]);
        *bytes = bytes.get(to + 2..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    body
}

async fn accept(listener: TcpListener, target: u16, connections: Connections) {
    let mut wires = JoinSet::new();
    loop {
        let (client, _from) = listener.accept().await.unwrap();
        let server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target)));
        let server = server.await.unwrap();
        let number = {
            let mut all = lock(&connections);
            all.push(Connection::default());
            all.len() - 1
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let keep = Arc::clone(&connections);
        wires.spawn(pump(from_client, to_server, move |bytes| {
            lock(&keep)[number].sent.extend_from_slice(bytes);
        }));
        let keep = Arc::clone(&connections);
        wires.spawn(pump(from_server, to_client, move |bytes| {
            lock(&keep)[number].received.extend_from_slice(bytes);
        }));
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, keep: impl Fn(&[u8])) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        keep(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

fn lock(connections: &Connections) -> MutexGuard<'_, Vec<Connection>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn requests_and_responses_are_read_off_a_connection() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 202 Accepted\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
        b\r\ndata: {\"a\":\r\n4\r\n1}\n\n\r\n0\r\n\r\n";
    let all = parse(bytes);
    let bodies: Vec<&str> = all.iter().map(|http| http.body.as_str()).collect();
    assert_eq!(bodies, ["{}", "", "data: {\"a\":1}\n\n"]);
    assert_eq!(messages(&all[2]), [serde_json::json!({ "a": 1 })]);
}
