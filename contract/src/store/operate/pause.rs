//! Pausing and resuming queues and tools.

use crate::error::Error;
use crate::model::names::QueueName;
use crate::model::pause::{Pausable, Pause, Paused, Pauses};
use crate::model::shard::Shard;
use crate::script::TRANSITIONS;
use crate::store::Store;

impl Store {
    /// Lets no job of a queue or a tool begin, on any shard. `by` and `reason` say who wants that, and why.
    ///
    /// # Errors
    ///
    /// If Redis fails; then it may be paused on some shards, and the same call again pauses it on the others.
    pub async fn pause(&self, what: &Pausable, by: &str, reason: &str) -> Result<Paused, Error> {
        let (mut is_new, mut said) = (false, None);
        for shard in self.shards.all() {
            let (key, field) = (self.keys.paused(shard), what.field());
            let args = [field.as_str(), by, reason];
            let mut reply = self.call(&TRANSITIONS.pause, &[&key], &args).await?;
            let is_new_here = match reply.tag.as_str() {
                "OK" => true,
                "ALREADY" => false,
                _ => return Err(reply.unknown()),
            };
            let stored = reply.text()?;
            if said.is_none() || (is_new_here && !is_new) {
                said = Some(stored);
            }
            is_new |= is_new_here;
        }
        let pause = Pause::read(what.clone(), &said.unwrap_or_default());
        Ok(if is_new {
            Paused::Now(pause)
        } else {
            Paused::Before(pause)
        })
    }

    /// Lets the jobs of a queue or a tool begin again, those of `queues` that wait at once. What the pause said; `None` if it
    /// was not paused.
    ///
    /// # Errors
    ///
    /// If Redis fails; then it may be resumed on some shards, and the same call again resumes it on the others.
    pub async fn resume(
        &self,
        what: &Pausable,
        queues: &[QueueName],
    ) -> Result<Option<Pause>, Error> {
        let mut was = None;
        for shard in self.shards.all() {
            let (key, base, field) = (self.keys.paused(shard), self.keys.base(shard), what.field());
            let mut args = vec![base.as_str(), field.as_str()];
            args.extend(queues.iter().map(QueueName::as_str));
            let mut reply = self.call(&TRANSITIONS.resume, &[&key], &args).await?;
            match reply.tag.as_str() {
                "OK" => {
                    was.get_or_insert(Pause::read(what.clone(), &reply.text()?));
                }
                "NOT_PAUSED" => {}
                _ => return Err(reply.unknown()),
            }
        }
        Ok(was)
    }

    /// All that is paused, on whichever shard.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn pauses(&self) -> Result<Pauses, Error> {
        let mut all = Pauses::default();
        for shard in self.shards.all() {
            all.add(self.pauses_of(shard).await?);
        }
        Ok(all)
    }

    /// What is paused on a shard; on each the same, but while a call to pause or resume is under way. Nothing if a key of another
    /// type stands in the place, as for those who claim.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn pauses_of(&self, shard: Shard) -> Result<Pauses, Error> {
        let mut read = redis::cmd("HGETALL");
        read.arg(self.keys.paused(shard));
        let read = self
            .connections
            .command::<Vec<(String, String)>>("pauses", &read);
        match read.await {
            Err(error) if error.is_wrong_type() => Ok(Pauses::default()),
            read => Ok(Pauses::read(read?)),
        }
    }
}
