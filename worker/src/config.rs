//! The settings of a worker. The environment is read here and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use taskferry_contract::RedisSettings;
use taskferry_process::settings::{
    Problems, REDIS_SETTINGS, Setting, Settings, Sources, bytes, duration, take_redis, within,
};
use taskferry_process::telemetry::{LOG_SETTINGS, LogSettings, take_log_else};

use crate::core::quota::SHORTEST_IDLE;
use crate::exec::{CgroupSetting, Environment};
use crate::worker::{DRAIN_TIMEOUT, LONGEST_LEASE, MAX_RESULT, MOST_SLOTS, SHORTEST_LEASE};

/// The range of `max_result`, bytes.
const SMALLEST_BOUND: usize = 1 << 10;
const LARGEST_BOUND: usize = 256 << 20;

const OWN: [Setting; 8] = [
    Setting {
        name: "manifest",
        value: "FILE",
        help: "The manifest of tools",
    },
    Setting {
        name: "slots",
        value: "N",
        help: "How many jobs run at once, 1 to 1024 [default: as many as there are processors]",
    },
    Setting {
        name: "lease",
        value: "DURATION",
        help: "How long this worker may be silent until others take over its jobs, 1s to 10m [default: 15s]",
    },
    Setting {
        name: "drain_timeout",
        value: "DURATION",
        help: "How long running jobs may go on after SIGTERM [default: 5s]",
    },
    Setting {
        name: "max_jobs",
        value: "N",
        help: "End after so many jobs, from 1 [default: no bound]",
    },
    Setting {
        name: "idle_exit",
        value: "DURATION",
        help: "End after so long without a job, 1s to 1d [default: never]",
    },
    Setting {
        name: "max_result",
        value: "SIZE",
        help: "The largest result that is stored, 1KiB to 256MiB; a larger one is a tool error [default: 16MiB]",
    },
    Setting {
        name: "cgroup",
        value: "auto|off|PATH",
        help: "The cgroup (version 2) below which each command gets one of its own: the worker's, if it was handed over to it, none, or this one [default: auto]",
    },
];

/// Every setting of a worker.
pub(crate) fn all_settings() -> Vec<Setting> {
    OWN.into_iter()
        .chain(LOG_SETTINGS)
        .chain(REDIS_SETTINGS)
        .collect()
}

/// What a command needs of the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// Whether a manifest must be named.
    pub(crate) manifest: bool,
    /// What is logged if nothing is set.
    pub(crate) log: &'static str,
}

/// A worker's configuration.
#[derive(Debug, Clone)]
pub(crate) struct WorkerConfig {
    pub(crate) manifest: Option<PathBuf>,
    pub(crate) slots: Option<usize>,
    pub(crate) lease: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) max_jobs: Option<usize>,
    pub(crate) idle_exit: Option<Duration>,
    pub(crate) max_result: usize,
    pub(crate) cgroup: CgroupSetting,
    pub(crate) log: LogSettings,
    pub(crate) redis: RedisSettings,
    /// What is amiss with the settings, though they can be used.
    pub(crate) warnings: Vec<String>,
}

impl WorkerConfig {
    /// Reads what flags, the environment and the settings file say; refuses all problems at once.
    pub(crate) fn read(
        flags: Vec<(&'static str, String)>,
        file: Option<PathBuf>,
        needs: Needs,
    ) -> Result<Self, Problems> {
        let mut settings = collect(flags, file);
        let all = &mut settings;
        let mut config = Self {
            manifest: all.take_optional("manifest", |text| Ok(PathBuf::from(text))),
            slots: all.take_optional("slots", |text| {
                let number = text.parse().map_err(|_not_a_number| slots_rule())?;
                within(1, MOST_SLOTS)(number).map_err(|_out_of_range| slots_rule())
            }),
            lease: all.take("lease", Duration::from_secs(15), |text| {
                duration(text).and_then(within(SHORTEST_LEASE, LONGEST_LEASE))
            }),
            drain_timeout: all.take("drain_timeout", DRAIN_TIMEOUT, |text| {
                duration(text).and_then(within(Duration::ZERO, Duration::from_secs(86_400)))
            }),
            max_jobs: all.take_optional("max_jobs", |text| {
                let number = text.parse::<usize>().ok().filter(|jobs| *jobs > 0);
                number.ok_or_else(|| "must be a whole number from 1".to_owned())
            }),
            idle_exit: all.take_optional("idle_exit", |text| {
                duration(text).and_then(within(SHORTEST_IDLE, Duration::from_secs(86_400)))
            }),
            max_result: all.take("max_result", MAX_RESULT, |text| {
                bytes(text).and_then(within(SMALLEST_BOUND, LARGEST_BOUND))
            }),
            cgroup: all.take("cgroup", CgroupSetting::Auto, str::parse),
            log: take_log_else(all, needs.log),
            redis: take_redis(all),
            warnings: Vec::new(),
        };
        if needs.manifest && config.manifest.is_none() {
            settings.refuse("manifest: is required: it names the tools".to_owned());
        }
        config.warnings = settings.finish()?;
        Ok(config)
    }
}

fn slots_rule() -> String {
    format!("must be a whole number from 1 to {MOST_SLOTS}")
}

fn collect(flags: Vec<(&'static str, String)>, file: Option<PathBuf>) -> Settings {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    let variables = std::env::vars_os();
    let sources = Sources {
        flags,
        variables,
        file,
    };
    Settings::collect(all_settings(), sources)
}

/// What commands inherit of this process's environment.
pub(crate) fn inherited_environment() -> Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    let variables = std::env::vars_os();
    Environment::inherited(variables)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::manifest::Manifest;
    use taskferry_process::settings::{Binary, names_of};
    use taskferry_process::telemetry::DEFAULT_FILTER;

    fn config(flags: &[(&'static str, &str)]) -> Result<WorkerConfig, Problems> {
        let flags = flags
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let needs = Needs {
            manifest: true,
            log: DEFAULT_FILTER,
        };
        WorkerConfig::read(flags.collect(), None, needs)
    }

    #[test]
    fn the_front_end_passes_over_every_setting() {
        let own = all_settings();
        let own: BTreeSet<&str> = own.iter().map(|setting| setting.name).collect();
        assert_eq!(own, names_of(Binary::Worker).collect());
    }

    #[test]
    fn every_setting_is_in_the_table_for_those_who_run_workers() {
        let guide = include_str!("../../docs/WORKERS.md");
        for setting in all_settings() {
            let begin = format!("| `{}` | ", setting.name);
            let found = guide.lines().any(|line| line.starts_with(&begin));
            assert!(found, "{} is not in the table", setting.name);
        }
    }

    #[test]
    fn impossible_values_are_refused_together() {
        let flags = [
            ("slots", "0"),
            ("lease", "999ms"),
            ("drain_timeout", "soon"),
            ("max_result", "1B"),
            ("cgroup", "here"),
            ("log", "worker=loud"),
            ("log_format", "xml"),
            ("redis_shards", "0"),
        ];
        let refused = config(&flags).unwrap_err();
        assert_eq!(refused.0.len(), flags.len() + 1, "{refused}");
        assert!(refused.to_string().contains("manifest"), "{refused}");
    }

    #[test]
    fn a_worker_ends_before_docker_kills_it_unless_it_is_told_otherwise() {
        let text = "[[tool]]\nname = 'a'\ndescription = 'b'\ncommand = ['true']";
        let manifest = Manifest::parse(text, std::path::Path::new("/")).unwrap();
        let grace = manifest.tools[0].command.stop_grace;
        let drain = config(&[("manifest", "tools.toml")]).unwrap().drain_timeout;
        let rest = Duration::from_secs(1);
        assert!(
            drain + grace + rest < Duration::from_secs(10),
            "{drain:?} {grace:?}"
        );
    }

    #[test]
    fn the_unit_gives_a_drain_its_time_and_stops_the_worker_alone() {
        let unit = include_str!("../../deploy/systemd/taskferry-worker.service");
        let patience = unit
            .lines()
            .find_map(|line| line.strip_prefix("TimeoutStopSec="));
        let patience = Duration::from_secs(patience.unwrap().parse().unwrap());
        let drain = config(&[("manifest", "tools.toml")]).unwrap().drain_timeout;
        // The longest stop_grace that is likely, twice over, and what is written at the end.
        assert!(patience > drain + Duration::from_secs(10), "{patience:?}");
        assert!(unit.contains("\nKillMode=mixed\n"));
    }

    #[test]
    fn the_ends_of_the_ranges_are_possible() {
        for (slots, lease) in [("1", "1s"), ("1024", "10m")] {
            let flags = [
                ("manifest", "tools.toml"),
                ("slots", slots),
                ("lease", lease),
            ];
            assert!(config(&flags).is_ok());
        }
    }
}
