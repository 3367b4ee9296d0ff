//! What a server reports in `INFO`.

use std::collections::HashMap;

/// The fields of `INFO`, or of some of its sections.
#[derive(Debug, Default)]
pub(crate) struct Info(HashMap<String, String>);

impl Info {
    pub(crate) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        });
        Self(fields.collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Product and version, as in `Redis 7.0.15`.
    pub(crate) fn product(&self) -> Option<String> {
        match (self.text("valkey_version"), self.text("redis_version")) {
            (Some(valkey), _) => Some(format!("Valkey {valkey}")),
            (None, Some(redis)) => Some(format!("Redis {redis}")),
            (None, None) => None,
        }
    }

    /// Redis replicas that follow this server and are up to date but for what is under way.
    pub(crate) fn replicas_online(&self) -> usize {
        let online = self
            .0
            .iter()
            .filter(|(name, value)| is_replica(name) && value.contains("state=online"));
        online.count()
    }
}

fn is_replica(name: &str) -> bool {
    let number = name.strip_prefix("slave");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
