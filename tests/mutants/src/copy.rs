//! The copy of the tree in which changes are made. The tree itself is only read.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// What is not in the repository and still needed: the official schemas and what checks messages against them.
const LINKED: [&str; 2] = [
    "tests/conformance/node_modules",
    "tests/clients/node_modules",
];

#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Copy {
    /// Makes the copy, or brings the one that is there up to date, whatever a run that was killed left in it. Files that are
    /// the same keep their times, so that nothing is built again for nothing.
    pub(crate) fn of(tree: &Path) -> anyhow::Result<Self> {
        let home = tree.join("target/mutants");
        let copy = Self {
            root: home.join("tree"),
            target: home.join("target"),
        };
        std::fs::create_dir_all(&copy.root)?;
        let wanted = listed(tree)?;
        for file in &wanted {
            copy.take_over(tree, file).with_context(|| file.clone())?;
        }
        for file in copy.files()? {
            if !wanted.contains(&file) {
                std::fs::remove_file(copy.root.join(&file)).with_context(|| file.clone())?;
            }
        }
        std::fs::write(copy.list(), wanted.join("\n"))?;
        for link in LINKED {
            let (from, to) = (tree.join(link), copy.root.join(link));
            if from.exists() && !to.exists() {
                std::os::unix::fs::symlink(&from, &to).with_context(|| to.display().to_string())?;
            }
        }
        Ok(copy)
    }

    /// Which files the copy was made of last time.
    fn files(&self) -> anyhow::Result<Vec<String>> {
        match std::fs::read_to_string(self.list()) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self) -> PathBuf {
        self.root.with_extension("files")
    }

    fn take_over(&self, tree: &Path, file: &str) -> anyhow::Result<()> {
        let (from, to) = (tree.join(file), self.root.join(file));
        let new = std::fs::read(&from)?;
        if std::fs::read(&to).is_ok_and(|old| old == new) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // With its permissions: some are scripts.
        std::fs::copy(&from, &to)?;
        // A copy keeps no time of the original, and must not look older than what was built.
        std::fs::write(&to, new)?;
        Ok(())
    }

    pub(crate) fn read(&self, file: &str) -> anyhow::Result<String> {
        std::fs::read_to_string(self.root.join(file)).with_context(|| file.to_owned())
    }

    pub(crate) fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        std::fs::write(self.root.join(file), text).with_context(|| file.to_owned())
    }
}

/// Every file that is in the repository or may come into it.
fn listed(tree: &Path) -> anyhow::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let output = git.current_dir(tree).output().context("git ls-files")?;
    if !output.status.success() {
        bail!(
            "git ls-files: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let names = String::from_utf8(output.stdout).context("a file's name")?;
    let names = names.split('\0').filter(|name| !name.is_empty());
    // One that was deleted is listed until that is committed.
    Ok(names
        .filter(|name| tree.join(name).is_file())
        .map(str::to_owned)
        .collect())
}
