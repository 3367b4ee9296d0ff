//! What Redis says of itself, over a connection that speaks no more of its protocol than that needs.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Removes every record and every entry, and leaves tools, groups and sessions.
const CLEAN: &str = "
local cursor = '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
  cursor = page[1]
  if #page[2] > 0 then redis.call('UNLINK', unpack(page[2])) end
until cursor == '0'
for _, queue in ipairs(KEYS) do redis.call('XTRIM', queue, 'MAXLEN', 0) end
return 'OK'";

/// A connection.
#[derive(Debug)]
pub(crate) struct RedisStats(BufReader<TcpStream>);

/// Counters of a server, which only grow.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Counters {
    /// User and system time of the server, µs.
    pub(crate) cpu_us: f64,
    /// Calls of each command, those inside scripts included.
    pub(crate) calls: BTreeMap<String, u64>,
}

impl RedisStats {
    /// Connects to the server on a port of this machine.
    pub(crate) async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The counters now.
    pub(crate) async fn counters(&mut self) -> anyhow::Result<Counters> {
        let cpu = self.command(&["INFO", "cpu"]).await?;
        let calls = self.command(&["INFO", "commandstats"]).await?;
        Counters::read(&cpu, &calls)
    }

    /// The calls of each command so far, those inside scripts included.
    pub(crate) async fn calls(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        let stats = self.command(&["INFO", "commandstats"]).await?;
        Ok(read_calls(&stats))
    }

    /// The memory in use, bytes.
    pub(crate) async fn used_memory(&mut self) -> anyhow::Result<f64> {
        let memory = self.command(&["INFO", "memory"]).await?;
        number(&memory, "used_memory").context("INFO memory has no used_memory")
    }

    /// Removes the records that match `records` and the entries of `queues`.
    pub(crate) async fn clean(&mut self, records: &str, queues: &[String]) -> anyhow::Result<()> {
        let count = queues.len().to_string();
        let mut command = vec!["EVAL", CLEAN, &count];
        command.extend(queues.iter().map(String::as_str));
        command.push(records);
        self.command(&command).await.map(drop)
    }

    /// Runs a command that replies with one line or one text.
    async fn command(&mut self, words: &[&str]) -> anyhow::Result<String> {
        let mut sent = format!("*{}\r\n", words.len());
        for word in words {
            sent.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.write_all(sent.as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let line = line.trim_end();
        match line.strip_prefix('$') {
            Some(length) => {
                let mut text = vec![0; length.parse::<usize>()? + 2];
                self.0.read_exact(&mut text).await?;
                Ok(String::from_utf8(text)?)
            }
            None if line.starts_with(['+', ':']) => Ok(line.to_owned()),
            None => bail!("Redis replied {line:?}"),
        }
    }
}

impl Counters {
    fn read(cpu: &str, calls: &str) -> anyhow::Result<Self> {
        let seconds = ["used_cpu_user", "used_cpu_sys"]
            .map(|name| number(cpu, name).with_context(|| format!("INFO cpu has no {name}")));
        let [user, system] = seconds;
        Ok(Self {
            cpu_us: (user? + system?) * 1e6,
            calls: read_calls(calls),
        })
    }

    /// What was counted since `before`, without our own questions.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let grown = self.calls.iter().filter_map(|(name, count)| {
            let more = count.saturating_sub(before.calls.get(name).copied().unwrap_or(0));
            (more > 0 && name != "info").then(|| (name.clone(), more))
        });
        Self {
            cpu_us: self.cpu_us - before.cpu_us,
            calls: grown.collect(),
        }
    }
}

fn read_calls(stats: &str) -> BTreeMap<String, u64> {
    let calls = stats.lines().filter_map(|line| {
        let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let count = stats.strip_prefix("calls=")?.split(',').next()?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    calls.collect()
}

fn number(info: &str, name: &str) -> Option<f64> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_and_subtracted() {
        let cpu = |user| format!("# CPU\r\nused_cpu_sys:0.5\r\nused_cpu_user:{user}\r\n");
        let stats = |get, set| {
            format!(
                "cmdstat_get:calls={get},usec=1\r\ncmdstat_info:calls=9,usec=1\r\ncmdstat_set:calls={set},usec=1\r\n"
            )
        };
        let before = Counters::read(&cpu("1.0"), &stats(5, 1)).unwrap();
        let after = Counters::read(&cpu("1.25"), &stats(7, 1)).unwrap();
        let grown = after.since(&before);
        assert_eq!(grown.cpu_us, 250_000.0);
        assert_eq!(grown.calls, BTreeMap::from([("get".to_owned(), 2)]));
        assert!(Counters::read("", "").is_err());
    }
}
