//! A wire between two processes that can be slow, silent or cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sabotage::Rewriter;

/// What happens to the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Delay(Duration),
    /// Taken and thrown away, so that either side believes the other still listens.
    Swallow,
}

/// One connection through the proxy.
#[derive(Debug)]
struct Wire {
    mode: watch::Sender<Mode>,
    cut: CancellationToken,
}

impl Wire {
    /// Changes what happens to its bytes; not if it swallowed some: whatever came after them would be taken for something
    /// else, which no network does.
    fn turn(&self, mode: Mode) -> bool {
        let passes = *self.mode.borrow() != Mode::Swallow;
        if passes {
            self.mode.send_replace(mode);
        }
        passes
    }
}

#[derive(Debug)]
struct Route {
    target: SocketAddr,
    /// How new connections begin.
    beginning: Mutex<Mode>,
    wires: Mutex<Vec<Arc<Wire>>>,
    rewriter: Rewriter,
}

/// A port of its own through which one process reaches another.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    route: Arc<Route>,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Proxy {
    /// Listens, and connects every client to `target`, a port of this machine.
    pub(crate) async fn start(target: u16, rewriter: Rewriter) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("a proxy cannot listen")?;
        let port = listener.local_addr()?.port();
        let route = Arc::new(Route {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, target)),
            beginning: Mutex::new(Mode::Pass),
            wires: Mutex::default(),
            rewriter,
        });
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(accept(
            listener,
            Arc::clone(&route),
            tasks.clone(),
            end.clone(),
        ));
        Ok(Self {
            port,
            route,
            tasks,
            end,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Resets every `stride`-th connection.
    pub(crate) fn cut(&self, stride: usize) {
        for wire in self.chosen(stride) {
            wire.cut.cancel();
        }
    }

    /// Every byte waits.
    pub(crate) fn delay(&self, by: Duration) {
        self.set(Mode::Delay(by), 1, true);
    }

    /// Every `stride`-th connection goes silent; new ones work.
    pub(crate) fn half_open(&self, stride: usize) {
        self.set(Mode::Swallow, stride, false);
    }

    /// All connections go silent, new ones too.
    pub(crate) fn partition(&self) {
        self.set(Mode::Swallow, 1, true);
    }

    /// Everything passes again. Connections that lost bytes are of no use any more and are reset.
    pub(crate) fn heal(&self) {
        *lock(&self.route.beginning) = Mode::Pass;
        for wire in lock(&self.route.wires).iter() {
            if !wire.turn(Mode::Pass) {
                wire.cut.cancel();
            }
        }
    }

    fn set(&self, mode: Mode, stride: usize, beginning: bool) {
        if beginning {
            *lock(&self.route.beginning) = mode;
        }
        for wire in self.chosen(stride) {
            wire.turn(mode);
        }
    }

    fn chosen(&self, stride: usize) -> Vec<Arc<Wire>> {
        let wires = lock(&self.route.wires);
        wires.iter().step_by(stride.max(1)).cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.close();
        self.end.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    route: Arc<Route>,
    tasks: TaskTracker,
    end: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => return,
        };
        let Ok((client, _from)) = accepted else {
            continue;
        };
        let wire = Arc::new(Wire {
            mode: watch::Sender::new(*lock(&route.beginning)),
            cut: end.child_token(),
        });
        lock(&route.wires).push(Arc::clone(&wire));
        let route = Arc::clone(&route);
        tasks.spawn(async move {
            carry(client, &route, &wire).await;
            lock(&route.wires).retain(|other| !Arc::ptr_eq(other, &wire));
        });
    }
}

/// Carries bytes both ways until a side ends, or the wire is cut: then both sides see a reset.
async fn carry(mut client: TcpStream, route: &Route, wire: &Wire) {
    let connecting = tokio::select! {
        connected = TcpStream::connect(route.target) => connected.ok(),
        () = wire.cut.cancelled() => None,
    };
    let Some(mut server) = connecting else {
        let _closed_already = client.set_zero_linger();
        return;
    };
    for stream in [&client, &server] {
        let _closed_already = stream.set_nodelay(true);
    }
    let was_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mode = || wire.mode.subscribe();
        tokio::select! {
            () = pump(from_client, to_server, mode(), Some(&route.rewriter)) => false,
            () = pump(from_server, to_client, mode(), None) => false,
            () = wire.cut.cancelled() => true,
        }
    };
    if was_cut {
        for stream in [&client, &server] {
            let _closed_already = stream.set_zero_linger();
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mode: watch::Receiver<Mode>,
    rewriter: Option<&Rewriter>,
) {
    let mut buffer = Vec::with_capacity(16 << 10);
    let mut held = Vec::new();
    loop {
        buffer.clear();
        buffer.append(&mut held);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if let Some(rewriter) = rewriter {
            held = rewriter.rewrite(&mut buffer);
        }
        let now = *mode.borrow();
        match now {
            Mode::Pass => {}
            Mode::Delay(by) => tokio::time::sleep(by).await,
            Mode::Swallow => continue,
        }
        if to.write_all(&buffer).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, and a proxy to it.
    async fn echo() -> (Proxy, TaskTracker) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tasks = TaskTracker::new();
        let own = tasks.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                own.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        let proxy = Proxy::start(port, Rewriter::default()).await.unwrap();
        (proxy, tasks)
    }

    async fn said(stream: &mut TcpStream, word: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(word).await?;
        let mut heard = vec![0; word.len()];
        stream.read_exact(&mut heard).await?;
        Ok(heard)
    }

    #[tokio::test]
    async fn passes_falls_silent_and_is_reset_when_it_heals() {
        let (proxy, _server) = echo().await;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))
            .await
            .unwrap();
        assert_eq!(said(&mut stream, b"one").await.unwrap(), b"one");
        proxy.delay(Duration::from_millis(1));
        assert_eq!(said(&mut stream, b"two").await.unwrap(), b"two");
        proxy.partition();
        stream.write_all(b"lost").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        assert!(silence.is_err(), "{silence:?}");
        proxy.delay(Duration::from_millis(1));
        stream.write_all(b"late").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
        assert!(silence.is_err(), "it lost bytes: {silence:?}");
        proxy.heal();
        let end = stream.read_u8().await.unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        let mut again = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))
            .await
            .unwrap();
        assert_eq!(said(&mut again, b"three").await.unwrap(), b"three");
        proxy.cut(1);
        assert!(said(&mut again, b"four").await.is_err());
    }
}
