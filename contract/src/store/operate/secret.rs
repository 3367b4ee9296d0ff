//! The secret with which front ends sign what clients carry for them.

use std::time::Duration;

use crate::error::Error;
use crate::model::secret::Secrets;
use crate::script::TRANSITIONS;
use crate::store::{Store, millis};

impl Store {
    /// The secret of all front ends, made once, and the one before, while that counts.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn secrets(&self) -> Result<Secrets, Error> {
        let key = self.keys.secret();
        let mut read = redis::cmd("GET");
        read.arg(&key);
        let stored: Option<String> = self.connections.command("secret", &read).await?;
        if let Some(stored) = stored {
            return Ok(Secrets::read(&stored));
        }
        let made = made();
        let mut make = redis::cmd("SET");
        make.arg(&key).arg(&made).arg("NX").arg("GET");
        let another: Option<String> = self.connections.command("secret", &make).await?;
        Ok(Secrets::read(&another.unwrap_or(made)))
    }

    /// Puts a new secret in its place. What the old one signed counts for `keep` from now on; what the one before that signed
    /// counts no more.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn rotate_secret(&self, keep: Duration) -> Result<(), Error> {
        let (key, new, keep) = (self.keys.secret(), made(), millis(keep).to_string());
        let rotate = &TRANSITIONS.rotate_secret;
        let reply = self.call(rotate, &[&key], &[&new, &keep]).await?;
        reply.done()
    }
}

/// 64 hexadecimal digits.
fn made() -> String {
    format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    )
}
