//! Where a binary's settings come from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Setting, Settings};

/// The variable that names the settings file.
pub const FILE_VARIABLE: &str = "TASKFERRY_CONFIG";

/// What a binary was given.
#[derive(Debug)]
pub struct Sources<V> {
    /// Flags, by the names of their settings.
    pub flags: Vec<(&'static str, String)>,
    /// The variables of the environment; those that are not Unicode are passed over.
    pub variables: V,
    /// The settings file; if absent, the one that [`FILE_VARIABLE`] names.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Collects what the sources say of the settings in `known`. The environment may also hold
    /// those of another binary.
    pub fn collect(
        known: Vec<Setting>,
        sources: Sources<impl Iterator<Item = (OsString, OsString)>>,
    ) -> Self {
        let variables: Vec<(String, String)> = sources
            .variables
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut settings = Self::new(known);
        let named = variables.iter().find(|(name, _)| name == FILE_VARIABLE);
        let file = sources.file.as_deref();
        if let Some(path) = file.or_else(|| named.map(|(_, path)| Path::new(path))) {
            settings.read_file(path);
        }
        settings.add_environment(variables.into_iter());
        for (name, value) in sources.flags {
            settings.add_flag(name, value);
        }
        settings
    }

    fn read_file(&mut self, path: &Path) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_file(path, &text),
            Err(error) => self.refuse(format!(
                "{}: the settings file cannot be read: {error}",
                path.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::settings::{REDIS_SETTINGS, take_redis};

    #[test]
    fn the_file_is_the_one_of_the_flag_else_of_the_environment() {
        let folder = std::env::temp_dir().join(format!("taskferry-sources-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [named, given] = ["named", "given"].map(|name| {
            let path = folder.join(format!("{name}.toml"));
            std::fs::write(&path, format!("redis_prefix = '{name}'")).unwrap();
            path
        });
        let read = |file: Option<PathBuf>| {
            let variables = [
                (FILE_VARIABLE.into(), named.clone().into_os_string()),
                ("TASKFERRY_LISTEN".into(), "of another binary".into()),
                (OsString::from_vec(vec![0xff]), "no name".into()),
            ];
            let sources = Sources {
                flags: Vec::new(),
                variables: variables.into_iter(),
                file,
            };
            let mut all = Settings::collect(REDIS_SETTINGS.to_vec(), sources);
            let redis = take_redis(&mut all);
            all.finish().map(|_warnings| redis.prefix)
        };
        assert_eq!(read(None).unwrap(), "named");
        assert_eq!(read(Some(given)).unwrap(), "given");
        let refused = read(Some(folder.join("none.toml")))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("none.toml: the settings file cannot be read"),
            "{refused}"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
