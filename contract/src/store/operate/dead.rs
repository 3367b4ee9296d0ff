//! Dead letters, as operators find, count and purge them.

use std::cmp::Reverse;

use crate::error::Error;
use crate::model::dead_letter::{DeadLetter, LetterFilter, LetterId};
use crate::model::ids::TaskId;
use crate::model::shard::Shard;
use crate::store::Store;

/// At most so many letters are read at once.
const BATCH: usize = 200;

/// Letters of a shard, by the ids of their entries, both included; as `XREVRANGE` takes them.
#[derive(Clone, Copy)]
struct Between<'a> {
    oldest: &'a str,
    newest: &'a str,
}

impl<'a> Between<'a> {
    fn the_first_and(newest: &'a str) -> Self {
        Self {
            oldest: "-",
            newest,
        }
    }

    fn only(entry: &'a str) -> Self {
        Self {
            oldest: entry,
            newest: entry,
        }
    }
}

impl Store {
    /// Up to `limit` letters of all shards, the newest first.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn dead_letters(
        &self,
        filter: &LetterFilter,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let mut found = Vec::new();
        for shard in self.shards.all() {
            found.extend(self.dead_letters_of(shard, filter, limit).await?);
        }
        found.sort_by_key(|letter| Reverse(letter.id));
        found.truncate(limit);
        Ok(found)
    }

    async fn dead_letters_of(
        &self,
        shard: Shard,
        filter: &LetterFilter,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let mut found = Vec::new();
        let mut upper_bound = filter.upper_bound(shard);
        while found.len() < limit {
            let read = self
                .read_letters(shard, Between::the_first_and(&upper_bound), BATCH)
                .await?;
            let Some(last) = read.last() else {
                break;
            };
            upper_bound = format!("({}", last.id.entry());
            let whole = read.len() == BATCH;
            found.extend(read.into_iter().filter(|letter| filter.fits(letter)));
            if !whole {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// A letter by its id.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn dead_letter_at(&self, id: LetterId) -> Result<Option<DeadLetter>, Error> {
        let entry = id.entry();
        let read = self
            .read_letters(id.shard(), Between::only(&entry), 1)
            .await?;
        Ok(read.into_iter().next())
    }

    /// The letter of a job; the newest, if an entry that named it was buried too.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn dead_letter_of(&self, task: TaskId) -> Result<Option<DeadLetter>, Error> {
        let mut upper_bound = "+".to_owned();
        loop {
            let read = self
                .read_letters(task.shard(), Between::the_first_and(&upper_bound), BATCH)
                .await?;
            let Some(last) = read.last() else {
                return Ok(None);
            };
            upper_bound = format!("({}", last.id.entry());
            let found = read.into_iter().find(|letter| letter.task == Some(task));
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Deletes letters. Returns how many there were.
    ///
    /// # Errors
    ///
    /// If Redis fails; then some may be gone.
    pub async fn purge_dead(&self, letters: &[LetterId]) -> Result<usize, Error> {
        let mut purged = 0;
        let one_shard = letters.chunk_by(|one, next| one.shard() == next.shard());
        for batch in one_shard.flat_map(|letters| letters.chunks(BATCH)) {
            let mut pipe = redis::pipe();
            for id in batch {
                pipe.cmd("XDEL")
                    .arg(self.keys.dead(id.shard()))
                    .arg(id.entry());
            }
            let gone: Vec<usize> = self.connections.pipeline("purge_dead", &pipe).await?;
            purged += gone.into_iter().sum::<usize>();
        }
        Ok(purged)
    }

    /// Letters from the newest to the oldest, and whether their records still exist.
    async fn read_letters(
        &self,
        shard: Shard,
        Between { oldest, newest }: Between<'_>,
        count: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let mut read = redis::cmd("XREVRANGE");
        read.arg(self.keys.dead(shard))
            .arg(newest)
            .arg(oldest)
            .arg("COUNT")
            .arg(count);
        let entries: Vec<(String, Vec<(String, String)>)> =
            self.connections.command("dead_letters", &read).await?;
        let mut letters: Vec<DeadLetter> = entries
            .into_iter()
            .filter_map(|(entry, fields)| DeadLetter::from_entry(shard, &entry, fields))
            .collect();
        let mut exists = redis::pipe();
        for letter in &letters {
            if let Some(task) = letter.task {
                exists.cmd("EXISTS").arg(self.keys.record(task));
            }
        }
        if exists.is_empty() {
            return Ok(letters);
        }
        let there: Vec<bool> = self.connections.pipeline("dead_letters", &exists).await?;
        let named = letters.iter_mut().filter(|letter| letter.task.is_some());
        for (letter, there) in named.zip(there) {
            letter.record_exists = there;
        }
        Ok(letters)
    }
}
