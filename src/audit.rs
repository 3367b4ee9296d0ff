//! The audit: one line of the log for each task that a caller creates or joins, each result that is handed out, each cancel,
//! each answer, and each access that is denied. Ids appear as digests; arguments, results and tokens are never given to this.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use taskferry_contract::{FrontEndId, Owner, TaskId, TaskView, cut};

/// The log target of these lines.
const AUDIT: &str = "audit";
/// The most of a request's id that is shown, bytes.
const LONGEST_ID: usize = 64;

tokio::task_local! {
    /// The request that is served now, if one is.
    static REQUEST: Option<Arc<Request>>;
}

/// What lines say of the request that they are about.
#[derive(Debug)]
struct Request {
    id: String,
    trace: OnceLock<String>,
}

/// Serves the request with this id, as it stands in the message: lines that are written meanwhile name it.
pub(crate) fn about<F: Future>(id: Option<&str>, serve: F) -> impl Future<Output = F::Output> {
    let request = id.map(|id| {
        Arc::new(Request {
            id: cut(id, LONGEST_ID).into_owned(),
            trace: OnceLock::new(),
        })
    });
    REQUEST.scope(request, serve)
}

/// Goes on with the request that is served now, in a task of its own.
pub(crate) fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(served(), work)
}

/// Notes the W3C `traceparent` of the request that is served now: lines show the id of its trace.
pub(crate) fn traced(parent: &str) {
    if let (Some(request), Some(id)) = (served(), parent.split('-').nth(1)) {
        // A request has one.
        let _set_before = request.trace.set(id.to_owned());
    }
}

fn served() -> Option<Arc<Request>> {
    REQUEST.try_with(Clone::clone).ok().flatten()
}

/// What a caller did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Queued a job: a task, or a plain call.
    Create,
    /// Came to share a job that was there.
    Join,
    /// Was handed a result, or how the job failed.
    Read,
    /// Ended a job.
    Cancel,
    /// Answered questions.
    Answer,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Join => "join",
            Self::Read => "read",
            Self::Cancel => "cancel",
            Self::Answer => "answer",
        }
    }
}

/// What was done to which job.
#[derive(Clone, Copy)]
pub(crate) struct Done<'a> {
    pub(crate) act: Act,
    pub(crate) owner: &'a Owner,
    pub(crate) task: TaskId,
    /// Its tool, where that is known.
    pub(crate) tool: Option<&'a str>,
}

impl<'a> Done<'a> {
    /// Answered questions of a job, whose tool is not known then.
    pub(crate) fn answered(owner: &'a Owner, task: TaskId) -> Self {
        Self {
            act: Act::Answer,
            owner,
            task,
            tool: None,
        }
    }

    /// Did something to a job that was read just now.
    pub(crate) fn to(act: Act, view: &'a TaskView) -> Self {
        Self {
            act,
            owner: &view.owner,
            task: view.id,
            tool: Some(&view.tool),
        }
    }
}

/// An access that was denied.
#[derive(Clone, Copy)]
pub(crate) struct Denied<'a> {
    /// Why, in words that do not depend on what was sent.
    pub(crate) reason: &'static str,
    /// Who asked, if that is known.
    pub(crate) owner: Option<&'a Owner>,
    /// What was asked for, if it was a task.
    pub(crate) task: Option<TaskId>,
    /// Where the request came from, if that is known.
    pub(crate) peer: Option<&'a dyn Display>,
}

impl<'a> Denied<'a> {
    /// No job with this id is the caller's: there is none, or it is another's, which looks the same from outside.
    pub(crate) fn job(owner: &'a Owner, task: TaskId) -> Self {
        Self {
            owner: Some(owner),
            task: Some(task),
            ..Self::because("no such task of this caller")
        }
    }

    /// Denied to a caller that is not known.
    pub(crate) fn because(reason: &'static str) -> Self {
        Self {
            reason,
            owner: None,
            task: None,
            peer: None,
        }
    }
}

/// Writes the audit of one front end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    replica: FrontEndId,
}

impl Audit {
    pub(crate) fn new(replica: &FrontEndId) -> Self {
        Self {
            replica: replica.clone(),
        }
    }

    /// Notes what a caller did.
    pub(crate) fn done(&self, done: Done<'_>) {
        let request = served();
        tracing::info!(
            target: AUDIT, parent: None,
            owner = known(done.owner), task = %done.task.digest(), tool = done.tool,
            replica = self.replica.as_str(), request = id(&request), trace = trace(&request),
            "{}", done.act.word()
        );
    }

    /// Notes an access that was denied.
    pub(crate) fn denied(&self, denied: Denied<'_>) {
        let request = served();
        if denied.task.is_some() && request.is_none() {
            // Nobody asked: a stream found that a task it shows has expired.
            return;
        }
        tracing::info!(
            target: AUDIT, parent: None,
            reason = denied.reason, owner = denied.owner.and_then(known),
            task = denied.task.map(|task| tracing::field::display(task.digest())),
            peer = denied.peer.map(tracing::field::display),
            replica = self.replica.as_str(), request = id(&request), trace = trace(&request),
            "denied"
        );
    }
}

fn known(owner: &Owner) -> Option<&str> {
    (!owner.is_anonymous()).then(|| owner.as_str())
}

fn id(request: &Option<Arc<Request>>) -> Option<&str> {
    request.as_ref().map(|request| request.id.as_str())
}

fn trace(request: &Option<Arc<Request>>) -> Option<&str> {
    let trace = request.as_ref().and_then(|request| request.trace.get());
    trace.map(String::as_str)
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn a_request_is_known_to_what_it_spawns_and_to_nobody_else() {
        let seen = || {
            (
                id(&served()).map(str::to_owned),
                trace(&served()).map(str::to_owned),
            )
        };
        assert_eq!(seen(), (None, None));
        traced("00-11-22-01");
        let mut spawned = JoinSet::new();
        about(Some("7"), async {
            traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
            traced("00-11-22-01");
            spawned.spawn(carried(async move { seen() }));
        })
        .await;
        let expected = (
            Some("7".to_owned()),
            Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        );
        assert_eq!(spawned.join_next().await.unwrap().unwrap(), expected);
        let long = "8".repeat(LONGEST_ID + 1);
        let (shown, _) = about(Some(&long), async { seen() }).await;
        assert!(shown.unwrap().len() < LONGEST_ID + 4);
        assert_eq!(seen(), (None, None));
    }
}
