//! The settings of `dev`: those of a front end, and those of a worker. Its Redis is its own.

use std::path::PathBuf;

use taskferry_process::settings::{Binary, Problems, Setting, names_a_redis, names_of};

use super::{ServeConfig, collect, settings_of_both};

/// The configuration of `dev`.
#[derive(Debug, Clone)]
pub(crate) struct DevConfig {
    /// The front end, for one user.
    pub(crate) serve: ServeConfig,
    /// The worker's manifest of tools.
    pub(crate) manifest: Option<PathBuf>,
    /// What else was given of the worker's settings, as its flags.
    pub(crate) worker: Vec<String>,
}

/// Reads the settings of `dev`.
pub(crate) fn dev(
    flags: Vec<(&'static str, String)>,
    file: Option<PathBuf>,
) -> Result<DevConfig, Problems> {
    let mut settings = collect(settings_of_both(), flags, file);
    for name in names_of(Binary::Worker).filter(|name| names_a_redis(name)) {
        if settings.given(name).is_some() {
            settings.refuse(format!(
                "{}: dev starts a Redis of its own; leave it out, or use serve and taskferry-worker",
                settings.given_as(name)
            ));
        }
    }
    let of_worker = names_of(Binary::Worker).filter(|name| *name != "manifest");
    let worker = of_worker
        .filter_map(|name| Some(as_flag(name, settings.given(name)?)))
        .collect();
    let manifest = settings.take_optional("manifest", |text| Ok(PathBuf::from(text)));
    Ok(DevConfig {
        serve: ServeConfig::take(settings)?.for_one_user(),
        manifest,
        worker,
    })
}

fn as_flag(name: &'static str, value: &str) -> String {
    let setting = Setting {
        name,
        value: "",
        help: "",
    };
    format!("--{}={value}", setting.flag())
}
