//! The settings of the operator's commands: where Redis is.

use std::path::PathBuf;

use taskferry_contract::{Durability, RedisSettings, UnknownDurability};
use taskferry_process::settings::{Problems, REDIS_SETTINGS, Setting, take_redis};

use super::{collect, settings_of_both, user};

/// The level against which `doctor` checks Redis.
const DURABILITY: &str = "durability";

/// The configuration of an operator's command.
#[derive(Debug, Clone)]
pub(crate) struct OperatorConfig {
    /// Redis.
    pub(crate) redis: RedisSettings,
    /// What Redis should keep. `None` to show what it keeps, without a judgement.
    pub(crate) durability: Option<Durability>,
    /// Who gives the command, as the system knows them; empty if it does not say.
    pub(crate) user: String,
    /// What is amiss with the settings, though they can be used.
    pub(crate) warnings: Vec<String>,
}

/// The settings that are flags of an operator's command.
pub(crate) fn settings_of_operator() -> Vec<Setting> {
    REDIS_SETTINGS.to_vec()
}

/// Reads what an operator's command needs. The settings file and the environment may be those of a front end or a worker.
pub(crate) fn operator(
    flags: Vec<(&'static str, String)>,
    file: Option<PathBuf>,
) -> Result<OperatorConfig, Problems> {
    let mut settings = collect(settings_of_both(), flags, file);
    let durability = settings.take_optional(DURABILITY, |text| {
        text.parse()
            .map_err(|error: UnknownDurability| error.to_string())
    });
    Ok(OperatorConfig {
        redis: take_redis(&mut settings),
        durability,
        user: user(),
        warnings: settings.finish()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_worker_or_a_front_end_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        let text = "redis_prefix = 'x'\nmanifest = 'tools.toml'\nlisten = '127.0.0.1:1'\ndurability = 'always'\n";
        std::fs::write(&file, text).unwrap();
        let config = operator(Vec::new(), Some(file.clone())).unwrap();
        assert_eq!(config.redis.prefix, "x");
        assert_eq!(config.durability, Some(Durability::Always));
        std::fs::write(&file, "durability = 'forever'\nmanifst = 1\n").unwrap();
        let refused = operator(Vec::new(), Some(file)).unwrap_err();
        assert_eq!(refused.0.len(), 2, "{refused}");
    }
}
