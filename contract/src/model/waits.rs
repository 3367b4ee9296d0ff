//! What a queued job waits for, and why.

/// What a queued job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A worker: it is on its stream. A claim ends that.
    Worker,
    /// A slot of its tool, which is at its concurrency limit. It is brought to its stream when its turn comes.
    Slot,
    /// Its turn by the rate of its tool, which is used up. It is brought to its stream when its turn comes.
    Rate,
    /// The end of a pause of its tool or its queue, or its turn after that.
    Paused,
    /// Its turn among the jobs of its caller and tool: so many as may be are ready. It is brought to its stream when one of them
    /// was claimed.
    Turn,
    /// Its time, which its caller wished, or another attempt was planned for.
    Time,
    /// Something that only a later version knows of.
    Other,
}

/// Why a queued job is to be attempted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Its worker died, or fell silent for a lease.
    Lost,
    /// The same, once too often: it is not attempted again, but fails as soon as a worker of its queue sees that. No record
    /// says so: readers conclude it from the lease that is over.
    LostForGood,
    /// Its worker was stopped, and the attempt did not end in time.
    Released,
    /// It failed in a way that another attempt may not; the record's message says how.
    Failed,
    /// Nothing of it ran, for its worker could not run it; the record's message says why, if there is something to do about it.
    Returned,
}

/// What a queued job waits for, as its record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// What it waits for.
    pub what: WaitsFor,
    /// Since when, ms since the epoch: since its last attempt ended, or since it was queued.
    pub since_ms: i64,
    /// Why again. `None` if it never was attempted.
    pub again: Option<Again>,
    /// When it is due, ms since the epoch.
    pub due_ms: Option<i64>,
    /// About when its turn comes by the rate of its tool, ms since the epoch; not before.
    pub turn_ms: Option<i64>,
}

impl Waits {
    /// Since when the job could have been attempted, ms since the epoch: neither the delay of a retry nor one that its caller
    /// wished is a wait for a worker.
    pub(crate) fn ready_ms(self) -> i64 {
        match (self.again, self.due_ms) {
            (Some(Again::Failed) | None, Some(due_ms)) => due_ms,
            _ => self.since_ms,
        }
    }

    /// Reads the field. `None` if it does not say since when.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let what = match parts.next() {
            Some("worker") => WaitsFor::Worker,
            Some("slot") => WaitsFor::Slot,
            Some("rate") => WaitsFor::Rate,
            Some("paused") => WaitsFor::Paused,
            Some("turn") => WaitsFor::Turn,
            Some("time") => WaitsFor::Time,
            _ => WaitsFor::Other,
        };
        let since_ms = parts.next().and_then(|since| since.parse().ok());
        let again = match parts.next() {
            Some("lost") => Some(Again::Lost),
            Some("released") => Some(Again::Released),
            Some("failed") => Some(Again::Failed),
            Some("returned") => Some(Again::Returned),
            _ => None,
        };
        Some(Self {
            what,
            since_ms: since_ms?,
            again,
            due_ms: parts.next().and_then(|due| due.parse().ok()),
            turn_ms: parts.next().and_then(|turn| turn.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_transitions_write() {
        for (text, what, again, due_ms) in [
            ("worker 7 -", WaitsFor::Worker, None, None),
            ("turn 7 -", WaitsFor::Turn, None, None),
            (
                "worker 7 released",
                WaitsFor::Worker,
                Some(Again::Released),
                None,
            ),
            ("slot 7 lost", WaitsFor::Slot, Some(Again::Lost), None),
            ("paused 7 -", WaitsFor::Paused, None, None),
            (
                "time 7 failed 9",
                WaitsFor::Time,
                Some(Again::Failed),
                Some(9),
            ),
            (
                "time 7 returned 9",
                WaitsFor::Time,
                Some(Again::Returned),
                Some(9),
            ),
            ("rain 7 unknown x", WaitsFor::Other, None, None),
        ] {
            let since_ms = 7;
            let waits = Waits {
                what,
                since_ms,
                again,
                due_ms,
                turn_ms: None,
            };
            assert_eq!(Waits::read(text), Some(waits), "{text}");
        }
        for (text, due_ms) in [("rate 7 - - 12", None), ("rate 7 failed 9 12", Some(9))] {
            let waits = Waits::read(text).unwrap();
            let told = (waits.what, waits.due_ms, waits.turn_ms);
            assert_eq!(told, (WaitsFor::Rate, due_ms, Some(12)), "{text}");
            // What the rate holds up is ready all the same: only a delay is not waited for.
            assert_eq!(waits.ready_ms(), due_ms.unwrap_or(7));
        }
        for wrong in ["", "slot", "slot soon lost"] {
            assert_eq!(Waits::read(wrong), None, "{wrong}");
        }
    }
}
