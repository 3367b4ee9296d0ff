//! The settings of the front end. The environment is read here and nowhere else.

mod callers;
mod dev;
mod names;
mod operator;
mod serve;
mod sums;

use std::path::PathBuf;

use taskferry_process::settings::{Binary, Problems, Setting, Settings, Sources, names_of};

pub(crate) use callers::Callers;
pub(crate) use dev::{DevConfig, dev};
pub(crate) use names::settings_of_serve;
pub(crate) use operator::{OperatorConfig, operator, settings_of_operator};
pub(crate) use serve::ServeConfig;

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
    let variables = std::env::vars_os();
    let sources = Sources {
        flags,
        variables,
        file,
    };
    Settings::collect(known, sources)
}

/// The settings of a front end and of a worker, for what reads a file that may be of either.
fn settings_of_both() -> Vec<Setting> {
    let mut both = settings_of_serve();
    for name in names_of(Binary::Worker) {
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

/// The name of the user who runs this; empty if the system does not say.
fn user() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that reads the environment"
    )]
    let mut named = ["USER", "LOGNAME"].into_iter().filter_map(std::env::var_os);
    let first = named.find(|name| !name.is_empty());
    first.unwrap_or_default().to_string_lossy().into_owned()
}

/// Where to search for programs, as the shell does.
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
