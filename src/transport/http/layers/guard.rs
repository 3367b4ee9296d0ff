//! Refuses requests by their `Host` and `Origin`. This protects a server on loopback from web pages in a browser on the
//! same machine, also by DNS rebinding (2026-07-28, Streamable HTTP, Security).

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use taskferry_contract::quoted;

use crate::audit::{Audit, Denied};
use crate::transport::http::connections::Connected;
use crate::transport::http::layers::check::Check;
use crate::transport::http::refused::Refused;

/// Names that mean this machine.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The hosts and origins from which requests are accepted, beside loopback ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    /// Host names without port, from `allowed_hosts`; `*` for any.
    pub(crate) hosts: Vec<String>,
    /// Origins as browsers send them, `scheme://host[:port]`, from `allowed_origins`; `*` for any.
    pub(crate) origins: Vec<String>,
}

impl Guard {
    /// Refuses a request that names another host, or comes from a page of another origin.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("");
        if !self.serves_host(host) {
            let text = format!(
                "this server does not serve the host {}; add it to allowed_hosts if it should",
                quoted(host)
            );
            return Err(Refused::new(StatusCode::FORBIDDEN, text));
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or("");
            if !self.serves_origin(origin) {
                let text = format!(
                    "this server does not accept requests from pages of {}; add it to allowed_origins if it should",
                    quoted(origin)
                );
                return Err(Refused::new(StatusCode::FORBIDDEN, text));
            }
        }
        Ok(())
    }

    fn serves_host(&self, host: &str) -> bool {
        let name = without_port(host);
        is_loopback(name)
            || self
                .hosts
                .iter()
                .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name))
    }

    fn serves_origin(&self, origin: &str) -> bool {
        let is_allowed = self
            .origins
            .iter()
            .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
        let name = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        is_allowed || name.is_some_and(|name| is_loopback(without_port(name)))
    }
}

/// Middleware: refuses a request by its `Host` or `Origin`.
pub(in crate::transport::http) fn check_host_and_origin(
    guard: Arc<Guard>,
    audit: Audit,
) -> Check<impl Fn(&mut Request) -> Result<(), Refused> + Clone> {
    Check::by(move |request: &mut Request| {
        guard.judge(request.headers()).inspect_err(|_refused| {
            let connected = request.extensions().get::<Connected>();
            let address = connected.map(|connected| connected.address);
            audit.denied(Denied {
                peer: address.as_ref().map(|address| address as &dyn Display),
                ..Denied::because("a host or an origin that is not allowed")
            });
        })
    })
}

/// Middleware: refuses a request with several `Host` headers, or with a `Host` that differs from its target. A proxy in
/// front of this server may have routed it by the other one (RFC 9112, section 3.2).
pub(in crate::transport::http) fn one_host()
-> Check<impl Fn(&mut Request) -> Result<(), Refused> + Clone> {
    Check::by(|request: &mut Request| {
        check_one_host(request.headers(), request.uri())
            .map_err(|text| Refused::new(StatusCode::BAD_REQUEST, text.to_owned()))
    })
}

fn check_one_host(headers: &HeaderMap, target: &Uri) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err("the header Host is there more than once");
    }
    let (Some(target), Some(host)) = (target.authority(), host) else {
        return Ok(());
    };
    let (target, host) = (target.as_str().as_bytes(), host.as_bytes());
    if target.eq_ignore_ascii_case(host) {
        return Ok(());
    }
    Err("the header Host names another host than the request's target")
}

fn is_loopback(name: &str) -> bool {
    LOOPBACK
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// A host without its port. `[::1]` without a port stays as it is. So does `localhost:x`, which then is no known host.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(guard: &Guard, host: &str, origin: Option<&str>) -> StatusCode {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        guard
            .judge(&headers)
            .err()
            .map_or(StatusCode::OK, |refused| refused.status)
    }

    #[test]
    fn only_loopback_is_served_unless_told_otherwise() {
        let guard = Guard::default();
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:80",
            "[::1]:9",
            "[::1]",
        ] {
            assert_eq!(status(&guard, host, None), StatusCode::OK, "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "localhost:80:x",
        ] {
            assert_eq!(status(&guard, host, None), StatusCode::FORBIDDEN, "{host}");
        }
        assert_eq!(
            status(&guard, "localhost", Some("http://localhost:5173")),
            StatusCode::OK
        );
        for origin in [
            "http://evil.example",
            "null",
            "",
            "http://localhost.evil.example",
            "file://localhost",
        ] {
            assert_eq!(
                status(&guard, "localhost", Some(origin)),
                StatusCode::FORBIDDEN,
                "{origin}"
            );
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let check = |hosts: &[&str], target: &str| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            check_one_host(&headers, &target.parse().unwrap())
        };
        assert_eq!(check(&["localhost"], "/mcp"), Ok(()));
        assert_eq!(check(&[], "/mcp"), Ok(()));
        assert_eq!(check(&["LOCALHOST:80"], "http://localhost:80/mcp"), Ok(()));
        assert!(check(&["localhost", "localhost"], "/mcp").is_err());
        assert!(check(&["localhost", "evil.example"], "/mcp").is_err());
        assert!(check(&["localhost"], "http://evil.example/mcp").is_err());
        assert!(check(&["localhost"], "http://user@localhost/mcp").is_err());
    }

    #[test]
    fn configured_names_are_served_too() {
        let guard = Guard {
            hosts: vec!["tasks.example".to_owned()],
            origins: vec!["https://app.example".to_owned()],
        };
        assert_eq!(
            status(&guard, "tasks.example:443", Some("https://app.example")),
            StatusCode::OK
        );
        assert_eq!(
            status(&guard, "tasks.example", Some("http://app.example")),
            StatusCode::FORBIDDEN
        );
        let any = Guard {
            hosts: vec!["*".to_owned()],
            origins: Vec::new(),
        };
        assert_eq!(status(&any, "whatever", None), StatusCode::OK);
    }
}
