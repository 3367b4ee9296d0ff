//! The endpoint speaks TLS, and so do the programs with Redis.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use taskferry_client::{Http, Method, Request};
use taskferry_testing::{
    Authority, Certificate, Process, ServerOptions, TestServer, command, eventually, free_port,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::is_up_over;
use crate::fleet::Replica;
use crate::tools::{basic, manifest};

const HERE: &str = "127.0.0.1";
const SOON: Duration = Duration::from_secs(20);

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A Redis, and a front end on it with this certificate.
async fn endpoint(own: &Certificate, more: &[&str]) -> (TestServer, Replica) {
    let redis = TestServer::start().await;
    let (cert, key) = (shown(&own.cert), shown(&own.key));
    let flags = ["--tls-cert-file", &cert, "--tls-key-file", &key];
    let replica = Replica::start_unready(&redis.url(), &[&flags[..], more].concat()).await;
    (redis, replica)
}

fn place(replica: &Replica) -> String {
    replica.origin.trim_start_matches("https://").to_owned()
}

/// What the two sides agree on, if they do.
async fn agreed(
    replica: &Replica,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    protocol: &str,
) -> std::io::Result<(ProtocolVersion, Vec<u8>)> {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(authority.ca()).unwrap();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[version]).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let tcp = TcpStream::connect(place(replica)).await?;
    let name = ServerName::try_from(HERE).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    let session = stream.get_ref().1;
    let protocol = session.alpn_protocol().unwrap_or_default().to_vec();
    Ok((session.protocol_version().unwrap(), protocol))
}

#[tokio::test]
async fn an_endpoint_with_a_certificate_speaks_tls_alone() {
    let authority = Authority::default();
    let (_redis, mut replica) = endpoint(&authority.issue(&[HERE]), &[]).await;
    assert!(
        replica.endpoint.starts_with("https://"),
        "{}",
        replica.endpoint
    );
    replica.ready().await;
    let both = [&rustls::version::TLS12, &rustls::version::TLS13];
    for version in both {
        let agreed = agreed(&replica, &authority, version, "http/1.1").await;
        assert_eq!(agreed.unwrap(), (version.version, b"http/1.1".to_vec()));
    }
    let other = agreed(&replica, &authority, both[1], "h2").await;
    assert!(other.is_err(), "HTTP/2 is not served: {other:?}");

    let mut plain = TcpStream::connect(place(&replica)).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    plain.write_all(request).await.unwrap();
    let mut told = String::new();
    plain.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    assert!(told.contains("https://"), "{told}");

    let http = Http::trusting(&std::fs::read(authority.ca()).unwrap(), None).unwrap();
    let get = Request::new(Method::GET).with_all(&[("host", "evil.example")]);
    let refused = http.send(&replica.endpoint, &get).await.unwrap();
    assert_eq!(refused.status(), 403, "the guard is there");

    // A stream is ended in order by a stop, as it is without TLS.
    let client = replica.client();
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = client.open("subscriptions/listen", listen).await;
    let first = stream.message().await.unwrap();
    assert!(first.is_some(), "it is acknowledged");
    replica.process.terminate();
    while let Ok(Some(_message)) = stream.message().await {}
    let status = replica.process.wait_for_exit(SOON).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let (first, second) = (Authority::default(), Authority::default());
    let own = first.issue(&[HERE]);
    let (_redis, replica) = endpoint(&own, &[]).await;
    let http = |authority: &Authority| {
        Http::trusting(&std::fs::read(authority.ca()).unwrap(), None).unwrap()
    };
    let url = format!("{}/healthz", replica.origin);
    let kept = http(&first);
    assert!(is_up_over(&kept, &url).await);

    std::fs::write(&own.cert, "no certificate").unwrap();
    let told = || replica.process.stderr();
    eventually(SOON, "the bad one is told of", async || {
        told().contains("the old one goes on")
    })
    .await;
    assert!(is_up_over(&http(&first), &url).await);

    let new = second.issue(&[HERE]);
    std::fs::copy(&new.key, &own.key).unwrap();
    std::fs::copy(&new.cert, &own.cert).unwrap();
    eventually(SOON, "new connections get the new one", async || {
        is_up_over(&http(&second), &url).await
    })
    .await;
    assert!(!is_up_over(&http(&first), &url).await);
    assert!(is_up_over(&kept, &url).await, "an open connection goes on");
    assert!(!told().contains("PRIVATE KEY"), "{}", told());
}

#[tokio::test]
async fn clients_show_a_certificate_where_one_is_asked_for() {
    let (authority, other) = (Authority::default(), Authority::default());
    let ca = shown(&authority.ca());
    let own = authority.issue(&[HERE]);
    let (_redis, replica) = endpoint(&own, &["--tls-client-ca-file", &ca]).await;
    let url = format!("{}/healthz", replica.origin);
    let trusted = std::fs::read(authority.ca()).unwrap();
    let with = |client: Option<&Certificate>| {
        let own = client.map(|client| {
            let parts = [&client.cert, &client.key].map(|part| std::fs::read(part).unwrap());
            parts.concat()
        });
        Http::trusting(&trusted, own.as_deref()).unwrap()
    };
    let known = authority.issue(&["client"]);
    for (client, serves) in [
        (Some(&known), true),
        (Some(&other.issue(&["client"])), false),
        (Some(&authority.issue_expired(&["client"])), false),
        (None, false),
    ] {
        assert_eq!(is_up_over(&with(client), &url).await, serves, "{client:?}");
    }

    let ready = format!("{}/readyz", replica.origin);
    let check = |more: &[&str]| {
        let mut check = command("taskferry");
        check.args(["healthcheck", "--url", &ready]).args(more);
        let output = check.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), told)
    };
    let (cert, key) = (shown(&known.cert), shown(&known.key));
    let shows = ["--ca-file", &ca, "--cert-file", &cert, "--key-file", &key];
    eventually(SOON, "it is healthy", async || check(&shows).0).await;
    let named = [&shows[..], &["--server-name", "mcp.example.com"]].concat();
    for more in [&[][..], &["--ca-file", &ca], &named] {
        let (healthy, told) = check(more);
        assert!(
            !healthy && told.to_lowercase().contains("certificate"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn every_program_reaches_a_redis_that_speaks_tls() {
    let (authority, other) = (Authority::default(), Authority::default());
    let (port, theirs) = (free_port(), authority.issue(&[HERE]));
    let redis = TestServer::start_with(ServerOptions {
        arguments: authority.redis_arguments(&theirs, port, "yes"),
        ..ServerOptions::default()
    })
    .await;
    let own = authority.issue(&["taskferry"]);
    let of = |name: &str, words: &[&str], ca: &Authority| {
        let mut command: Command = command(name);
        command.args(words);
        command.env("TASKFERRY_REDIS_URL", format!("rediss://{HERE}:{port}/0"));
        command.env("TASKFERRY_REDIS_CA_FILE", ca.ca());
        command.env("TASKFERRY_REDIS_CERT_FILE", &own.cert);
        command.env("TASKFERRY_REDIS_KEY_FILE", &own.key);
        command
    };
    let tools = shown(&manifest(&basic()));
    let worker = of("taskferry-worker", &["--manifest", &tools], &authority);
    let mut worker = Process::start("taskferry-worker", worker);
    worker.wait_for_line(SOON, "slots=").await;
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let mut front_end = Process::start("taskferry serve", of("taskferry", &serve, &authority));
    front_end.wait_for_line(SOON, "reached and fit").await;
    for words in [
        &["doctor"][..],
        &["status"],
        &["tools", "list"],
        &["dead", "list"],
    ] {
        let output = of("taskferry", words, &authority).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    // Whoever issued Redis's certificate is not trusted: all say so, and end.
    for words in [&["doctor"][..], &["status"], &serve] {
        let output = of("taskferry", words, &other).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {told}");
        assert!(told.contains("redis_ca_file"), "{words:?}: {told}");
    }
    drop(redis);
}
