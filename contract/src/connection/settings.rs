//! Where Redis is, and how a process uses it.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::access::Access;
use super::address::Address;
use crate::keys::DEFAULT_PREFIX;
use crate::model::shard::Shards;

/// Where Redis is and how it is used.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port/db`, `unix:///path`, or
    /// `redis+sentinel://[user:password@]host:port,host:port/primary/db`; with TLS, `rediss://` and `rediss+sentinel://`.
    /// [`Store::new`] refuses anything else.
    ///
    /// [`Store::new`]: crate::Store::new
    pub url: SecretString,
    /// Where the URL was set: a flag, a variable or a file. Shown in errors when Redis cannot be reached or refuses. Empty
    /// if unknown.
    pub url_from: String,
    /// What lets this process in, beside what the URL says of that.
    pub access: Access,
    /// What every key begins with, letters, digits, `_` and `-`; the same for every process. Default: `tf`.
    pub prefix: String,
    /// How many shards the keys are spread over; the same for every process. Default: 1.
    pub shards: Shards,
    /// How long a command may take before it counts as failed, and its connection as broken. Default: 3 s.
    pub response_timeout: Duration,
}

impl RedisSettings {
    /// The defaults for everything but the address.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.into(),
            url_from: String::new(),
            access: Access::default(),
            prefix: DEFAULT_PREFIX.to_owned(),
            shards: Shards::default(),
            response_timeout: Duration::from_secs(3),
        }
    }

    /// Checks a text that shall become [`url`](Self::url).
    ///
    /// # Errors
    ///
    /// What it must be.
    pub fn check_url(text: &str) -> Result<(), String> {
        Address::parse(text).map(|_address| ())
    }

    /// Whether a URL has a password in it. One that cannot be read has none.
    #[must_use]
    pub fn has_password(url: &str) -> bool {
        Address::parse(url).is_ok_and(|address| address.has_password())
    }

    /// Checks that what is said of users, passwords and certificates holds together, and that the files can be read now.
    ///
    /// # Errors
    ///
    /// What is wrong, with the names of the settings.
    pub fn check_access(&self) -> Result<(), String> {
        let address = Address::parse(self.url.expose_secret())?;
        self.access.suits(&address)?;
        self.access.apply(&address).map(|_address| ())
    }

    /// The URL without user and password.
    #[must_use]
    pub fn shown_url(&self) -> String {
        let url = self.url.expose_secret();
        let Some((scheme, rest)) = url.split_once("://") else {
            return String::new();
        };
        // A socket has them among its options.
        let place = rest.split(['?', '#']).next().unwrap_or_default();
        let place = place.rsplit_once('@').map_or(place, |(_user, place)| place);
        format!("{scheme}://{place}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::access::Password;

    #[test]
    fn an_address_is_shown_without_user_and_password() {
        for (url, shown) in [
            ("redis://me:p@ss@host:1/0", "redis://host:1/0"),
            ("rediss://host/0", "rediss://host/0"),
            ("unix:///s?user=me&pass=secret&db=1", "unix:///s"),
            (
                "redis+sentinel://me:secret@a:1,b:2/main/0",
                "redis+sentinel://a:1,b:2/main/0",
            ),
        ] {
            assert_eq!(RedisSettings::new(url).shown_url(), shown);
        }
    }

    #[test]
    fn what_is_printed_of_settings_has_no_password() {
        let mut settings = RedisSettings::new("redis://me:hunter2@host:1/0");
        settings.access.login.password = Some(Password::Given("hunter2".into()));
        let printed = format!("{settings:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn a_password_is_seen_wherever_an_address_has_it() {
        for url in [
            "redis://:secret@a:1",
            "rediss://me:secret@a:1/0",
            "unix:///s?pass=secret",
            "redis+sentinel://:secret@a:1/main",
        ] {
            assert!(RedisSettings::has_password(url), "{url}");
        }
        for url in ["redis://a:1", "redis://me@a:1/0", "unix:///s?user=me", "no"] {
            assert!(!RedisSettings::has_password(url), "{url}");
        }
    }
}
