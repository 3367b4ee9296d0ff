//! Where the reports and the questions of a running attempt go.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use taskferry_contract::{
    AskReply, Error, HeldAttempt, LogLevel, NewQuestion, ParkReply, ProgressReport, Refused, Store,
    ToolName,
};

/// The future of a call of a relay.
pub(crate) type Relayed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Where an attempt's reports and questions go: to the job's record in Redis, or, when a tool is tried, to a terminal.
pub(crate) trait Relay: fmt::Debug + Send + Sync {
    /// Sends log lines.
    fn report_log<'a>(
        &'a self,
        hold: &'a HeldAttempt,
        lines: &'a [(LogLevel, String)],
    ) -> Relayed<'a, Result<(), Refused>>;

    /// Sends progress.
    fn report_progress<'a>(
        &'a self,
        hold: &'a HeldAttempt,
        report: &'a ProgressReport,
    ) -> Relayed<'a, Result<(), Refused>>;

    /// Asks the client questions.
    fn ask<'a>(
        &'a self,
        hold: &'a HeldAttempt,
        questions: &'a [NewQuestion<'a>],
    ) -> Relayed<'a, AskReply>;

    /// Gives the job back while its questions are open.
    fn park<'a>(&'a self, hold: &'a HeldAttempt) -> Relayed<'a, ParkReply>;

    /// Notes that another system may run something for the job.
    fn begin_outside<'a>(&'a self, hold: &'a HeldAttempt) -> Relayed<'a, Result<(), Refused>>;

    /// Notes that nothing runs there any more.
    fn end_outside<'a>(&'a self, hold: &'a HeldAttempt, tool: &'a ToolName) -> Relayed<'a, ()>;
}

impl Relay for Store {
    fn report_log<'a>(
        &'a self,
        hold: &'a HeldAttempt,
        lines: &'a [(LogLevel, String)],
    ) -> Relayed<'a, Result<(), Refused>> {
        Box::pin(Self::report_log(self, hold, lines))
    }

    fn report_progress<'a>(
        &'a self,
        hold: &'a HeldAttempt,
        report: &'a ProgressReport,
    ) -> Relayed<'a, Result<(), Refused>> {
        Box::pin(Self::report_progress(self, hold, report))
    }

    fn ask<'a>(
        &'a self,
        hold: &'a HeldAttempt,
        questions: &'a [NewQuestion<'a>],
    ) -> Relayed<'a, AskReply> {
        Box::pin(self.ask_input(hold, questions))
    }

    fn park<'a>(&'a self, hold: &'a HeldAttempt) -> Relayed<'a, ParkReply> {
        Box::pin(Self::park(self, hold))
    }

    fn begin_outside<'a>(&'a self, hold: &'a HeldAttempt) -> Relayed<'a, Result<(), Refused>> {
        Box::pin(Self::begin_outside(self, hold))
    }

    fn end_outside<'a>(&'a self, hold: &'a HeldAttempt, tool: &'a ToolName) -> Relayed<'a, ()> {
        let claimed = &hold.claimed;
        Box::pin(Self::end_outside(
            self,
            claimed.stream(),
            claimed.id,
            tool,
            None,
        ))
    }
}
