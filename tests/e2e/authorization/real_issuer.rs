//! An issuer that nobody here wrote (tests/clients/issuer.mjs), and clients that nobody here wrote with its tokens.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::json;
use taskferry_client::{Method, StatusCode};
use taskferry_testing::{Process, TestServer, eventually, free_port};
use tempfile::TempDir;

use crate::authorization::SOON;
use crate::client::{Answer, Modern, http};
use crate::fleet::{Replica, in_tree, worker};
use crate::foreign_clients::says_ok;
use crate::rust_sdk;
use crate::schema::node;
use crate::tools::with_basic;

/// Tools that need a scope of their own: one whose calls become tasks, and one whose calls do not.
const TOOLS: &str = r#"
[[tool]]
name = "priced"
description = "Needs a scope"
command = ["echo", "42"]
scopes = ["reports"]

[[tool]]
name = "priced_at_once"
description = "Needs a scope, and is no task"
command = ["echo", "43"]
scopes = ["reports"]
task_support = "forbidden"
"#;

/// A front end that trusts the issuer, and a worker.
struct Trusting {
    name: String,
    issuer: Process,
    replica: Replica,
    _worker: Process,
    _server: TestServer,
    _folder: TempDir,
}

/// Starts the issuer at `name`, with a key that it makes.
async fn issue(name: &str, resource: &str) -> Process {
    let mut command = Command::new(node());
    command
        .arg(in_tree("tests/clients/issuer.mjs"))
        .args([name, resource]);
    let mut issuer = Process::start("issuer", command);
    issuer.wait_for_line(SOON, "issues tokens").await;
    issuer
}

impl Trusting {
    async fn start() -> Self {
        let [issuer, own] = [free_port(), free_port()];
        let (name, own) = (
            format!("http://127.0.0.1:{issuer}"),
            format!("127.0.0.1:{own}"),
        );
        let resource = format!("http://{own}/mcp");
        let issuer = issue(&name, &resource).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.toml");
        // As docs/AUTHORIZATION.md has it.
        let access = format!(
            "resource = '{resource}'\n\
             [[issuer]]\nissuer = '{name}'\njwks_url = '{name}/jwks'\nalgorithms = ['ES256']\nnbf = 'optional'\n\
             [scopes]\ncall = ['tasks:call']\ntask = ['tasks:read']\n"
        );
        std::fs::write(&file, access).unwrap();
        let server = TestServer::start().await.drained_at_end(SOON);
        let flags = ["--listen", &own, "--access-file", file.to_str().unwrap()];
        let replica = Replica::start(&server.url(), &flags).await;
        let worker = worker(&server.url(), &with_basic(TOOLS), &[]).await;
        let trusting = Self {
            name,
            issuer,
            replica,
            _worker: worker,
            _server: server,
            _folder: folder,
        };
        let client = trusting.by(&trusting.token("nightly", "tasks:call").await);
        eventually(SOON, "the tools are listed", async || {
            let listed = client.request("tools/list", json!({})).await;
            listed.text.contains("\"priced\"")
        })
        .await;
        trusting
    }

    fn by(&self, token: &str) -> Modern {
        Modern::with_tasks(&self.replica.endpoint).by(Some(token))
    }

    /// A token for the front end.
    async fn token(&self, client: &str, scope: &str) -> String {
        self.token_for(&self.replica.endpoint, client, scope).await
    }

    async fn token_for(&self, resource: &str, client: &str, scope: &str) -> String {
        let basic = STANDARD.encode(format!("{client}:{client}-secret"));
        let headers = [
            ("authorization", &*format!("Basic {basic}")),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let scope = scope.replace(' ', "+");
        let form = format!("grant_type=client_credentials&scope={scope}&resource={resource}");
        let url = format!("{}/token", self.name);
        let answer = http(Method::POST, &url, &headers, Some(form)).await;
        let token = answer.body["access_token"].as_str();
        token
            .unwrap_or_else(|| panic!("{}", answer.text))
            .to_owned()
    }

    async fn call(&self, token: &str) -> Answer {
        self.by(token).call("priced", json!({})).await
    }
}

/// That a token is refused, and why.
fn refused(answer: &Answer, why: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{why}");
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("invalid_token"), "{challenge}");
    assert!(challenge.contains(why), "{challenge}");
}

#[tokio::test]
async fn tokens_of_an_issuer_that_nobody_here_wrote_are_held_to_all_that_they_say() {
    let mut trusting = Trusting::start().await;
    let all = "tasks:call tasks:read reports";
    let good = trusting.token("nightly", all).await;
    let id = trusting.by(&good).start("priced", json!({})).await;
    let task = trusting.by(&good).until(&id, "completed").await;
    assert_eq!(task["result"]["content"][0]["text"], "42");

    let elsewhere = "https://other.example/mcp";
    let elsewhere = trusting.token_for(elsewhere, "nightly", all).await;
    refused(&trusting.call(&elsewhere).await, "another server");
    let late = trusting.token("late", all).await;
    refused(&trusting.call(&late).await, "has expired");
    let payload = good.split('.').nth(1).unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    for unsigned in [
        format!("{none}.{payload}."),
        format!("{none}.{payload}.AAAA"),
    ] {
        let answer = trusting.call(&unsigned).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    }

    // A client that was granted less is told all that it needs.
    let reader = trusting.token("reader", "tasks:read").await;
    let answer = trusting.call(&reader).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    let needed = "error=\"insufficient_scope\", scope=\"reports tasks:call tasks:read\"";
    assert!(challenge.contains(needed), "{challenge}");

    // The issuer comes back with another key, and the front end is not started again.
    trusting.issuer.kill9();
    trusting.issuer = issue(&trusting.name, &trusting.replica.endpoint).await;
    let rotated = trusting.token("nightly", all).await;
    eventually(SOON, "the new key is known", async || {
        trusting.call(&rotated).await.status == StatusCode::OK
    })
    .await;
    let answer = trusting.call(&good).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
}

#[tokio::test]
async fn clients_that_nobody_here_wrote_find_the_issuer_and_run_tasks_with_its_tokens() {
    let trusting = Trusting::start().await;
    let arguments = [trusting.replica.endpoint.as_str(), trusting.name.as_str()];
    let rust = async {
        let all = "tasks:call tasks:read reports";
        let token = trusting.token("nightly", all).await;
        let config = StreamableHttpClientTransportConfig::with_uri(arguments[0]).auth_header(token);
        let transport = StreamableHttpClientTransport::from_config(config);
        assert_eq!(rust_sdk::run_task(transport, "priced").await, "42");
    };
    tokio::join!(
        says_ok("authorized.mjs", &arguments),
        says_ok("authorized.py", &arguments),
        rust,
    );
}
