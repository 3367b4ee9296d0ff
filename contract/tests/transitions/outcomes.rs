//! Outcomes: read byte for byte however large, and a large one that is slow holds up nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskferry_contract::{Outcome, RedisSettings, Store, Submission, TaskId};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::rig::{LEASE, Rig};
use crate::samples::started;

/// A connection of [`Stalling`] carries no more than this to its client, bytes.
const CARRIED: u64 = 128 << 10;

/// Ends a job with a result of more than `bytes`.
async fn ended_with(rig: &mut Rig, bytes: usize) -> (TaskId, String) {
    let hold = rig.running().await;
    let result = format!(r#"{{"text":"{}"}}"#, "ä".repeat(bytes / 2));
    let outcome = Outcome::Completed {
        result: result.clone(),
        is_error: false,
        message: None,
    };
    rig.store.finish(&hold, &outcome).await.unwrap();
    (hold.claimed.id, result)
}

#[tokio::test]
async fn are_read_byte_for_byte_however_large() {
    let mut rig = Rig::new().await;
    for bytes in [2, 100 << 10, 3 << 20] {
        let (id, result) = ended_with(&mut rig, bytes).await;
        let noted = rig.record(id).await["outcome_bytes"].clone();
        assert_eq!(noted, result.len().to_string());
        let view = rig.view(id).await.unwrap();
        assert!(
            view.result.as_deref() == Some(result.as_str()),
            "of {bytes} bytes"
        );
        let without = rig.store.view(id).await.unwrap().unwrap();
        assert_eq!(without.result, None);

        rig.raw::<()>("HDEL", (rig.store.keys().record(id), "outcome_bytes"))
            .await;
        let unmeasured = rig.view(id).await.unwrap();
        assert!(
            unmeasured == view,
            "as a version that notes no size left it"
        );
    }
}

#[tokio::test]
async fn a_large_one_that_is_slow_gives_up_its_own_connection_alone() {
    let mut rig = Rig::new().await;
    let (large, _) = ended_with(&mut rig, 512 << 10).await;
    let (small, result) = ended_with(&mut rig, 1 << 10).await;
    let stalling = Stalling::start(rig.server.port()).await;
    let mut settings = RedisSettings::new(&stalling.url);
    settings.response_timeout = Duration::from_secs(3);
    let store = Store::new(&settings).unwrap();
    store.view(large).await.unwrap();
    let before = stalling.opened.load(Ordering::Relaxed);

    let slow = store.view_with_outcome(large);
    let others = async {
        for _ in 0..35 {
            let view = store.view_with_outcome(small).await.unwrap().unwrap();
            assert_eq!(view.result.as_deref(), Some(result.as_str()));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (slow, ()) = tokio::join!(slow, others);
    let error = slow.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    store.view(large).await.unwrap().unwrap();
    let opened = stalling.opened.load(Ordering::Relaxed) - before;
    assert_eq!(opened, 1, "beside the connection for the large one");
}

#[tokio::test]
async fn large_arguments_that_are_slow_give_up_their_own_connection_alone() {
    let rig = Rig::new().await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(512 << 10));
    let submission = Submission {
        arguments: large.clone().into(),
        ..rig.submission()
    };
    let id = rig.submit_as(submission).await;
    let entry = rig.next().await;
    let stalling = Stalling::start(rig.server.port()).await;
    let mut settings = RedisSettings::new(&stalling.url);
    settings.response_timeout = Duration::from_secs(1);
    let store = Store::new(&settings).unwrap();
    store.view(id).await.unwrap();
    let before = stalling.opened.load(Ordering::Relaxed);
    let error = store.claim(&entry, &rig.worker, LEASE).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    store.view(id).await.unwrap();
    let opened = stalling.opened.load(Ordering::Relaxed) - before;
    assert_eq!(opened, 1, "beside the connection for the arguments");
    // The same claim again, over a line that is fast.
    let (hold, job) = started(entry.clone(), &rig.worker, rig.claim(&entry).await);
    assert!(job.arguments.as_str() == large);
    rig.finish(&hold).await;
}

/// Leads to a server. Each of its connections carries a bounded number of bytes from there, and then nothing more.
struct Stalling {
    url: String,
    /// Connections so far.
    opened: Arc<AtomicUsize>,
    _runs: JoinSet<()>,
}

impl Stalling {
    async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let mut runs = JoinSet::new();
        runs.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                connections.spawn(carry(client, server));
            }
        });
        Self {
            url,
            opened,
            _runs: runs,
        }
    }
}

/// Until the client hangs up.
async fn carry(mut client: TcpStream, mut server: TcpStream) {
    let (mut from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let back = async {
        let mut limited = from_server.take(CARRIED);
        let _broke = tokio::io::copy(&mut limited, &mut to_client).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _hung_up = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = back => {}
    }
}
