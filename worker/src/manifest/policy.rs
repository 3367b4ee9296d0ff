//! How the jobs of a tool are queued, bounded and retried.

use std::time::Duration;

use taskferry_contract::{Rate, RateExcess, TaskSupport, is_scope};

use super::name::check_name;
use super::table::TableReader;
use crate::units::{LONGEST, format_duration};

const SHORTEST: Duration = Duration::from_millis(1);
const MOST: u32 = 1_000_000;
/// How many of its workers an external job may outlive, unless its tool says otherwise.
const EXTERNAL_CRASH_LIMIT: u32 = 100;

/// The choices of `task_support`, with their words.
const TASK_SUPPORT: [(&str, TaskSupport); 3] = [
    ("required", TaskSupport::Required),
    ("optional", TaskSupport::Optional),
    ("forbidden", TaskSupport::Forbidden),
];

/// The choices of `rate_excess`, with their words.
const RATE_EXCESS: [(&str, RateExcess); 2] =
    [("wait", RateExcess::Wait), ("refuse", RateExcess::Refuse)];

/// How the jobs of a tool are queued, bounded and retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The queue that its jobs go to. Default: `default`.
    pub queue: String,
    /// Tools are listed by rank, then by name. Default: 0.
    pub rank: i32,
    /// Whether a call becomes an MCP task. Default: optional.
    pub task_support: TaskSupport,
    /// How long one attempt may run; at least 1 ms. Default: 10 minutes.
    pub timeout: Duration,
    /// The ttl of a task whose caller asks for none, within `ttl_min` and
    /// `ttl_max`. Default: 1 hour.
    pub ttl: Duration,
    /// The shortest ttl a caller gets; at least 1 ms. Default: 1 second.
    pub ttl_min: Duration,
    /// The longest ttl a caller gets; at most 365 days, as every duration here.
    /// Default: 24 hours.
    pub ttl_max: Duration,
    /// How long a result stays readable at least: the ttl grows at the end if it
    /// must. Default: 5 minutes.
    pub keep: Duration,
    /// How often a client is asked to poll a young task; at least 1 ms.
    /// Default: 1 second.
    pub poll_interval: Duration,
    /// How often a client is asked to poll an old task; at least
    /// `poll_interval`. Default: 5 seconds, or `poll_interval` if that is more.
    pub poll_interval_max: Duration,
    /// Whether identical calls share one job. Default: no.
    pub share: bool,
    /// How many attempts a job has, 1 to 1,000,000; 1 is at most once. Default: 3.
    pub attempts: u32,
    /// How many of its workers a job may kill, 1 to 1,000,000. Default: 3; always
    /// 1 if there is one attempt.
    pub crash_limit: u32,
    /// The delay before the second attempt, at most `backoff_max`. Default: 1 second.
    pub backoff_initial: Duration,
    /// The longest delay before another attempt. Default: 1 minute.
    pub backoff_max: Duration,
    /// How many jobs of the tool may run at a time in the whole fleet, 1 to
    /// 1,000,000; none is no limit, the default.
    pub concurrency: Option<u32>,
    /// How many attempts of its jobs may begin in a time in the whole fleet; none is no bound, the default.
    pub rate: Option<Rate>,
    /// What becomes of calls beyond the rate. Default: they wait.
    pub rate_excess: RateExcess,
    /// The scopes that a caller needs to call the tool, where callers have
    /// scopes. Default: none.
    pub scopes: Vec<String>,
    /// The scopes that a caller needs to make tasks of it, and for all that can
    /// be done with these. Default: none.
    pub task_scopes: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            queue: "default".to_owned(),
            rank: 0,
            task_support: TaskSupport::default(),
            timeout: Duration::from_mins(10),
            ttl: Duration::from_hours(1),
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_hours(24),
            keep: Duration::from_mins(5),
            poll_interval: Duration::from_secs(1),
            poll_interval_max: Duration::from_secs(5),
            share: false,
            attempts: 3,
            crash_limit: 3,
            backoff_initial: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            concurrency: None,
            rate: None,
            rate_excess: RateExcess::default(),
            scopes: Vec::new(),
            task_scopes: Vec::new(),
        }
    }
}

impl Policy {
    /// What a table sets, and for the rest `base`.
    pub(super) fn read(reader: &mut TableReader<'_, '_>, base: &Self) -> Self {
        let queue = reader.string("queue");
        if let Some(queue) = queue {
            check_name(reader, "queue", queue);
        }
        let mut some = |key| reader.duration(key, SHORTEST..=LONGEST);
        let timeout = some("timeout").unwrap_or(base.timeout);
        let ttl = some("ttl").unwrap_or(base.ttl);
        let ttl_min = some("ttl_min").unwrap_or(base.ttl_min);
        let ttl_max = some("ttl_max").unwrap_or(base.ttl_max);
        let poll_interval = some("poll_interval").unwrap_or(base.poll_interval);
        let poll_interval_max = some("poll_interval_max").unwrap_or(base.poll_interval_max);
        let mut any = |key| reader.duration(key, Duration::ZERO..=LONGEST);
        let keep = any("keep").unwrap_or(base.keep);
        let backoff_initial = any("backoff_initial").unwrap_or(base.backoff_initial);
        let backoff_max = any("backoff_max").unwrap_or(base.backoff_max);
        let mut count = |key| reader.count(key, 1..=MOST);
        let attempts = count("attempts").unwrap_or(base.attempts);
        let crash_limit = count("crash_limit").unwrap_or(base.crash_limit);
        let concurrency = count("concurrency").or(base.concurrency);
        let rate = reader.rate("rate").or(base.rate);
        let rate_excess = reader.choice("rate_excess", &RATE_EXCESS);
        let rank = reader.integer("rank", i64::from(i32::MIN)..=i64::from(i32::MAX));
        let task_support = reader.choice("task_support", &TASK_SUPPORT);
        let mut scopes = |key| read_scopes(reader, key);
        let (call, task) = (scopes("scopes"), scopes("task_scopes"));
        Self {
            queue: queue.unwrap_or(&base.queue).to_owned(),
            rank: rank
                .and_then(|rank| i32::try_from(rank).ok())
                .unwrap_or(base.rank),
            task_support: task_support.unwrap_or(base.task_support),
            timeout,
            ttl,
            ttl_min,
            ttl_max,
            keep,
            poll_interval,
            poll_interval_max,
            share: reader.flag("share").unwrap_or(base.share),
            attempts,
            crash_limit,
            backoff_initial,
            backoff_max,
            concurrency,
            rate,
            rate_excess: rate_excess.unwrap_or(base.rate_excess),
            scopes: call.unwrap_or_else(|| base.scopes.clone()),
            task_scopes: task.unwrap_or_else(|| base.task_scopes.clone()),
        }
    }

    /// Checks how the settings of a tool go together.
    pub(super) fn settle(&mut self, reader: &mut TableReader<'_, '_>) {
        let of = |key, value| NamedDuration { key, value };
        let ttl = of("ttl", self.ttl);
        at_most(reader, of("ttl_min", self.ttl_min), ttl);
        at_most(reader, ttl, of("ttl_max", self.ttl_max));
        let longest = of("backoff_max", self.backoff_max);
        at_most(reader, of("backoff_initial", self.backoff_initial), longest);
        if reader.value("poll_interval_max").is_some() {
            let longest = of("poll_interval_max", self.poll_interval_max);
            at_most(reader, of("poll_interval", self.poll_interval), longest);
        }
        self.poll_interval_max = self.poll_interval_max.max(self.poll_interval);
        if self.rate.is_none() && reader.value("rate_excess").is_some() {
            reader.problem(
                "rate_excess",
                "says what becomes of calls beyond `rate`, which is not set: set it, as in rate = \"5/1m\"",
            );
        }
        if self.attempts == 1 {
            if self.crash_limit != 1 && reader.value("crash_limit").is_some() {
                reader.problem(
                    "crash_limit",
                    "must be 1 here: a tool with attempts = 1 runs at most once",
                );
            }
            self.crash_limit = 1;
        }
    }

    /// What is otherwise for jobs of another system: their attempts are taken up again where they are, so that workers may
    /// come and go meanwhile.
    pub(super) fn settle_external(&mut self, reader: &mut TableReader<'_, '_>) {
        if self.attempts == 1 {
            reader.problem(
                "attempts",
                "must be more than 1 for an external job, whose next attempt goes on with the same job",
            );
        }
        if reader.value("crash_limit").is_none() {
            self.crash_limit = self.crash_limit.max(EXTERNAL_CRASH_LIMIT);
        }
    }
}

fn read_scopes(reader: &mut TableReader<'_, '_>, key: &'static str) -> Option<Vec<String>> {
    let scopes = reader.strings(key)?;
    if let Some(wrong) = scopes.iter().find(|scope| !is_scope(scope)) {
        reader.problem(
            key,
            format!("{wrong:?} is no scope: write 1 to 200 printable ASCII characters without space, quotes and backslash, and not *"),
        );
    }
    Some(scopes.into_iter().map(str::to_owned).collect())
}

/// A duration and the key that sets it.
#[derive(Clone, Copy)]
struct NamedDuration {
    key: &'static str,
    value: Duration,
}

fn at_most(reader: &mut TableReader<'_, '_>, low: NamedDuration, high: NamedDuration) {
    if low.value > high.value {
        let [less, more] = [high, low].map(|duration| format_duration(duration.value));
        reader.problem(
            low.key,
            format!(
                "must be at most {}, but {more} is more than {less}",
                high.key
            ),
        );
    }
}
