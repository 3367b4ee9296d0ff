//! The front end's settings. The environment and the settings file are read here and nowhere else.

mod dev;
mod operator;
mod serve;

use std::path::PathBuf;

use taskferry_contract::settings::{Problems, Setting, Settings, WORKER_NAMES};

pub(crate) use dev::{DevConfig, dev};
pub(crate) use operator::{OperatorConfig, operator, settings_of_operator};
pub(crate) use serve::{ServeConfig, settings_of_serve};

/// Names of settings that are not the front end's but may stand in a shared environment.
const NAMES_OF_OTHERS: [&str; 2] = ["config", "test_redis"];

/// The variable that names the settings file.
pub(crate) const FILE_VARIABLE: &str = "TASKFERRY_CONFIG";

/// Collects what flags, the environment and the settings file say of the settings in `known`.
fn collect(
    known: Vec<Setting>,
    flags: Vec<(&'static str, String)>,
    file: Option<PathBuf>,
) -> Settings {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut settings = Settings::new(known);
    let named = variables.iter().find(|(name, _)| name == FILE_VARIABLE);
    let file = file.or_else(|| named.map(|(_, path)| PathBuf::from(path)));
    if let Some(path) = file {
        let shown = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => settings.add_file(&shown, &text),
            Err(error) => settings.refuse(format!(
                "{shown}: the settings file cannot be read: {error}"
            )),
        }
    }
    let others: Vec<&str> = NAMES_OF_OTHERS.into_iter().chain(WORKER_NAMES).collect();
    settings.add_environment(variables.into_iter(), &others);
    for (name, value) in flags {
        settings.add_flag(name, value);
    }
    settings
}

/// The settings of a front end and of a worker, for what reads a file that may be of either.
fn settings_of_both() -> Vec<Setting> {
    let mut both = settings_of_serve();
    for name in WORKER_NAMES {
        if !both.iter().any(|setting| setting.name == name) {
            both.push(Setting {
                name,
                value: "",
                help: "",
            });
        }
    }
    both
}

/// Where programs are looked for, as the shell does.
pub(crate) fn search_path() -> Vec<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Reads the settings of `serve`.
pub(crate) fn serve(
    flags: Vec<(&'static str, String)>,
    file: Option<PathBuf>,
) -> Result<ServeConfig, Problems> {
    ServeConfig::take(collect(settings_of_serve(), flags, file))
}
