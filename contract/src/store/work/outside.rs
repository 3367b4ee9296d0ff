//! What a worker has run in another system: noted before it begins there, until somebody says that it has ended. So it is ended
//! when the job ends, whoever lives then.

use std::time::Duration;

use crate::error::Error;
use crate::model::attempt::{HeldAttempt, LeftOutside, Refused};
use crate::model::ids::TaskId;
use crate::model::names::ToolName;
use crate::model::queue::QueueStream;
use crate::script::TRANSITIONS;
use crate::store::work::replies::refused;
use crate::store::{Store, millis};

impl Store {
    /// Notes that another system may run a job for this one from now on.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn begin_outside(&self, hold: &HeldAttempt) -> Result<Result<(), Refused>, Error> {
        let reply = self.fenced(&TRANSITIONS.begin_outside, hold, &[]).await?;
        match reply.tag.as_str() {
            "OK" => Ok(Ok(())),
            _ => refused(&reply).map(Err),
        }
    }

    /// Notes that what another system ran for a job of this stream has ended, or was never there. `until` is that of
    /// [`LeftOutside`]; without it, what the record says counts.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn end_outside(
        &self,
        stream: QueueStream<'_>,
        id: TaskId,
        tool: &ToolName,
        until: Option<i64>,
    ) -> Result<(), Error> {
        let keys = [
            self.keys.record(id),
            self.keys.outside(stream.shard, stream.queue),
        ];
        let until = until.map_or_else(String::new, |until| until.to_string());
        let args = [&id.to_string(), tool.as_str(), &until];
        let reply = self
            .call(&TRANSITIONS.end_outside, &[&keys[0], &keys[1]], &args)
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(()),
            _ => Err(reply.unknown()),
        }
    }

    /// Jobs of these tools that are over, and that another system may still run: `count` of them at most. The caller ends them
    /// there, and says so by [`Self::end_outside`]; others get those that it does not in `kept` from now.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn take_outside(
        &self,
        stream: QueueStream<'_>,
        count: usize,
        kept: Duration,
        tools: &[&ToolName],
    ) -> Result<Vec<LeftOutside>, Error> {
        let key = self.keys.outside(stream.shard, stream.queue);
        let (base, count) = (self.keys.base(stream.shard), count.to_string());
        let kept = millis(kept).to_string();
        let mut args = vec![base.as_str(), &count, &kept];
        args.extend(tools.iter().map(|tool| tool.as_str()));
        let mut reply = self.call(&TRANSITIONS.take_outside, &[&key], &args).await?;
        if reply.tag != "OK" {
            return Err(reply.unknown());
        }
        let mut found = Vec::new();
        while !reply.is_empty() {
            let (id, until_ms) = (reply.text()?, reply.integer()?);
            let (tool, arguments) = (reply.text()?, reply.text()?);
            if let (Ok(id), Ok(tool)) = (id.parse(), tool.parse()) {
                found.push(LeftOutside {
                    id,
                    tool,
                    until_ms,
                    arguments: Some(arguments).filter(|text| !text.is_empty()),
                });
            }
        }
        Ok(found)
    }
}
