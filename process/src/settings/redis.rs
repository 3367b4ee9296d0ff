//! The settings of the Redis connection.

use std::time::Duration;

use taskferry_contract::{RedisSettings, Shards};

use super::{Setting, Settings, duration, within};

/// The settings of the Redis connection, the same for both binaries.
pub const REDIS_SETTINGS: [Setting; 4] = [
    Setting {
        name: "redis_url",
        value: "URL",
        help: "Redis, as redis://[user:password@]host:port/db, unix:///path, or redis+sentinel://[user:password@]host:port,host:port/primary/db [default: redis://127.0.0.1:6379/0]",
    },
    Setting {
        name: "redis_prefix",
        value: "PREFIX",
        help: "What every key begins with: letters, digits, _ and - [default: tf]",
    },
    Setting {
        name: "redis_shards",
        value: "N",
        help: "Over how many hash tags the keys are spread, 1 to 1024; the same for every process [default: 1]",
    },
    Setting {
        name: "redis_timeout",
        value: "DURATION",
        help: "How long a command may take before it counts as failed [default: 3s]",
    },
];

/// Takes the settings of the Redis connection: every name of [`REDIS_SETTINGS`] must be known to `settings`. What cannot be
/// read is noted there, and the default stands in for it.
pub fn take_redis(settings: &mut Settings) -> RedisSettings {
    let mut redis = RedisSettings::new("redis://127.0.0.1:6379/0");
    redis.url_from = settings.came_from("redis_url");
    redis.url = settings.take("redis_url", redis.url, redis_url);
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

fn redis_url(text: &str) -> Result<String, String> {
    RedisSettings::check_url(text).map(|()| text.to_owned())
}
