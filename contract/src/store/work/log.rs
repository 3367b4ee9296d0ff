//! Log lines of a job, as its attempt adds them.

use crate::error::Error;
use crate::model::attempt::{HeldAttempt, Refused};
use crate::model::log::LogLevel;
use crate::script::TRANSITIONS;
use crate::store::Store;
use crate::store::work::replies::refused;

impl Store {
    /// Keeps lines of an attempt.
    ///
    /// # Errors
    ///
    /// If Redis fails; then some may have been kept, and the same call again would keep them twice.
    pub async fn report_log(
        &self,
        hold: &HeldAttempt,
        lines: &[(LogLevel, String)],
    ) -> Result<Result<(), Refused>, Error> {
        if lines.is_empty() {
            return Ok(Ok(()));
        }
        let id = hold.claimed.id;
        let record = self.keys.record(id);
        let (base, text) = (self.keys.base(id.shard()), id.to_string());
        let attempt = hold.attempt.to_string();
        let mut args = vec![base.as_str(), &text, &attempt];
        for (level, line) in lines {
            args.extend([level.as_str(), line]);
        }
        let reply = self
            .call(&TRANSITIONS.report_log, &[&record], &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(Ok(())),
            _ => refused(&reply).map(Err),
        }
    }
}
