//! Dead letters: jobs that no worker will attempt again.

mod retry;

use std::str::FromStr;
use std::time::Duration;

use taskferry_contract::{
    DeadLetter, Error, LetterFilter, LetterId, Revivable, Store, TaskId, TaskView,
};

pub(crate) use retry::{Prepared, Ready, Retrier, Revival};

/// So many letters are read at once.
const BATCH: usize = 200;

/// How an operator names a letter: by its id, or by its task's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LetterName {
    /// Its own id.
    Letter(LetterId),
    /// The id of its job's task.
    Task(TaskId),
}

/// The text names no letter.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is neither the id of a dead letter, as in 0:1795405088549-0, nor that of a task")]
pub(crate) struct InvalidLetterName(String);

impl FromStr for LetterName {
    type Err = InvalidLetterName;

    fn from_str(text: &str) -> Result<Self, InvalidLetterName> {
        match (text.parse(), text.parse()) {
            (Ok(letter), _) => Ok(Self::Letter(letter)),
            (_, Ok(task)) => Ok(Self::Task(task)),
            _ => Err(InvalidLetterName(text.to_owned())),
        }
    }
}

/// Some letters of many.
#[derive(Debug)]
pub(crate) struct LetterPage {
    /// They themselves, the newest first.
    pub(crate) letters: Vec<DeadLetter>,
    /// Whether there are more behind the last one.
    pub(crate) has_more: bool,
}

/// What is known beside a letter.
#[derive(Debug)]
pub(crate) struct LetterDetail {
    /// The record of the job, if it has not expired.
    pub(crate) record: Option<TaskView>,
    /// What is needed to run the job again. `None` if it is not kept any more.
    pub(crate) revivable: Option<Revivable>,
}

/// The dead letters.
#[derive(Debug)]
pub(crate) struct DeadLetters<'a> {
    store: &'a Store,
}

impl<'a> DeadLetters<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// The newest of those that the filter lets through.
    pub(crate) async fn list(
        &self,
        filter: &LetterFilter,
        limit: usize,
    ) -> Result<LetterPage, Error> {
        let limit_and_one = limit.saturating_add(1);
        let mut letters = self.store.dead_letters(filter, limit_and_one).await?;
        let has_more = letters.len() > limit;
        letters.truncate(limit);
        Ok(LetterPage { letters, has_more })
    }

    /// One of them.
    pub(crate) async fn find(&self, name: LetterName) -> Result<Option<DeadLetter>, Error> {
        match name {
            LetterName::Letter(id) => self.store.dead_letter_at(id).await,
            LetterName::Task(task) => self.store.dead_letter_of(task).await,
        }
    }

    /// What is known beside a letter.
    pub(crate) async fn detail(&self, letter: &DeadLetter) -> Result<LetterDetail, Error> {
        let record = match letter.task {
            Some(task) => self.store.view_with_outcome(task).await?,
            None => None,
        };
        Ok(LetterDetail {
            record,
            revivable: self.store.revivable(letter).await?,
        })
    }

    /// All that the filter lets through and that were buried longer ago than `older_than`, batch by batch.
    pub(crate) async fn all(
        &self,
        filter: LetterFilter,
        older_than: Duration,
    ) -> Result<Batches<'a>, Error> {
        let older_ms = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
        // Not one of this very moment: a job that is revived and fails at once would come up again.
        let before_ms = self.store.now_ms().await?.saturating_sub(older_ms);
        Ok(Batches {
            store: self.store,
            filter: LetterFilter {
                before_ms: Some(before_ms),
                ..filter
            },
        })
    }

    /// Deletes letters. Returns how many there were.
    pub(crate) async fn purge(&self, letters: &[DeadLetter]) -> Result<usize, Error> {
        let ids: Vec<LetterId> = letters.iter().map(|letter| letter.id).collect();
        self.store.purge_dead(&ids).await
    }

    /// Revives letters, with the tools as they are registered now.
    pub(crate) async fn retrier(&self) -> Result<Retrier<'a>, Error> {
        Retrier::new(self.store).await
    }
}

/// Letters, batch by batch.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    store: &'a Store,
    filter: LetterFilter,
}

impl Batches<'_> {
    /// The next ones, the newest first; empty at the end.
    pub(crate) async fn next(&mut self) -> Result<Vec<DeadLetter>, Error> {
        let letters = self.store.dead_letters(&self.filter, BATCH).await?;
        self.filter.before_id = letters.last().map(|last| last.id);
        Ok(letters)
    }
}
