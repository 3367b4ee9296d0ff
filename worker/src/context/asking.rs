//! Puts questions to the client, and waits for the answers away from the slot.

use std::collections::HashMap;

use taskferry_contract::AskReply;
use tokio::sync::watch;

use super::JobContext;
use crate::ask::{AskError, AskRequest, check_key};
use crate::runtime::backoff::Backoff;

impl JobContext {
    /// The answers to these questions, in their order, as they are stored.
    pub(super) async fn answers_to(
        &self,
        questions: &[(&str, AskRequest)],
    ) -> Result<Vec<String>, AskError> {
        for (key, _) in questions {
            check_key(key)?;
        }
        let mut known = self.attempt.answers.borrow().clone();
        let mut missing = Vec::new();
        for (key, request) in questions {
            if !known.contains_key(*key) {
                self.can_be_asked(request)?;
                missing.push((*key, request));
            }
        }
        if !missing.is_empty() {
            known.extend(self.put(&missing).await?);
            self.wait_for(&mut known, &missing).await?;
        }
        let answers = questions.iter().map(|(key, _)| known.get(*key).cloned());
        answers.collect::<Option<_>>().ok_or(AskError::Stopped)
    }

    /// Whether the client can be asked this.
    pub(crate) fn can_be_asked(&self, request: &AskRequest) -> Result<(), AskError> {
        request.check(self.attempt.job.capabilities.as_deref())
    }

    /// The answers that came so far, and those to come.
    pub(crate) fn answers(&self) -> watch::Receiver<HashMap<String, String>> {
        self.attempt.answers.subscribe()
    }

    /// Puts questions to the client, together; those that have their answers already.
    pub(crate) async fn put(
        &self,
        questions: &[(&str, &AskRequest)],
    ) -> Result<Vec<(String, String)>, AskError> {
        let requests: Vec<(&str, String)> = questions
            .iter()
            .map(|(key, request)| (*key, request.to_json()))
            .collect();
        let requests: Vec<(&str, &str)> = requests
            .iter()
            .map(|(key, request)| (*key, request.as_str()))
            .collect();
        let mut backoff = Backoff::default();
        loop {
            let relay = &self.runtime.relay;
            match relay.ask(&self.attempt.hold, &requests).await {
                Ok(AskReply::Asked(answers) | AskReply::Answered(answers)) => return Ok(answers),
                Ok(AskReply::Refused(refused)) => {
                    self.attempt.refuse(refused);
                    return Err(AskError::Stopped);
                }
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, "questions could not be put; trying again");
                }
                Err(error) => return Err(AskError::Store(error)),
            }
            tokio::select! {
                () = self.attempt.cancel.cancelled() => return Err(AskError::Stopped),
                () = backoff.wait() => {}
            }
        }
    }

    /// Waits until `known` has the answers to all of these, away from the slot if one is missing.
    async fn wait_for(
        &self,
        known: &mut HashMap<String, String>,
        questions: &[(&str, &AskRequest)],
    ) -> Result<(), AskError> {
        let mut open = questions.iter().map(|(key, _)| *key);
        if open.all(|key| known.contains_key(key)) {
            return Ok(());
        }
        let away = Away::from_the_slot_of(self);
        let mut answers = self.answers();
        let all_came = |came: &HashMap<String, String>| {
            let mut keys = questions.iter().map(|(key, _)| *key);
            keys.all(|key| known.contains_key(key) || came.contains_key(key))
        };
        let came = tokio::select! {
            came = answers.wait_for(all_came) => came.ok().map(|came| came.clone()),
            () = self.attempt.cancel.cancelled() => None,
        };
        away.back().await;
        known.extend(came.ok_or(AskError::Stopped)?);
        Ok(())
    }
}

/// An attempt that waits for an answer. A question that is dropped unanswered, as by a `select!`, gets the slot back too,
/// though it cannot wait for it.
pub(crate) struct Away(Option<JobContext>);

impl Away {
    pub(crate) fn from_the_slot_of(job: &JobContext) -> Self {
        job.attempt.begin_wait();
        Self(Some(job.clone()))
    }

    /// Does not come back: the attempt has come to its end.
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }

    pub(crate) async fn back(mut self) {
        if let Some(job) = self.0.take() {
            job.attempt.end_wait(&job.runtime).await;
        }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Some(job) = self.0.take()
            && !job.attempt.cancel.is_cancelled()
        {
            let handlers = job.runtime.handlers.clone();
            handlers.spawn(async move { job.attempt.end_wait(&job.runtime).await });
        }
    }
}
