//! Settings that must hold together: what can never work is refused, what may end badly is logged once, when the worker
//! starts. Both name the settings, their values, and what to change. WORKERS.md has the sums.

use std::time::Duration;

use taskferry_contract::ToolDefinition;

use crate::exec::OutputMode;
use crate::units::{format_duration, format_size};

/// How many tools a warning names.
const TOOLS_NAMED: usize = 3;

/// What a command may write, beside the definition of its tool.
#[derive(Debug, Clone)]
pub(crate) struct CommandOutput {
    pub(crate) tool: String,
    pub(crate) max_output: usize,
    /// Whether the manifest says so.
    pub(crate) is_set: bool,
    pub(crate) mode: OutputMode,
    /// Whether its jobs run in another system, and go on there when the worker stops.
    pub(crate) is_external: bool,
}

impl CommandOutput {
    /// How many times its output a result may have, but for a text of control characters: structured content stands in it
    /// as it is and once more as a text, in which quotes are escaped.
    fn factor(&self) -> usize {
        match self.mode {
            OutputMode::Result => 1,
            OutputMode::Text => 2,
            OutputMode::Auto | OutputMode::Json => 3,
        }
    }

    /// The largest result that may come of it, bytes.
    fn largest_result(&self) -> usize {
        self.max_output.saturating_mul(self.factor())
    }
}

/// The settings of a worker that have to do with others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) lease: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) max_result: usize,
    pub(crate) redis_timeout: Duration,
}

/// What can never work.
pub(crate) fn refused(bounds: Bounds, commands: &[CommandOutput]) -> Vec<String> {
    let most = bounds.max_result;
    let too_much = commands
        .iter()
        .filter(|command| command.is_set && command.max_output > most);
    too_much
        .map(|command| {
            format!(
                "tool {}: max_output is {}, and a result of more than {} (max_result of the worker) is never stored: lower max_output in the manifest, or raise max_result",
                command.tool, format_size(command.max_output), format_size(most),
            )
        })
        .collect()
}

/// What may end badly, one line for each pair of settings.
pub(crate) fn warnings<'a>(
    bounds: Bounds,
    tools: impl Iterator<Item = &'a ToolDefinition>,
    commands: &[CommandOutput],
) -> Vec<String> {
    let mut tools: Vec<&ToolDefinition> = tools.collect();
    tools.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    let goes_on = |tool: &ToolDefinition| {
        let mut commands = commands.iter();
        commands.any(|command| command.is_external && command.tool == tool.name.as_str())
    };
    let here: Vec<_> = tools
        .iter()
        .copied()
        .filter(|tool| !goes_on(tool))
        .collect();
    [
        drain(bounds, &here),
        renewals(bounds),
        results(bounds, commands),
        lifetimes(&tools),
        polls(&tools),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Work that takes longer than the drain is done again.
fn drain(bounds: Bounds, tools: &[&ToolDefinition]) -> Option<String> {
    let drain = bounds.drain_timeout;
    let longer = |tool: &&&ToolDefinition| Duration::from_millis(tool.timeout_ms) > drain;
    let long: Vec<&ToolDefinition> = tools.iter().filter(longer).copied().collect();
    let longest = long.iter().map(|tool| tool.timeout_ms).max()?;
    let once = long
        .iter()
        .filter(|tool| tool.attempts == 1 && tool.crash_limit == 1);
    let once = named(once.map(|tool| tool.name.as_str()));
    let fails = once.map_or_else(String::new, |tools| format!(", or fails ({tools})"));
    let tools = named(long.iter().map(|tool| tool.name.as_str()))?;
    let (drain, longest) = (
        format_duration(drain),
        format_duration(Duration::from_millis(longest)),
    );
    Some(format!(
        "drain_timeout is {drain}, and timeout is up to {longest} ({tools}): a job that runs longer than {drain} when this worker is told to stop begins again elsewhere{fails}. Raise drain_timeout to what jobs really take, and what stops the worker with it (docker stop -t, terminationGracePeriodSeconds, TimeoutStopSec), or lower timeout"
    ))
}

/// A renewal that gets no answer must be tried again while the lease lasts.
fn renewals(bounds: Bounds) -> Option<String> {
    let Bounds {
        lease,
        redis_timeout,
        ..
    } = bounds;
    (redis_timeout > lease * 2 / 3).then(|| {
        let (redis_timeout, lease) = (format_duration(redis_timeout), format_duration(lease));
        format!(
            "redis_timeout is {redis_timeout}, and lease is {lease}: a renewal that gets no answer is not tried again before the lease is over, and another worker takes the job. Set redis_timeout to two thirds of lease at most, or raise lease"
        )
    })
}

/// A result must have room for what a command may write.
fn results(bounds: Bounds, commands: &[CommandOutput]) -> Option<String> {
    let most = bounds.max_result;
    let lost = |command: &&CommandOutput| {
        command.largest_result() > most && !(command.is_set && command.max_output > most)
    };
    let lost: Vec<&CommandOutput> = commands.iter().filter(lost).collect();
    let largest = lost.iter().max_by_key(|command| command.largest_result())?;
    let (output, result) = (
        format_size(largest.max_output),
        format_size(largest.largest_result()),
    );
    let tools = named(lost.iter().map(|command| command.tool.as_str()))?;
    let most = format_size(most);
    Some(format!(
        "max_output is up to {output} ({tools}), which may make a result of {result}, and max_result is {most}: a larger result is a tool error, although the output was taken. Raise max_result, or lower max_output in the manifest"
    ))
}

/// A task must live as long as its attempts may take.
fn lifetimes(tools: &[&ToolDefinition]) -> Option<String> {
    let short = |tool: &&&ToolDefinition| whole_ms(tool) > tool.ttl.default_ms;
    let short: Vec<&ToolDefinition> = tools.iter().filter(short).copied().collect();
    let first = short.first()?;
    let shown = |ms| format_duration(Duration::from_millis(ms));
    let (ttl, timeout, whole) = (
        shown(first.ttl.default_ms),
        shown(first.timeout_ms),
        shown(whole_ms(first)),
    );
    let attempts = first.attempts;
    let tools = named(short.iter().map(|tool| tool.name.as_str()))?;
    Some(format!(
        "ttl is shorter than timeout x attempts and the backoffs between ({tools}; of {}: ttl {ttl}, and timeout {timeout} x attempts {attempts} may take {whole}): a job that takes longer than its ttl is forgotten while it runs. Raise ttl and ttl_max, or lower timeout or attempts",
        first.name
    ))
}

/// How long all attempts of a job may take, with the longest backoffs between them, ms.
fn whole_ms(tool: &ToolDefinition) -> u64 {
    let between = u64::from(tool.attempts.saturating_sub(1));
    // Beyond these doublings every backoff is the longest.
    let growing = between.min(32);
    let backoffs = (0..growing).fold(0_u64, |sum, retry| {
        sum.saturating_add(tool.backoff.delay_ms(retry, 0.0))
    });
    let rest = (between - growing).saturating_mul(tool.backoff.max_ms);
    let running = tool.timeout_ms.saturating_mul(u64::from(tool.attempts));
    running.saturating_add(backoffs).saturating_add(rest)
}

/// A client must poll while its task still exists.
fn polls(tools: &[&ToolDefinition]) -> Option<String> {
    let late = |tool: &&&ToolDefinition| tool.poll_interval_ms > tool.ttl.default_ms;
    let late: Vec<&ToolDefinition> = tools.iter().filter(late).copied().collect();
    let first = late.first()?;
    let shown = |ms| format_duration(Duration::from_millis(ms));
    let (poll, ttl) = (shown(first.poll_interval_ms), shown(first.ttl.default_ms));
    let tools = named(late.iter().map(|tool| tool.name.as_str()))?;
    Some(format!(
        "poll_interval is longer than ttl ({tools}; of {}: {poll} and {ttl}): a client that polls as it is asked to finds nothing any more. Lower poll_interval, or raise ttl",
        first.name
    ))
}

/// The first few names, and how many others there are. `None` if there is none.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let shown = names.get(..TOOLS_NAMED.min(names.len()))?.join(", ");
    match names.len() {
        0 => None,
        few if few <= TOOLS_NAMED => Some(shown),
        many => Some(format!("{shown} and {} more", many - TOOLS_NAMED)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    const MIB: usize = 1 << 20;

    fn tool(name: &str) -> ToolDefinition {
        let schema = RawValue::from_string("{}".to_owned()).unwrap();
        ToolDefinition::new(name.parse().unwrap(), schema)
    }

    fn bounds() -> Bounds {
        Bounds {
            lease: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(600),
            max_result: 16 * MIB,
            redis_timeout: Duration::from_secs(3),
        }
    }

    fn output(max_output: usize, mode: OutputMode) -> CommandOutput {
        CommandOutput {
            tool: "t".to_owned(),
            max_output,
            is_set: true,
            mode,
            is_external: false,
        }
    }

    fn told(bounds: Bounds, tools: &[ToolDefinition], commands: &[CommandOutput]) -> Vec<String> {
        warnings(bounds, tools.iter(), commands)
    }

    #[test]
    fn the_defaults_hold_together_but_for_the_drain() {
        let commands = [CommandOutput {
            is_set: false,
            ..output(4 * MIB, OutputMode::Auto)
        }];
        assert_eq!(told(bounds(), &[tool("a")], &commands), [""; 0]);
        let short = Bounds {
            drain_timeout: Duration::from_secs(5),
            ..bounds()
        };
        let told = told(short, &[tool("a")], &commands);
        assert_eq!(told.len(), 1, "{told:?}");
        for part in [
            "drain_timeout is 5s",
            "timeout is up to 10m (a)",
            "TimeoutStopSec",
        ] {
            assert!(told[0].contains(part), "{part}: {told:?}");
        }
        assert!(!told[0].contains("fails"), "{told:?}");
    }

    #[test]
    fn a_drain_says_which_jobs_fail_and_names_few_tools() {
        let mut tools: Vec<ToolDefinition> = ["e", "d", "c", "b"].map(tool).into();
        (tools[0].attempts, tools[0].crash_limit) = (1, 1);
        tools[1].timeout_ms = 3_600_000;
        tools[2].timeout_ms = 600_000;
        let drain = Bounds {
            drain_timeout: Duration::from_secs(599),
            ..bounds()
        };
        let told = told(drain, &tools, &[]);
        let parts = ["599s", "up to 1h (b, c, d and 1 more)", "or fails (e)"];
        assert!(parts.iter().all(|part| told[0].contains(part)), "{told:?}");
    }

    #[test]
    fn a_renewal_must_be_tried_again_within_the_lease() {
        for (redis_timeout, warned) in [(10_000, false), (10_001, true), (15_000, true)] {
            let bounds = Bounds {
                redis_timeout: Duration::from_millis(redis_timeout),
                ..bounds()
            };
            let told = told(bounds, &[], &[]);
            assert_eq!(told.len(), usize::from(warned), "{redis_timeout}");
            let names =
                |text: &String| text.contains("redis_timeout") && text.contains("lease is 15s");
            assert!(told.iter().all(names), "{told:?}");
        }
    }

    #[test]
    fn output_that_can_never_be_stored_is_refused_and_such_that_may_not_is_reported() {
        for (max_output, mode, refuses, warns) in [
            (16 * MIB, OutputMode::Result, false, false),
            (16 * MIB + 1, OutputMode::Result, true, false),
            (8 * MIB, OutputMode::Text, false, false),
            (9 * MIB, OutputMode::Text, false, true),
            (5 * MIB, OutputMode::Json, false, false),
            (6 * MIB, OutputMode::Auto, false, true),
            (30 * MIB, OutputMode::Auto, true, false),
        ] {
            let commands = [output(max_output, mode)];
            let refused = refused(bounds(), &commands);
            assert_eq!(!refused.is_empty(), refuses, "{max_output} {mode:?}");
            let names = |text: &String| text.contains("max_output") && text.contains("max_result");
            assert!(refused.iter().all(names), "{refused:?}");
            let told = told(bounds(), &[], &commands);
            assert_eq!(!told.is_empty(), warns, "{max_output} {mode:?}: {told:?}");
            assert!(told.iter().all(names), "{told:?}");
        }
        // Nobody chose the default, so only a small bound on results is warned of.
        let small = Bounds {
            max_result: MIB,
            ..bounds()
        };
        let commands = [CommandOutput {
            is_set: false,
            ..output(4 * MIB, OutputMode::Result)
        }];
        assert!(refused(small, &commands).is_empty());
        assert_eq!(told(small, &[], &commands).len(), 1);
    }

    #[test]
    fn a_ttl_covers_all_attempts_and_their_backoffs() {
        let mut tool = tool("t");
        (tool.attempts, tool.timeout_ms) = (3, 1000);
        (tool.backoff.initial_ms, tool.backoff.max_ms) = (100, 150);
        assert_eq!(whole_ms(&tool), 3_250);
        tool.ttl.default_ms = 3_250;
        tool.poll_interval_ms = 3_250;
        assert_eq!(told(bounds(), &[tool.clone()], &[]), [""; 0]);
        tool.ttl.default_ms -= 1;
        let told = told(bounds(), &[tool.clone()], &[]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("ttl 3249ms, and timeout 1s x attempts 3 may take 3250ms"),
            "{told:?}"
        );
        assert!(told[1].contains("poll_interval"), "{told:?}");
        tool.attempts = u32::MAX;
        assert!(whole_ms(&tool) > 1_000 * u64::from(u32::MAX));
    }
}
