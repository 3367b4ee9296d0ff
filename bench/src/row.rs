//! What is measured: the rows of the table.

/// Rows that are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// Reading a task that has not ended.
    Poll,
    /// Queuing a task.
    Create,
    /// From the call to the result, many at once.
    Lifecycle,
    /// From the call to the result, one after the other.
    Alone,
    /// What a queued task takes in Redis.
    Memory,
}

impl Group {
    /// Every group, in the order of the table.
    pub(crate) const ALL: [Self; 5] = [
        Self::Poll,
        Self::Create,
        Self::Lifecycle,
        Self::Alone,
        Self::Memory,
    ];

    /// What it is called in the table and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Create => "create",
            Self::Lifecycle => "lifecycle",
            Self::Alone => "alone",
            Self::Memory => "memory",
        }
    }
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// `tasks/get`, 2026-07-28.
    PollModern,
    /// The same read behind a bare handler.
    PollBare,
    /// `tasks/get`, 2025-11-25.
    PollLegacy,
    /// `tools/call` that becomes a task, 2026-07-28.
    CreateModern,
    /// The same submit behind a bare handler.
    CreateBare,
    /// `tools/call` with `task`, 2025-11-25.
    CreateLegacy,
    /// Create, work, poll to the end, 2026-07-28.
    LifecycleModern,
    /// The same transitions without HTTP.
    LifecycleDirect,
    /// A plain `tools/call` of a no-op, 2026-07-28.
    AlonePlain,
    /// The same transitions without HTTP.
    AloneDirect,
}

impl Row {
    /// Every row, in the order of the table.
    pub(crate) const ALL: [Self; 10] = [
        Self::PollModern,
        Self::PollBare,
        Self::PollLegacy,
        Self::CreateModern,
        Self::CreateBare,
        Self::CreateLegacy,
        Self::LifecycleModern,
        Self::LifecycleDirect,
        Self::AlonePlain,
        Self::AloneDirect,
    ];

    /// The rows it is compared with.
    pub(crate) fn group(self) -> Group {
        match self {
            Self::PollModern | Self::PollBare | Self::PollLegacy => Group::Poll,
            Self::CreateModern | Self::CreateBare | Self::CreateLegacy => Group::Create,
            Self::LifecycleModern | Self::LifecycleDirect => Group::Lifecycle,
            Self::AlonePlain | Self::AloneDirect => Group::Alone,
        }
    }

    /// What tells it from the others of its group.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PollModern | Self::CreateModern | Self::LifecycleModern => "modern",
            Self::PollBare | Self::CreateBare => "bare",
            Self::PollLegacy | Self::CreateLegacy => "legacy",
            Self::LifecycleDirect | Self::AloneDirect => "direct",
            Self::AlonePlain => "plain call",
        }
    }
}
