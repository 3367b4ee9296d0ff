//! A TCP proxy whose target can be changed, and whose connections can be left hanging.

use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where new connections go, and which of the old ones still move bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    target: u16,
    /// Connections made under an older number hang: open on both sides, and silent.
    alive_from: u64,
    /// The number of connections made now.
    number: u64,
}

/// A proxy on a port of 127.0.0.1. It ends with this value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    course: watch::Sender<Course>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Starts one that leads to a port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// If it cannot listen.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap_or_else(|error| panic!("a proxy cannot listen: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let course = watch::Sender::new(Course {
            target,
            alive_from: 0,
            number: 0,
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, course.subscribe()));
        Self {
            port,
            course,
            _accepting: accepting,
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// It as the address of a Redis.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Leads new connections elsewhere. Those there are go on as they were.
    pub fn lead_to(&self, target: u16) {
        self.course.send_modify(|course| {
            course.target = target;
            course.number += 1;
        });
    }

    /// Leads new connections elsewhere, and leaves those there are half open: nothing moves on them, and nobody is told.
    pub fn lead_to_and_hang(&self, target: u16) {
        self.course.send_modify(|course| {
            course.target = target;
            course.number += 1;
            course.alive_from = course.number;
        });
    }
}

async fn accept(listener: TcpListener, course: watch::Receiver<Course>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, course.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut client: TcpStream, mut course: watch::Receiver<Course>) {
    let Course { target, number, .. } = *course.borrow();
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        return;
    };
    tokio::select! {
        hung = async { course.wait_for(|course| number < course.alive_from).await.is_ok() } => {
            if hung {
                std::future::pending::<()>().await;
            }
        }
        _ended = copy_bidirectional(&mut client, &mut server) => {}
    }
}
