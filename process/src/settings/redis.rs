//! The settings of the Redis connection.

use std::time::Duration;

use secrecy::SecretString;
use taskferry_contract::{Access, Login, Password, RedisSettings, Shards, TlsFiles};

use super::{Setting, Settings, duration, file_name, within};

const REDIS_URL: &str = "redis_url";

/// The settings of the Redis connection, the same for both binaries.
pub const REDIS_SETTINGS: [Setting; 13] = [
    setting(
        REDIS_URL,
        "URL",
        "Redis, as redis://host:port/db, unix:///path, or redis+sentinel://host:port,host:port/primary/db; with TLS, rediss:// and rediss+sentinel:// [default: redis://127.0.0.1:6379/0]",
    ),
    setting(
        "redis_username",
        "NAME",
        "The user of Redis [default: none]",
    ),
    setting(
        "redis_password",
        "PASSWORD",
        "Its password; no flag: it is read from the environment or the settings file [default: none]",
    ),
    setting(
        "redis_password_file",
        "FILE",
        "A file with its password [default: none]",
    ),
    setting(
        "redis_sentinel_username",
        "NAME",
        "The user of the sentinels [default: none]",
    ),
    setting(
        "redis_sentinel_password",
        "PASSWORD",
        "Its password; no flag, as redis_password [default: none]",
    ),
    setting(
        "redis_sentinel_password_file",
        "FILE",
        "A file with its password [default: none]",
    ),
    setting(
        "redis_ca_file",
        "FILE",
        "The certificates that vouch for Redis, PEM [default: those of the system]",
    ),
    setting(
        "redis_cert_file",
        "FILE",
        "The certificate to show to Redis, PEM [default: none]",
    ),
    setting(
        "redis_key_file",
        "FILE",
        "The key of that certificate, PEM [default: none]",
    ),
    setting(
        "redis_prefix",
        "PREFIX",
        "What every key begins with: letters, digits, _ and - [default: tf]",
    ),
    setting(
        "redis_shards",
        "N",
        "Over how many hash tags the keys are spread, 1 to 1024; the same for every process [default: 1]",
    ),
    setting(
        "redis_timeout",
        "DURATION",
        "How long a command may take before it counts as failed [default: 3s]",
    ),
];

/// Whether a setting says which Redis is used, or as whom, rather than how.
#[must_use]
pub fn names_a_redis(name: &str) -> bool {
    let says_how = ["redis_prefix", "redis_shards", "redis_timeout"].contains(&name);
    name.starts_with("redis_") && !says_how
}

const fn setting(name: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, value, help }
}

/// Takes the settings of the Redis connection: every name of [`REDIS_SETTINGS`] must be known to `settings`. What cannot be
/// read is noted there, and the default stands in for it.
pub fn take_redis(settings: &mut Settings) -> RedisSettings {
    let mut redis = RedisSettings::new("redis://127.0.0.1:6379/0");
    redis.url_from = settings.came_from(REDIS_URL);
    let has_password = settings
        .given(REDIS_URL)
        .is_some_and(RedisSettings::has_password);
    if has_password && settings.is_flag(REDIS_URL) {
        settings.refuse_as_flag(REDIS_URL, "redis_password_file");
    } else if has_password {
        settings.warn_if_readable(REDIS_URL);
    }
    redis.url = settings.take(REDIS_URL, redis.url, redis_url);
    redis.access = Access {
        login: take_login(settings, "redis"),
        sentinel_login: take_login(settings, "redis_sentinel"),
        tls: TlsFiles {
            ca: settings.take_optional("redis_ca_file", file_name),
            cert: settings.take_optional("redis_cert_file", file_name),
            key: settings.take_secret_file("redis_key_file"),
        },
    };
    if let Err(rule) = redis.check_access() {
        settings.refuse(rule);
    }
    redis.prefix = settings.take("redis_prefix", redis.prefix, |text| {
        let fits = (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits {
            Ok(text.to_owned())
        } else {
            Err("must be 1 to 40 letters, digits, _ and -".to_owned())
        }
    });
    redis.shards = settings.take("redis_shards", redis.shards, |text| {
        text.parse()
            .ok()
            .and_then(Shards::new)
            .ok_or_else(|| "must be a number from 1 to 1024".to_owned())
    });
    redis.response_timeout = settings.take("redis_timeout", redis.response_timeout, |text| {
        duration(text).and_then(within(Duration::from_millis(10), Duration::from_secs(300)))
    });
    redis
}

/// Takes a user and a password, of the settings that begin with `of`.
fn take_login(settings: &mut Settings, of: &str) -> Login {
    let [username, given, in_file] =
        ["username", "password", "password_file"].map(|name| format!("{of}_{name}"));
    if settings.given(&given).is_some() && settings.given(&in_file).is_some() {
        let (one, other) = (settings.given_as(&given), settings.given_as(&in_file));
        settings.refuse(format!(
            "{one}, {other}: one password is enough; leave one out"
        ));
    }
    settings.warn_if_readable(&given);
    let password = settings
        .take_optional(&given, password)
        .map(Password::Given);
    let file = settings.take_secret_file(&in_file).map(Password::InFile);
    Login {
        username: settings.take_optional(&username, |text| Ok(text.to_owned())),
        password: password.or(file),
    }
}

fn password(text: &str) -> Result<SecretString, String> {
    if text.is_empty() {
        return Err("is empty; leave it out if there is none".to_owned());
    }
    Ok(text.into())
}

fn redis_url(text: &str) -> Result<SecretString, String> {
    RedisSettings::check_url(text).map(|()| text.into())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::settings::Problems;

    fn read(fill: impl FnOnce(&mut Settings)) -> Result<(RedisSettings, Vec<String>), Problems> {
        let mut all = Settings::new(REDIS_SETTINGS.to_vec());
        fill(&mut all);
        let redis = take_redis(&mut all);
        all.finish().map(|warnings| (redis, warnings))
    }

    fn variable(name: &str, value: &str) -> impl Iterator<Item = (String, String)> {
        std::iter::once((name.to_owned(), value.to_owned()))
    }

    #[test]
    fn a_password_comes_from_the_environment_or_a_file_and_never_from_a_flag() {
        let url = "redis://:hunter2@h/0";
        let by_flag = read(|all| all.add_flag(REDIS_URL, url.to_owned()));
        let told = by_flag.unwrap_err().to_string();
        assert!(told.contains("--redis-url: whoever lists"), "{told}");
        assert!(told.contains("redis_password_file"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        for (name, value) in [
            ("TASKFERRY_REDIS_URL", url),
            ("TASKFERRY_REDIS_PASSWORD", "hunter2"),
        ] {
            let (redis, _) = read(|all| all.add_environment(variable(name, value))).unwrap();
            assert!(!format!("{redis:?}").contains("hunter2"));
        }
        let twice = read(|all| {
            all.add_environment(variable("TASKFERRY_REDIS_URL", url));
            all.add_environment(variable("TASKFERRY_REDIS_PASSWORD", "hunter2"));
        });
        let told = twice.unwrap_err().to_string();
        assert!(told.contains("leave one out"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_file_with_a_secret_that_everybody_may_read_is_warned_of() {
        let folder = std::env::temp_dir().join(format!("taskferry-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, mode| {
            let path = folder.join(name);
            std::fs::write(&path, "hunter2").unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let warnings = |fill: &dyn Fn(&mut Settings)| read(fill).unwrap().1;
        let by_file =
            |path: String| warnings(&|all| all.add_flag("redis_password_file", path.clone()));
        assert_eq!(by_file(file("private", 0o640)), [""; 0]);
        let [told] = &by_file(file("open", 0o644))[..] else {
            panic!("no warning");
        };
        assert!(told.contains("open is secret"), "{told}");
        let open = file("settings.toml", 0o644);
        for (line, count) in [
            ("redis_password = 'hunter2'", 1),
            ("redis_url = 'redis://:hunter2@h'", 1),
            ("redis_url = 'redis://h'", 0),
        ] {
            let told = warnings(&|all| all.add_file(Path::new(&open), line));
            assert_eq!(told.len(), count, "{told:?}");
            assert!(
                told.iter().all(|line| !line.contains("hunter2")),
                "{told:?}"
            );
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
