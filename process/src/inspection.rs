//! Who may look into this process.

/// Keeps other processes of this user out of its memory, environment and open files (`/proc/PID/mem`, `environ`, `fd`), and
/// off its debugging interface; core dumps are not written either. Call it before secrets are read. A program that this
/// process starts is not covered: it begins open to its user.
///
/// Who has `CAP_SYS_PTRACE`, as root does, still may. Only Linux has it.
pub fn deny_inspection() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            crate::output::say(&format!(
                "other processes of this user can look into this one: {error}"
            ));
        }
    }
}
