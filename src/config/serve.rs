//! The settings of `serve` (and of `dev`, which serves too).

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use taskferry_contract::{
    Durability, RedisSettings, Replication, SessionLimits, UnknownDurability,
};
use taskferry_process::settings::{
    Problems, Settings, bytes, duration, file_name, take_redis, truth, within,
};
use taskferry_process::telemetry::{LogSettings, take_log};

use crate::bridge::Limits;
use crate::config::callers::{Callers, single_user, take_callers};
use crate::mcp::McpSettings;
use crate::transport::http::{CertificateFiles, Certificates, Guard, HttpSettings, TrustedProxies};

/// How long open requests may take to end, unless it is set: with what comes after, less than the 10 s that `docker stop`
/// gives.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(7);

/// A front end's configuration.
#[derive(Debug, Clone)]
pub(crate) struct ServeConfig {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// How long open requests may take to end after SIGTERM.
    pub(crate) drain_timeout: Duration,
    /// Redis.
    pub(crate) redis: RedisSettings,
    /// What Redis must not lose.
    pub(crate) durability: Durability,
    /// How long Redis replicas may take to acknowledge a change that a client hears of.
    pub(crate) replica_timeout: Duration,
    /// What callers may queue.
    pub(crate) limits: Limits,
    /// What results on their way may take together, bytes.
    pub(crate) result_memory: usize,
    /// The protocol.
    pub(crate) mcp: McpSettings,
    /// The transport.
    pub(crate) http: HttpSettings,
    /// Who may call.
    pub(crate) callers: Callers,
    /// What is logged, and how.
    pub(crate) log: LogSettings,
    /// What is amiss with the settings, though they can be used.
    pub(crate) warnings: Vec<String>,
}

impl ServeConfig {
    /// Takes every setting; refuses all problems at once.
    pub(crate) fn take(mut settings: Settings) -> Result<Self, Problems> {
        let all = &mut settings;
        let callers = take_callers(all);
        let listen = take_listen(all, &callers);
        let peer_share = all.take("peer_share", 75, |text| {
            let percent = text.parse().map_err(|_not_a_number| WHOLE.to_owned())?;
            within(1, 100)(percent)
        });
        let mut config = Self {
            listen,
            drain_timeout: take_duration(all, "drain_timeout", DRAIN_TIMEOUT),
            redis: take_redis(all),
            durability: all.take("durability", Durability::Memory, |text| {
                text.parse()
                    .map_err(|rule: UnknownDurability| rule.to_string())
            }),
            replica_timeout: all.take("replica_timeout", Duration::from_secs(1), |text| {
                duration(text).and_then(within(Duration::from_millis(10), Duration::from_secs(60)))
            }),
            limits: take_limits(all, peer_share),
            result_memory: take_memory(all, "result_memory", 128 << 20),
            mcp: McpSettings {
                session_idle: take_duration(all, "session_idle", Duration::from_secs(3600)),
                stream_after: take_duration(all, "stream_after", Duration::from_secs(1)),
                handle_after: all.take("handle_after", Some(Duration::from_secs(45)), handle_after),
                instructions: all.take_optional("instructions", |text| Ok(text.to_owned())),
                event_memory: take_memory(all, "event_memory", 32 << 20),
            },
            http: HttpSettings {
                max_body_bytes: all.take("max_body", 4 << 20, |text| {
                    bytes(text).and_then(within(1 << 10, 1 << 30))
                }),
                body_memory: take_memory(all, "body_memory", 64 << 20),
                max_connections: all.take("max_connections", 20_000, at_most_a_million),
                max_requests: all.take("max_requests", 16_000, at_most_a_million),
                peer_share,
                address_rate: all.take("address_rate", rate_of_others(listen), rate),
                trusted_proxies: all.take(
                    "trusted_proxies",
                    TrustedProxies::default(),
                    TrustedProxies::parse,
                ),
                keep_alive: take_duration(all, "keep_alive", Duration::from_secs(15)),
                guard: Guard {
                    hosts: all.take("allowed_hosts", Vec::new(), names),
                    origins: all.take("allowed_origins", Vec::new(), names),
                },
                certificates: take_certificates(all),
            },
            callers,
            log: take_log(all),
            warnings: Vec::new(),
        };
        config.warnings = settings.finish()?;
        config.warnings.extend(config.sums());
        Ok(config)
    }

    /// The Redis replicas that must have a change before a client hears of it.
    pub(crate) fn replication(&self) -> Option<Replication> {
        let replicas = self.durability.replicas();
        (replicas > 0).then_some(Replication {
            replicas,
            timeout: self.replica_timeout,
        })
    }

    /// The same configuration for one user on this machine.
    pub(crate) fn for_one_user(mut self) -> Self {
        self.callers = Callers::Everyone(single_user());
        self
    }
}

fn take_listen(settings: &mut Settings, callers: &Callers) -> SocketAddr {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 8080));
    let place = settings.given_as("listen");
    let listen = settings.take("listen", loopback, |text| {
        text.parse().map_err(|_not_an_address| {
            "must be an address and a port, as in 127.0.0.1:8080".to_owned()
        })
    });
    let allowed = settings.take("allow_unauthenticated", false, truth);
    let open = matches!(callers, Callers::Everyone(_));
    if open && !listen.ip().is_loopback() && !allowed {
        settings.refuse(format!(
            "{place}: {listen} can be reached from other machines, and nothing tells callers apart; name an access_file, listen on 127.0.0.1, or say allow_unauthenticated = true"
        ));
    }
    listen
}

/// What TLS is spoken with, if it is.
fn take_certificates(settings: &mut Settings) -> Option<Certificates> {
    let cert = settings.take_optional("tls_cert_file", file_name);
    let key = settings.take_secret_file("tls_key_file");
    let client_ca = settings.take_optional("tls_client_ca_file", file_name);
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) if client_ca.is_none() => return None,
        _ => {
            settings.refuse("tls_cert_file, tls_key_file: TLS needs both".to_owned());
            return None;
        }
    };
    let files = CertificateFiles {
        cert,
        key,
        client_ca,
    };
    let read = Certificates::read(files);
    read.map_err(|problem| settings.refuse(problem)).ok()
}

/// What callers may have.
fn take_limits(settings: &mut Settings, peer_share: usize) -> Limits {
    Limits {
        queue_cap: settings.take("queue_cap", 100_000, count),
        owner_cap: settings.take("owner_cap", 10_000, count),
        owner_share: settings.take("owner_share", 16, count),
        owner_bytes: settings.take("owner_bytes", 1 << 30, |text| match text {
            "0" => Ok(0),
            text => bytes(text)
                .and_then(within(1 << 20, 1 << 50))
                .map(|bytes| bytes as u64),
        }),
        queue_share: u64::try_from(peer_share).unwrap_or(100),
        sessions: SessionLimits {
            of_holder: settings.take("session_cap", 1_000, count),
            in_all: settings.take("max_sessions", 100_000, count),
        },
        owner_rate: settings.take("owner_rate", None, rate),
        no_worker_refuse: settings.take("no_worker_refuse", None, no_worker_refuse),
        plain_keep: Duration::from_secs(60),
    }
}

fn take_memory(settings: &mut Settings, name: &str, default: usize) -> usize {
    settings.take(name, default, |text| {
        bytes(text).and_then(within(1 << 20, 1 << 40))
    })
}

fn take_duration(settings: &mut Settings, name: &str, default: Duration) -> Duration {
    settings.take(name, default, |text| {
        duration(text).and_then(within(
            Duration::from_millis(1),
            Duration::from_secs(7 * 86_400),
        ))
    })
}

/// A wait, or none at all.
fn handle_after(text: &str) -> Result<Option<Duration>, String> {
    or_off(text, Duration::from_millis(1))
}

/// A time of so long at least, or none at all.
fn or_off(text: &str, least: Duration) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let bounds = within(least, Duration::from_secs(7 * 86_400));
    let wait = duration(text).and_then(bounds);
    wait.map(Some)
        .map_err(|rule| format!("{rule}; or must be off"))
}

/// A time without a worker, or none at all. It is no shorter than what it takes to see that there is none: a worker beats every
/// ten seconds, also after Redis lost what it said before.
fn no_worker_refuse(text: &str) -> Result<Option<Duration>, String> {
    or_off(text, Duration::from_secs(15))
}

const WHOLE: &str = "must be a whole number, 0 or more";

fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_not_a_number| WHOLE.to_owned())
}

/// A number of what may be open at once; 0 stands for no limit.
fn at_most_a_million(text: &str) -> Result<usize, String> {
    let most: usize = text.parse().map_err(|_not_a_number| WHOLE.to_owned())?;
    let most = within(0, 1_000_000)(most)?;
    Ok(if most == 0 { usize::MAX } else { most })
}

/// How many requests an address may make in a second, unless it is set: more than any client needs, where others than the
/// programs of this machine can be clients.
fn rate_of_others(listen: SocketAddr) -> Option<NonZeroU32> {
    NonZeroU32::new(1_000).filter(|_| !listen.ip().is_loopback())
}

/// Requests in a second; 0 stands for no limit.
fn rate(text: &str) -> Result<Option<NonZeroU32>, String> {
    let rate = text.parse().map_err(|_not_a_number| WHOLE.to_owned())?;
    within(0, 1_000_000)(rate).map(NonZeroU32::new)
}

fn names(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(|name| name.trim().to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use taskferry_process::settings::{Binary, names_of};

    use super::*;
    use crate::config::settings_of_serve;

    fn config(flags: &[(&str, &str)]) -> Result<ServeConfig, Problems> {
        let mut settings = Settings::new(settings_of_serve());
        for (name, value) in flags {
            settings.add_flag(name, (*value).to_owned());
        }
        ServeConfig::take(settings)
    }

    #[test]
    fn the_defaults_are_loopback_and_nobody_lists() {
        let config = config(&[]).unwrap();
        assert!(config.listen.ip().is_loopback());
        let is_anonymous = |config: &ServeConfig| match &config.callers {
            Callers::Everyone(owner) => owner.is_anonymous(),
            Callers::Known(..) => panic!("there is no access file"),
        };
        assert!(is_anonymous(&config));
        assert!(!is_anonymous(&config.for_one_user()));
    }

    #[test]
    fn a_front_end_ends_before_docker_kills_it_unless_it_is_told_otherwise() {
        let rest = Duration::from_secs(2);
        assert!(config(&[]).unwrap().drain_timeout + rest < Duration::from_secs(10));
    }

    #[test]
    fn the_unit_gives_a_drain_its_time() {
        let unit = include_str!("../../deploy/systemd/taskferry.service");
        let patience = unit
            .lines()
            .find_map(|line| line.strip_prefix("TimeoutStopSec="));
        let patience = Duration::from_secs(patience.unwrap().parse().unwrap());
        let drain = config(&[]).unwrap().drain_timeout;
        assert!(patience > drain + Duration::from_secs(2), "{patience:?}");
    }

    #[test]
    fn handles_can_be_switched_off() {
        let after = |flags: &[_]| config(flags).unwrap().mcp.handle_after;
        assert_eq!(after(&[]), Some(Duration::from_secs(45)));
        assert_eq!(after(&[("handle_after", "off")]), None);
    }

    #[test]
    fn a_public_listener_must_be_asked_for_twice() {
        let public = ("listen", "0.0.0.0:80");
        let refused = config(&[public]).unwrap_err().to_string();
        assert!(refused.contains("allow_unauthenticated"), "{refused}");
        assert!(config(&[public, ("allow_unauthenticated", "true")]).is_ok());
    }

    #[test]
    fn an_address_has_a_rate_where_others_can_come_from_one() {
        let rate = |flags: &[(&str, &str)]| {
            let config = config(flags).unwrap();
            let warns = config.warnings.iter().any(|it| it.contains("address_rate"));
            (config.http.address_rate.map(NonZeroU32::get), warns)
        };
        let (public, open) = (("listen", "0.0.0.0:80"), ("allow_unauthenticated", "true"));
        assert_eq!(rate(&[]), (None, false));
        assert_eq!(rate(&[public, open]), (Some(1_000), false));
        assert_eq!(
            rate(&[public, open, ("address_rate", "7")]),
            (Some(7), false)
        );
        assert_eq!(rate(&[public, open, ("address_rate", "0")]), (None, true));
    }

    #[test]
    fn an_access_file_lets_a_listener_be_public() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.toml");
        let path = file.to_str().unwrap();
        let (public, known) = (("listen", "0.0.0.0:80"), ("access_file", path));
        let refused = config(&[public, known]).unwrap_err().to_string();
        assert!(refused.contains("cannot be read"), "{refused}");
        std::fs::write(&file, "resource = 1").unwrap();
        let refused = config(&[known]).unwrap_err().to_string();
        assert!(refused.contains("cannot be used: line 1"), "{refused}");
        let digest = "0".repeat(64);
        let text = format!(
            "resource = 'https://a.example/mcp'\n[[key]]\nname = 'ci'\nsha256 = '{digest}'"
        );
        std::fs::write(&file, text).unwrap();
        assert!(config(&[public, known]).is_ok());
        let refused = config(&[known, ("single_user", "true")]).unwrap_err();
        assert!(refused.to_string().contains("single_user"), "{refused}");
    }

    #[test]
    fn tls_needs_a_certificate_and_its_key() {
        for name in ["tls_cert_file", "tls_key_file", "tls_client_ca_file"] {
            let refused = config(&[(name, "/none")]).unwrap_err().to_string();
            assert!(refused.contains("TLS needs both"), "{refused}");
        }
        let authority = taskferry_testing::Authority::default();
        let [one, other] = [(); 2].map(|()| authority.issue(&["localhost"]));
        let with = |cert: &Path, key: &Path| {
            let [cert, key] = [cert, key].map(|path| path.display().to_string());
            config(&[("tls_cert_file", &cert), ("tls_key_file", &key)])
        };
        assert!(with(&one.cert, &one.key).is_ok());
        for (cert, key, part) in [
            (&one.cert, &other.key, "cannot be used"),
            (&one.key, &one.key, "has no certificate"),
            (&one.cert, &one.cert, "has no key"),
            (&one.cert, &"/none/key.pem".into(), "cannot be read"),
        ] {
            let refused = with(cert, key).unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn only_the_replicated_level_waits_for_replicas() {
        let replication = |level| config(&[("durability", level)]).unwrap().replication();
        assert_eq!(replication("always"), None);
        let two = replication("replicated:2").unwrap();
        assert_eq!((two.replicas, two.timeout), (2, Duration::from_secs(1)));
    }

    #[test]
    fn impossible_values_are_refused_together() {
        let flags = [
            ("listen", "here"),
            ("max_body", "0B"),
            ("queue_cap", "-1"),
            ("log", "taskferry=loud"),
            ("log_format", "xml"),
            ("keep_alive", "0ms"),
            ("handle_after", "0s"),
            ("durability", "replicated:0"),
            ("replica_timeout", "1d"),
            ("max_requests", "many"),
            ("max_connections", "1000001"),
            ("peer_share", "0"),
            ("address_rate", "fast"),
            ("owner_rate", "1000001"),
            ("no_worker_refuse", "14s"),
            ("session_cap", "-1"),
            ("trusted_proxies", "balancer"),
            ("body_memory", "1KiB"),
            ("result_memory", "1KiB"),
            ("event_memory", "1KiB"),
        ];
        let refused = config(&flags).unwrap_err();
        assert_eq!(refused.0.len(), flags.len(), "{refused}");
    }

    #[test]
    fn every_setting_and_its_default_are_in_the_operators_table() {
        let guide = include_str!("../../docs/OPERATIONS.md");
        for setting in settings_of_serve() {
            let begin = format!("| `{}` | ", setting.name);
            let row = guide.lines().find_map(|line| line.strip_prefix(&begin));
            let row = row.unwrap_or_else(|| panic!("{} is not in the table", setting.name));
            let shown = row.split_once(" | ").unwrap().0.trim_matches('`');
            let told = format!("[default: {shown}]");
            assert!(setting.help.ends_with(&told), "{}: {told}", setting.name);
        }
    }

    #[test]
    fn a_worker_passes_over_every_setting() {
        let own = settings_of_serve();
        let own: BTreeSet<&str> = own.iter().map(|setting| setting.name).collect();
        assert_eq!(own, names_of(Binary::FrontEnd).collect());
    }
}
