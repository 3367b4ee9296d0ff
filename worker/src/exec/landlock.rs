//! Which files this process may read and write from now on, by Landlock of Linux.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};

use super::sandbox::Sandbox;

/// The newest rights that are asked for; an older kernel keeps those that it knows.
const NEWEST: ABI = ABI::V6;

/// What programs need to run at all, readable in every sandbox; what is not there is passed over. Of `/etc` only what is no
/// secret of a service, and of `/proc` a sandboxed process cannot read what belongs to others.
const SYSTEM: [&str; 33] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
    "/run/systemd/resolve",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/dev/random",
    "/dev/urandom",
];

/// What every sandbox may write: it keeps nothing.
const SINKS: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

/// Whether this system can bound what a command reads and writes. Changes nothing.
pub(crate) fn is_available() -> bool {
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Execute);
    asked.is_ok()
}

/// Rules that are made, and not in force yet: their files are open, also for a user who may not open them.
#[derive(Debug)]
pub(super) struct FileRules {
    rules: RulesetCreated,
    required: bool,
}

impl FileRules {
    /// The rules of a sandbox; none if it bounds no files.
    pub(super) fn of(sandbox: &Sandbox) -> Result<Option<Self>, String> {
        if !sandbox.bounds_files() {
            return Ok(None);
        }
        let (read, all) = (AccessFs::from_read(NEWEST), AccessFs::from_all(NEWEST));
        let mut rules = created(all).map_err(|error| error.to_string())?;
        match &sandbox.read {
            None => rules = add(rules, Path::new("/"), read)?,
            Some(paths) => {
                for path in SYSTEM.iter().map(Path::new).filter(|path| path.exists()) {
                    rules = add(rules, path, read)?;
                }
                for path in paths {
                    rules = add(rules, path, read)?;
                }
            }
        }
        for path in SINKS.iter().map(Path::new).filter(|path| path.exists()) {
            rules = add(rules, path, all)?;
        }
        for path in sandbox.write.iter().flatten() {
            rules = add(rules, path, all)?;
        }
        let required = sandbox.required;
        Ok(Some(Self { rules, required }))
    }

    /// Holds the calling thread to them for good, and what it starts or becomes.
    pub(super) fn enforce(self) -> Result<(), String> {
        let status = self.rules.restrict_self();
        let status = status.map_err(|error| error.to_string())?;
        if status.ruleset == RulesetStatus::NotEnforced && self.required {
            return Err("this system has no Landlock to bound what it reads and writes, and sandbox.required is set".to_owned());
        }
        Ok(())
    }
}

fn created(all: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        // Not its worker, nor other tools of this user.
        .scope(Scope::Signal)?
        .create()
}

fn add(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    let refused = |reason: String| format!("`{}` of its sandbox: {reason}", path.display());
    let opened = PathFd::new(path).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        refused(cause.unwrap_or_else(|| error.to_string()))
    })?;
    let is_folder = path.is_dir();
    let access = if is_folder {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    };
    let added = rules.add_rule(PathBeneath::new(opened, access));
    added.map_err(|error| refused(error.to_string()))
}

/// Whether a file may be read in a sandbox, as far as its path shows.
pub(super) fn lets_read(sandbox: &Sandbox, file: &Path) -> bool {
    let Some(read) = &sandbox.read else {
        return true;
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_gone| path.to_owned());
    let file = real(file);
    let system = SYSTEM.iter().map(PathBuf::from);
    let write = sandbox.write.iter().flatten();
    let mut allowed = read.iter().chain(write).cloned().chain(system);
    allowed.any(|path| file.starts_with(real(&path)))
}
