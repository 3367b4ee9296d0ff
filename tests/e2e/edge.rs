//! What comes in from elsewhere, too large, in another format, or without a session.

use std::time::{Duration, Instant};

use serde_json::json;
use taskferry_client::{Method, StatusCode};
use taskferry_testing::redis::cmd;
use taskferry_testing::{TestServer, eventually};

use crate::client::{Legacy, Modern, get, http};
use crate::fleet::Replica;

const SOON: Duration = Duration::from_secs(20);
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn other_hosts_and_origins_are_turned_away_on_every_method() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    for method in [Method::POST, Method::GET, Method::DELETE, Method::PUT] {
        for header in [
            ("host", "evil.example"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
        ] {
            let answer = http(
                method.clone(),
                &replica.endpoint,
                &[JSON, header],
                Some("{}".to_owned()),
            )
            .await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {header:?}");
            assert!(answer.message().contains("allowed_"), "{}", answer.text);
        }
    }
    for path in ["/healthz", "/readyz"] {
        let url = format!("{}{path}", replica.origin);
        for header in [("host", "evil.example"), ("origin", "http://evil.example")] {
            let answer = http(Method::GET, &url, &[header], None).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {header:?}");
        }
    }
    let page = ("origin", "http://localhost:3000");
    let answer = http(
        Method::POST,
        &replica.endpoint,
        &[JSON, page],
        Some("{}".to_owned()),
    )
    .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
}

#[tokio::test]
async fn bodies_are_bounded_and_must_be_json() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &["--max-body", "2KiB"]).await;
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":"{}"}}}}"#,
        "x".repeat(3000)
    );
    let answer = http(Method::POST, &replica.endpoint, &[JSON], Some(large)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.message().contains("2048"), "{}", answer.message());
    for kind in ["text/plain", "application/jsonp", ""] {
        let answer = http(
            Method::POST,
            &replica.endpoint,
            &[("content-type", kind)],
            Some("{}".to_owned()),
        )
        .await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let utf8 = ("content-type", "application/json; charset=utf-8");
    let answer = http(
        Method::POST,
        &replica.endpoint,
        &[utf8],
        Some("{}".to_owned()),
    )
    .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_the_name_of_its_encoding() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (encoding, status) in [
        ("gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("identity, Br", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        // Served: this one has no session.
        ("Identity", StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
    ] {
        let headers = [JSON, ("content-encoding", encoding)];
        let body = Some(ping.to_owned());
        let answer = http(Method::POST, &replica.endpoint, &headers, body).await;
        assert_eq!(answer.status, status, "{encoding}");
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let coding = encoding.rsplit(' ').next().unwrap();
            assert!(answer.message().contains(coding), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn sessions_must_be_named_and_alive() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let session = Legacy::open(&replica.endpoint).await;
    for wrong in ["nonsense", "00000000-0000-4000-8000-000000000000"] {
        let other = Legacy {
            session: wrong.to_owned(),
            ..session.clone()
        };
        assert_eq!(
            other.request("ping", json!({})).await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            other.send(Method::GET, None).await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            other.send(Method::DELETE, None).await.status,
            StatusCode::NOT_FOUND
        );
    }
    let other = Legacy {
        revision: "1999-01-01".to_owned(),
        ..session.clone()
    };
    assert_eq!(
        other.request("ping", json!({})).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn methods_params_and_ways_that_do_not_exist_have_their_codes() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let session = Legacy::open(&replica.endpoint).await;
    for (method, params, code) in [
        ("no/such/method", json!({}), -32601),
        ("tools/call", json!({ "name": 7 }), -32602),
        ("tools/call", json!({}), -32602),
        ("tools/list", json!({ "cursor": "x" }), -32602),
        ("tasks/get", json!({}), -32602),
    ] {
        let refused = session.request(method, params.clone()).await;
        assert_eq!(refused.code(), code, "{method} {params}");
    }
    let session = ("mcp-session-id", session.session.as_str());
    let stream = ("accept", "text/event-stream");
    let endpoint = replica.endpoint.as_str();
    for (method, url, headers, status) in [
        (
            Method::GET,
            endpoint,
            vec![("accept", "application/json"), session],
            StatusCode::NOT_ACCEPTABLE,
        ),
        (Method::GET, endpoint, vec![stream], StatusCode::BAD_REQUEST),
        (
            Method::PUT,
            endpoint,
            vec![JSON],
            StatusCode::METHOD_NOT_ALLOWED,
        ),
    ] {
        let answer = http(method.clone(), url, &headers, None).await;
        assert_eq!(answer.status, status, "{method} {url} {headers:?}");
    }
}

#[tokio::test]
async fn the_endpoint_is_served_with_a_slash_at_its_end_too() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let session = Legacy::open(&format!("{}/", replica.endpoint)).await;
    session.request("ping", json!({})).await.result();
    let modern = Modern::with_tasks(&session.endpoint);
    modern.request("server/discover", json!({})).await.result();
    let refused = session.send(Method::PUT, None).await;
    assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        session.send(Method::DELETE, None).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn a_path_where_nothing_is_served_says_where_the_endpoint_is() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let page = ("origin", "http://localhost:6274");
    for (method, path, status) in [
        (Method::GET, "/", StatusCode::NOT_FOUND),
        (Method::POST, "/", StatusCode::NOT_FOUND),
        (Method::GET, "/sse", StatusCode::NOT_FOUND),
        (Method::POST, "/mcp/mcp", StatusCode::NOT_FOUND),
        (Method::POST, "/MCP", StatusCode::NOT_FOUND),
        (
            Method::GET,
            "/.well-known/oauth-protected-resource/mcp",
            StatusCode::NOT_FOUND,
        ),
        (Method::POST, "/readyz", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let url = format!("{}{path}", replica.origin);
        let answer = http(method.clone(), &url, &[JSON, page], None).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let text = answer.text.strip_suffix('\n').unwrap();
        assert!(text.ends_with("the MCP endpoint is /mcp"), "{text}");
        assert_eq!(text.lines().count(), 1);
        assert_eq!(answer.headers["access-control-allow-origin"], page.1);
        let others = http(method, &url, &[("origin", "http://evil.example")], None).await;
        assert!(!others.headers.contains_key("access-control-allow-origin"));
    }
}

/// How often Redis was asked whether it knows the transitions.
async fn checks(redis: &TestServer) -> u64 {
    let mut raw = redis.raw().await;
    let stats: String = cmd("INFO")
        .arg("commandstats")
        .query_async(&mut raw)
        .await
        .unwrap();
    let calls = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_script|exists:calls="));
    let calls = calls.and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn however_often_readiness_is_read_redis_is_asked_once_a_second() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &[]).await;
    let url = format!("{}/readyz", replica.origin);
    let before = checks(&redis).await;
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(get(&url).await.status, StatusCode::OK);
    }
    let most = begun.elapsed().as_secs() + 2;
    let asked = checks(&redis).await - before;
    assert!(asked <= most, "{asked} times, of {most}");
}

#[tokio::test]
async fn a_silent_session_ends_and_one_in_use_does_not() {
    let redis = TestServer::start().await;
    let replica = Replica::start(&redis.url(), &["--session-idle", "20s"]).await;
    let used = Legacy::open(&replica.endpoint).await;
    let silent = Legacy::open(&replica.endpoint).await;
    let mut raw = redis.raw().await;
    let mut ask = async |name: &str, session: &Legacy, more: &[i64]| -> i64 {
        let mut command = cmd(name);
        command.arg(format!("tf:{{s:{}}}:session", session.session));
        command.arg(more);
        command.query_async(&mut raw).await.unwrap()
    };
    eventually(SOON, "the session in use lives longer", async || {
        assert_eq!(used.request("ping", json!({})).await.status, StatusCode::OK);
        // The silent one first: whatever time passes in between makes the other seem shorter.
        let silent = ask("PTTL", &silent, &[]).await;
        assert!(silent <= 20_000, "{silent} ms");
        ask("PTTL", &used, &[]).await > silent + 500
    })
    .await;
    // Its time has come.
    ask("PEXPIRE", &silent, &[1]).await;
    eventually(SOON, "the silent session ended", async || {
        ask("EXISTS", &silent, &[]).await == 0
    })
    .await;
    assert_eq!(used.request("ping", json!({})).await.status, StatusCode::OK);
    assert_eq!(
        silent.request("ping", json!({})).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn pages_of_served_origins_may_call_and_read_the_answers() {
    let redis = TestServer::start().await;
    let flags = ["--allowed-origins", "https://app.example"];
    let replica = Replica::start(&redis.url(), &flags).await;
    let preflight = |origin: &'static str| {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "content-type,mcp-session-id,mcp-param-x",
            ),
        ];
        let endpoint = replica.endpoint.clone();
        async move { http(Method::OPTIONS, &endpoint, &asked, None).await }
    };
    for origin in ["https://app.example", "http://localhost:6274"] {
        let asked = preflight(origin).await;
        assert_eq!(asked.status, StatusCode::NO_CONTENT, "{}", asked.text);
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "GET, POST, DELETE"),
            (
                "access-control-allow-headers",
                "content-type,mcp-session-id,mcp-param-x",
            ),
            ("vary", "Origin"),
        ] {
            assert_eq!(asked.headers[name], value, "{name}");
        }
        let from_page = [JSON, ("origin", origin)];
        let answer = http(
            Method::POST,
            &replica.endpoint,
            &from_page,
            Some("{}".to_owned()),
        )
        .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
        let exposed = answer.headers["access-control-expose-headers"]
            .to_str()
            .unwrap();
        assert!(exposed.contains("Mcp-Session-Id"), "{exposed}");
    }
    let refused = preflight("https://evil.example").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
    let without = http(Method::OPTIONS, &replica.endpoint, &[], None).await;
    assert_eq!(without.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(!without.headers.contains_key("access-control-allow-origin"));
}
