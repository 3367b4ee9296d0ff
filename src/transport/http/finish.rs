//! Work that is finished, though nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// A future that goes on as a task of its own if it is dropped on the way. Its outcome is dropped then.
pub(super) struct Finish<T: Send + 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tracker: TaskTracker,
}

impl<T: Send + 'static> Finish<T> {
    pub(super) fn new(
        tracker: TaskTracker,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self {
            work: Some(Box::pin(work)),
            tracker,
        }
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else {
            // Its outcome was taken before.
            return Poll::Pending;
        };
        let outcome = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(outcome)
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // What panicked cannot go on, and where no runtime is left, nothing can.
        if !std::thread::panicking()
            && let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            self.tracker.spawn_on(work, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Notify, oneshot};

    use super::*;

    #[tokio::test]
    async fn an_outcome_is_returned_without_a_task() {
        let tracker = TaskTracker::new();
        assert_eq!(Finish::new(tracker.clone(), async { 7 }).await, 7);
        assert!(tracker.is_empty());
    }

    #[tokio::test]
    async fn what_is_dropped_on_the_way_goes_on() {
        let tracker = TaskTracker::new();
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (done, told) = oneshot::channel();
        let work = {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.notify_one();
                go_on.notified().await;
                done.send(())
            }
        };
        tokio::select! {
            biased;
            _ = Finish::new(tracker.clone(), work) => panic!("it waits"),
            () = begun.notified() => {}
        }
        assert_eq!(tracker.len(), 1);
        go_on.notify_one();
        told.await.unwrap();
    }
}
