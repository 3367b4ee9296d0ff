//! Callers that are told apart: by the tokens of an issuer, and by keys.

mod ends;
mod entry;
mod fairness;
mod issuer;
mod owners;
mod real_issuer;
mod scopes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use taskferry_testing::{Process, TestServer, eventually};
use tempfile::TempDir;

use crate::client::Modern;
use crate::fleet::{Replica, worker};
use crate::tools::with_basic;
use issuer::{Issuer, RESOURCE};

/// A key, as an access file could have it.
const KEY: &str = "tfk_of_the_tests";
/// How long something may take to happen on a slow machine.
const SOON: Duration = Duration::from_secs(20);

/// A front end with an access file, and a worker.
struct Guarded {
    server: TestServer,
    replica: Replica,
    _worker: Process,
    issuer: Issuer,
    file: PathBuf,
    _folder: TempDir,
}

impl Guarded {
    /// `scopes` is more of the access file, `tools` of the manifest.
    async fn start(scopes: &str, tools: &str, flags: &[&str]) -> Self {
        let server = TestServer::start().await.drained_at_end(SOON);
        let issuer = Issuer::start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.toml");
        std::fs::write(&file, access_file(&issuer, scopes)).unwrap();
        let mut all = vec!["--access-file", file.to_str().unwrap()];
        all.extend(flags);
        let replica = Replica::start(&server.url(), &all).await;
        let worker = worker(&server.url(), &with_basic(tools), &[]).await;
        let guarded = Self {
            _worker: worker,
            server,
            replica,
            issuer,
            file,
            _folder: folder,
        };
        let client = guarded.modern(KEY);
        eventually(SOON, "the tools are listed", async || {
            let listed = client.request("tools/list", json!({})).await;
            listed.text.contains("\"echo\"")
        })
        .await;
        guarded
    }

    /// A client that takes tasks, with a token or a key.
    fn modern(&self, credential: &str) -> Modern {
        Modern::with_tasks(&self.replica.endpoint).by(Some(credential))
    }

    /// Another front end of the same kind.
    async fn another(&self, flags: &[&str]) -> Replica {
        let mut all = vec!["--access-file", self.file.to_str().unwrap()];
        all.extend(flags);
        Replica::start(&self.server.url(), &all).await
    }

    /// Ends a test with jobs that no worker takes.
    fn leaves_jobs(mut self) {
        self.server.leaves_jobs();
    }

    fn endpoint(&self) -> &str {
        &self.replica.endpoint
    }
}

fn access_file(issuer: &Issuer, more: &str) -> String {
    format!(
        "resource = '{RESOURCE}'\n{}{}{more}\n",
        issuer.entry(),
        key_entry("tests", KEY)
    )
}

/// An access file with keys alone, which may do everything.
pub(crate) fn key_file(folder: &Path, keys: &[&str]) -> PathBuf {
    let file = folder.join("access.toml");
    let entries = keys.iter().enumerate();
    let entries: String = entries
        .map(|(number, key)| key_entry(&format!("key-{number}"), key))
        .collect();
    std::fs::write(&file, format!("resource = '{RESOURCE}'\n{entries}")).unwrap();
    file
}

fn key_entry(name: &str, key: &str) -> String {
    let digest = Sha256::digest(key);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[key]]\nname = '{name}'\nsha256 = '{digest}'\nscopes = ['*']\n")
}
