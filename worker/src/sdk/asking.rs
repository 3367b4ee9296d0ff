//! Puts questions to the client, and waits for the answers away from the slot.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use taskferry_contract::{AskReply, NewQuestion};
use tokio::sync::watch;

use super::ask::{AskError, AskRequest, check_key, checked_answer, read_answer};
use super::context::JobContext;
use crate::core::awaiting::AwaitingAnswer;
use crate::core::pause::GrowingPause;

impl JobContext {
    /// Puts a question to the client and waits for its answer, the JSON of the response's `result`. The key stands for
    /// this question for the job's whole life: an answer that an earlier attempt got is returned at once.
    ///
    /// The slot is free for another job meanwhile. After a bound (a minute, unless the worker was built otherwise), and
    /// when the worker shuts down, the attempt is dropped here and its job parked; once the answer is there, the handler
    /// runs again from its start and finds it.
    ///
    /// # Errors
    ///
    /// If the client does not declare that it can be asked, if it answered with an error, if the key or method is not
    /// valid, or if the attempt must stop.
    pub async fn ask(&self, key: &str, request: AskRequest) -> Result<Value, AskError> {
        let [answer] = self.ask_all([(key, request)]).await?;
        Ok(answer)
    }

    /// As [`JobContext::ask`], with the answer as the client wrote it: no number is rounded, no member moved.
    ///
    /// # Errors
    ///
    /// As [`JobContext::ask`].
    pub async fn ask_raw(&self, key: &str, request: AskRequest) -> Result<Box<RawValue>, AskError> {
        let answers = self.answers_to(&[(key, request)]).await?;
        let answer = answers.first().ok_or(AskError::Stopped)?;
        let answer = checked_answer(answer)?.to_owned();
        RawValue::from_string(answer).map_err(AskError::Answer)
    }

    /// Puts several questions to the client together, and waits until all have their answers, which are in the order of
    /// the questions. Else as [`JobContext::ask`].
    ///
    /// # Errors
    ///
    /// As [`JobContext::ask`]. If one of them cannot be put, none is.
    pub async fn ask_all<const N: usize>(
        &self,
        questions: [(&str, AskRequest); N],
    ) -> Result<[Value; N], AskError> {
        let answers = self.answers_to(&questions).await?;
        let answers: Result<Vec<Value>, AskError> =
            answers.iter().map(|answer| read_answer(answer)).collect();
        let answers = answers?.try_into();
        Ok(answers.expect("there are as many answers as questions"))
    }

    /// The answers to these questions, in their order, as they are stored.
    async fn answers_to(&self, questions: &[(&str, AskRequest)]) -> Result<Vec<String>, AskError> {
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

    /// Gives the slot back until an answer came.
    pub(crate) fn await_answer(&self) -> AwaitingAnswer {
        AwaitingAnswer::begin(Arc::clone(&self.attempt), Arc::clone(&self.core))
    }

    /// Whether the client can be asked this.
    pub(crate) fn can_be_asked(&self, request: &AskRequest) -> Result<(), AskError> {
        request.check(self.attempt.job.capabilities.as_deref())
    }

    /// The answers that came so far, and those to come.
    pub(crate) fn answers(&self) -> watch::Receiver<HashMap<String, String>> {
        self.attempt.answers.subscribe()
    }

    /// Puts questions to the client together, and returns the answers that are there already.
    pub(crate) async fn put(
        &self,
        questions: &[(&str, &AskRequest)],
    ) -> Result<Vec<(String, String)>, AskError> {
        let requests: Vec<(&str, String)> = questions
            .iter()
            .map(|(key, request)| (*key, request.to_json()))
            .collect();
        let requests: Vec<NewQuestion<'_>> = requests
            .iter()
            .map(|(key, request)| NewQuestion { key, request })
            .collect();
        let mut pause = GrowingPause::default();
        loop {
            match self.attempt.relay.ask(&self.attempt.hold, &requests).await {
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
                () = pause.wait() => {}
            }
        }
    }

    /// Waits until `known` has the answers to all of these; without its slot while one is missing.
    async fn wait_for(
        &self,
        known: &mut HashMap<String, String>,
        questions: &[(&str, &AskRequest)],
    ) -> Result<(), AskError> {
        let mut open = questions.iter().map(|(key, _)| *key);
        if open.all(|key| known.contains_key(key)) {
            return Ok(());
        }
        let waiting = self.await_answer();
        let mut answers = self.answers();
        let all_came = |came: &HashMap<String, String>| {
            let mut keys = questions.iter().map(|(key, _)| *key);
            keys.all(|key| known.contains_key(key) || came.contains_key(key))
        };
        let came = tokio::select! {
            came = answers.wait_for(all_came) => came.ok().map(|came| came.clone()),
            () = self.attempt.cancel.cancelled() => None,
        };
        waiting.end().await;
        known.extend(came.ok_or(AskError::Stopped)?);
        Ok(())
    }
}
