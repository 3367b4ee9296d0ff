//! Redis Sentinel: three of them, which promote the replica of a primary that is gone.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use redis::{Client, RedisResult};
use tempfile::TempDir;

use crate::config;
use crate::eventually::eventually;
use crate::ports::free_port;
use crate::process::Process;
use crate::server::TestServer;

/// How long they may take to find one another and the replicas.
const ACQUAINTED: Duration = Duration::from_secs(30);
/// What the sentinels call the primary.
const NAME: &str = "main";

/// Three sentinels of one primary, two of which must agree that it is gone. They die with this value.
#[derive(Debug)]
pub struct Sentinels {
    ports: Vec<u16>,
    _processes: Vec<Process>,
    _folder: TempDir,
}

impl Sentinels {
    /// Starts them, and waits until they know one another and the one replica. A primary that is silent for a second
    /// counts as gone.
    ///
    /// # Panics
    ///
    /// If they do not start, or do not find one another.
    pub async fn watch(primary: &TestServer) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let mut processes = Vec::new();
        for port in &ports {
            let path = folder.path().join(format!("{port}.conf"));
            let mut text = format!(
                "port {port}\nbind 127.0.0.1\ndir {}\n",
                folder.path().display()
            );
            let monitored = primary.port();
            for line in [
                format!("monitor {NAME} 127.0.0.1 {monitored} 2"),
                format!("down-after-milliseconds {NAME} 1000"),
                format!("failover-timeout {NAME} 5000"),
            ] {
                writeln!(text, "sentinel {line}").expect("a string can be written to");
            }
            std::fs::write(&path, text).expect("a file can be made in a temporary directory");
            let mut command = Command::new(config::redis_server());
            command.arg(&path).arg("--sentinel");
            processes.push(Process::start(&format!("sentinel {port}"), command));
        }
        let sentinels = Self {
            ports,
            _processes: processes,
            _folder: folder,
        };
        for port in &sentinels.ports {
            let what = format!("the sentinel on port {port} knows two others and a replica");
            eventually(ACQUAINTED, &what, async || {
                knows_all(*port).await.unwrap_or(false)
            })
            .await;
        }
        sentinels
    }

    /// The address by which the primary is found.
    #[must_use]
    pub fn url(&self) -> String {
        let places: Vec<String> = self
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis+sentinel://{}/{NAME}/0", places.join(","))
    }
}

async fn knows_all(port: u16) -> RedisResult<bool> {
    let client = Client::open(format!("redis://127.0.0.1:{port}/0"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    // One that was not run for two seconds mistrusts its clock, and promotes nobody for so long: 30 s, if left alone.
    let mut debug = redis::cmd("SENTINEL");
    debug.arg("DEBUG").arg("tilt-period").arg(1000);
    debug.query_async::<()>(&mut connection).await?;
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("MASTER").arg(NAME);
    let fields: std::collections::HashMap<String, String> =
        ask.query_async(&mut connection).await?;
    let is = |name: &str, value: &str| fields.get(name).is_some_and(|found| found == value);
    Ok(is("num-other-sentinels", "2") && is("num-slaves", "1") && is("flags", "master"))
}
