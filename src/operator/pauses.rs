//! Queues and tools whose jobs are not to begin for a while.

use taskferry_contract::{Error, Pausable, Pause, Paused, Pauses, QueueName, Store};

/// The longest name of who paused something, characters.
const WHO: usize = 64;
/// The longest reason, characters: callers whose tasks wait are told it.
const REASON: usize = 500;

/// What became of the end of a pause.
#[derive(Debug)]
pub(crate) struct Resumed {
    /// What the pause said.
    pub(crate) was: Pause,
    /// What is paused still, of all that there is.
    pub(crate) left: Pauses,
}

/// Pausing, and its end.
#[derive(Debug)]
pub(crate) struct Pausing<'a> {
    store: &'a Store,
}

impl<'a> Pausing<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Whether there is such a queue or tool: it is registered, a worker reports it, or it is paused.
    pub(crate) async fn is_known(&self, what: &Pausable) -> Result<bool, Error> {
        if self.store.pauses().await?.of(what).is_some() {
            return Ok(true);
        }
        let workers = self.store.workers().await?;
        let mut workers = workers.iter().map(|(worker, _)| worker);
        Ok(match what {
            Pausable::Queue(queue) => {
                self.store.queues_with_tools().await?.contains(queue)
                    || workers.any(|worker| worker.serves(queue))
            }
            Pausable::Tool(tool) => {
                let registry = self.store.registry().await?;
                let mut tools = registry.tools.iter();
                let mut left_out = registry.left_out.iter();
                tools.any(|known| known.name == *tool)
                    || left_out.any(|known| known.tool == tool.as_str())
                    || workers.any(|worker| worker.runs(tool.as_str()))
            }
        })
    }

    /// Lets none of its jobs begin.
    pub(crate) async fn pause(
        &self,
        what: &Pausable,
        by: &str,
        reason: &str,
    ) -> Result<Paused, Error> {
        let (by, reason) = (one_word(by), one_line(reason));
        self.store.pause(what, &by, &reason).await
    }

    /// Lets its jobs begin again. `None` if it was not paused.
    pub(crate) async fn resume(&self, what: &Pausable) -> Result<Option<Resumed>, Error> {
        let queues = match what {
            Pausable::Queue(queue) => vec![queue.clone()],
            Pausable::Tool(_) => self.queues().await?,
        };
        let Some(was) = self.store.resume(what, &queues).await? else {
            return Ok(None);
        };
        let left = self.store.pauses().await?;
        Ok(Some(Resumed { was, left }))
    }

    /// The queues on which jobs of a tool may wait.
    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        self.store.queues_with_tools().await
    }
}

/// A name as it is stored: without spaces, and not too long; `-` for none.
fn one_word(text: &str) -> String {
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    let shown = text.trim().chars().take(WHO);
    let shown: String = shown.map(|c| if is_odd(c) { '_' } else { c }).collect();
    if shown.is_empty() {
        "-".to_owned()
    } else {
        shown
    }
}

/// A reason as it is stored: on one line, and not too long.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let shown = line.chars().filter(|c| !c.is_control());
    shown.take(REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_and_a_reason_is_one_line() {
        assert_eq!(one_word(" Ann Lee\n"), "Ann_Lee");
        assert_eq!(one_word(""), "-");
        assert_eq!(one_word(&"x".repeat(100)).len(), WHO);
        assert_eq!(one_line("the disk\n  is\u{7} full "), "the disk is full");
        assert_eq!(one_line(&"x ".repeat(1_000)).chars().count(), REASON);
    }
}
