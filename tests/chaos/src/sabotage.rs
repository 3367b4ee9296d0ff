//! Laws broken on purpose, to see that the checker notices. The proxies before Redis exchange the digests by which the
//! processes call the transitions for those of changed ones; the processes themselves are the real ones.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use taskferry_testing::redis;

/// Where a changed transition notes that it did what the law forbids.
const MET: &str = "chaos:law-was-broken";

/// The law that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// An attempt's number is not compared any more.
    Fence,
    /// Entries stay on their stream, pending, after their job ended.
    Ack,
    /// A job that ended may end again.
    Terminal,
    /// Records never expire.
    Expiry,
}

impl Sabotage {
    pub(crate) const ALL: [Self; 4] = [Self::Fence, Self::Ack, Self::Terminal, Self::Expiry];

    /// What it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fence => "no-fence",
            Self::Ack => "no-ack",
            Self::Terminal => "no-terminal",
            Self::Expiry => "no-expiry",
        }
    }

    /// The transitions that it changes: original source and changed one.
    pub(crate) fn changes(self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let edits = self.edits();
        let mut changed = Vec::new();
        for (_, source) in taskferry_contract::sources() {
            let mut text = source.to_owned();
            for (before, after) in edits {
                text = text.replace(before, after);
            }
            if text != source {
                changed.push((source, text));
            }
        }
        for (before, _) in edits {
            if !taskferry_contract::sources().any(|(_, source)| source.contains(before)) {
                bail!("no transition says {before:?} any more; mend this sabotage");
            }
        }
        Ok(changed)
    }

    fn edits(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Fence => &[
                ("job.attempt ~= attempt", "false"),
                (
                    "close(base, record, id, job, status, outcome_fields(",
                    "if attempt ~= job.attempt then redis.pcall('SET', 'chaos:law-was-broken', '1') end\n\
                     close(base, record, id, job, status, outcome_fields(",
                ),
            ],
            Self::Ack => &[
                ("redis.call('XACK', queue, GROUP, entry)", ""),
                ("redis.call('XDEL', queue, entry)\n", "\n"),
            ],
            Self::Terminal => &[
                (
                    "close(base, record, id, job, status, outcome_fields(",
                    "if TERMINAL[job.status] then redis.pcall('SET', 'chaos:law-was-broken', '1') end\n\
                     close(base, record, id, job, status, outcome_fields(",
                ),
                ("if job.status == 'cancelled' then", "if false then"),
                (
                    "if TERMINAL[job.status] then\n    return 'DONE'",
                    "if false then\n    return 'DONE'",
                ),
                (
                    "if not job.worker or job.worker == '' then\n    return 'STALE'",
                    "if false then\n    return 'STALE'",
                ),
            ],
            Self::Expiry => &[("redis.call('PEXPIREAT', record, int(expires))", "")],
        }
    }

    /// Whether faults must come together for the law to be broken. Where not, every job breaks it.
    pub(crate) fn takes_luck(self) -> bool {
        matches!(self, Self::Fence | Self::Terminal)
    }

    /// Loads the changed transitions and tells which digest stands for which.
    pub(crate) async fn load(self, url: &str) -> anyhow::Result<Rewriter> {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut digests = HashMap::new();
        for (original, changed) in self.changes()? {
            let load = redis::Script::new(&changed);
            load.load_async(&mut connection)
                .await
                .context("a changed transition cannot be loaded")?;
            let digest = |script: &redis::Script| script.get_hash().as_bytes().to_vec();
            digests.insert(digest(&redis::Script::new(original)), digest(&load));
        }
        Ok(Rewriter(Arc::new(digests)))
    }
}

/// Whether a changed transition has done what the law forbids.
pub(crate) async fn was_met(url: &str) -> anyhow::Result<bool> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut met = redis::cmd("EXISTS");
    Ok(met.arg(MET).query_async(&mut connection).await?)
}

/// Before a digest in a command stands its length.
const HEADER: &[u8] = b"$40\r\n";
const DIGEST_BYTES: usize = 40;

/// Exchanges digests in a stream of commands. The empty one changes nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewriter(Arc<HashMap<Vec<u8>, Vec<u8>>>);

impl Rewriter {
    /// Exchanges what `buffer` holds; what may be the first part of a digest is cut off and given back, to be put before
    /// what comes next.
    pub(crate) fn rewrite(&self, buffer: &mut Vec<u8>) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut from = 0;
        while let Some(found) = find(buffer.get(from..).unwrap_or_default()) {
            let start = from + found;
            let digest = start + HEADER.len();
            let Some(slice) = buffer.get_mut(digest..digest + DIGEST_BYTES) else {
                return buffer.split_off(start);
            };
            if let Some(other) = self.0.get(&*slice) {
                slice.copy_from_slice(other);
            }
            from = digest;
        }
        let cut = (1..HEADER.len())
            .rev()
            .find(|length| buffer.ends_with(HEADER.get(..*length).unwrap_or_default()));
        cut.map_or_else(Vec::new, |length| buffer.split_off(buffer.len() - length))
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(HEADER.len())
        .position(|window| window == HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sabotage_still_changes_something() {
        for sabotage in Sabotage::ALL {
            assert!(!sabotage.changes().unwrap().is_empty(), "{sabotage:?}");
        }
    }

    #[test]
    fn a_digest_is_exchanged_however_the_stream_is_cut() {
        let (old, new) = ("a".repeat(40), "b".repeat(40));
        let digests = HashMap::from([(old.clone().into_bytes(), new.clone().into_bytes())]);
        let rewriter = Rewriter(Arc::new(digests));
        let command = format!("*3\r\n$7\r\nEVALSHA\r\n$40\r\n{old}\r\n$1\r\n0\r\n");
        let expected = command.replace(&old, &new);
        for cut in 0..command.len() {
            let mut out = Vec::new();
            let mut held = Vec::new();
            for part in [&command[..cut], &command[cut..]] {
                let mut buffer = std::mem::take(&mut held);
                buffer.extend_from_slice(part.as_bytes());
                held = rewriter.rewrite(&mut buffer);
                out.extend(buffer);
            }
            assert!(held.is_empty(), "{cut}");
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{cut}");
        }
    }
}
