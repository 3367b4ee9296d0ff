//! What is counted of callers, so that nobody takes all of something: their sessions, their requests.

use std::time::Duration;

use crate::error::Error;
use crate::model::holder::{Holder, RateCost, RateReply, SessionLimits, SessionRoom};
use crate::model::ids::SessionId;
use crate::model::names::Owner;
use crate::script::TRANSITIONS;
use crate::store::{Store, millis};

impl Store {
    /// Counts a session for `idle` from now on, if there is room for it; one that is counted stays so. To be called again
    /// whenever the session lives on.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn count_session(
        &self,
        id: SessionId,
        holder: Option<Holder<'_>>,
        limits: SessionLimits,
        idle: Duration,
    ) -> Result<SessionRoom, Error> {
        let all = self.keys.sessions();
        if let Some(holder) = holder {
            let own = self.keys.sessions_of(holder);
            if !self.take_place(&own, id, limits.of_holder, idle).await? {
                return Ok(SessionRoom::HolderIsFull);
            }
            if !self.take_place(&all, id, limits.in_all, idle).await? {
                self.leave_place(&own, id).await?;
                return Ok(SessionRoom::AllAreTaken);
            }
        } else if !self.take_place(&all, id, limits.in_all, idle).await? {
            return Ok(SessionRoom::AllAreTaken);
        }
        Ok(SessionRoom::Free)
    }

    /// Counts a session no more, which ended.
    ///
    /// # Errors
    ///
    /// If Redis fails; the same call again is safe.
    pub async fn uncount_session(
        &self,
        id: SessionId,
        holder: Option<Holder<'_>>,
    ) -> Result<(), Error> {
        if let Some(holder) = holder {
            self.leave_place(&self.keys.sessions_of(holder), id).await?;
        }
        self.leave_place(&self.keys.sessions(), id).await
    }

    async fn take_place(
        &self,
        places: &str,
        member: SessionId,
        most: u64,
        valid: Duration,
    ) -> Result<bool, Error> {
        let (member, valid, most) = (
            member.to_string(),
            millis(valid).to_string(),
            most.to_string(),
        );
        let reply = self
            .call(
                &TRANSITIONS.take_place,
                &[places],
                &[&member, &valid, &most],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(true),
            "FULL" => Ok(false),
            _ => Err(reply.unknown()),
        }
    }

    async fn leave_place(&self, places: &str, member: SessionId) -> Result<(), Error> {
        let mut leave = redis::cmd("ZREM");
        leave.arg(places).arg(member.to_string());
        self.connections
            .command::<i64>("uncount_session", &leave)
            .await
            .map(drop)
    }

    /// Counts a request of a caller, if it may make one now.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn take_rate(&self, owner: &Owner, request: RateCost) -> Result<RateReply, Error> {
        let key = self.keys.rate_of(owner);
        let (each_second, cost) = (request.each_second.to_string(), request.cost.to_string());
        let owed = if request.owed { "1" } else { "0" };
        let mut reply = self
            .call(
                &TRANSITIONS.take_rate,
                &[&key],
                &[&each_second, &cost, owed],
            )
            .await?;
        match reply.tag.as_str() {
            "OK" => Ok(RateReply::Now),
            "WAIT" => Ok(RateReply::After(Duration::from_millis(reply.integer()?))),
            _ => Err(reply.unknown()),
        }
    }
}
