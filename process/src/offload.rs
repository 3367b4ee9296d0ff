//! Work that grows with what a caller sent, kept away from the threads that serve everyone.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// What is smaller is done where it stands, bytes: sending it to another thread would cost more.
const LARGE: usize = 64 << 10;

/// Runs work on large inputs on threads of its own, a few at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Offload {
    room: Arc<Semaphore>,
}

impl Default for Offload {
    /// Half of the processors, one at least: the others go on serving.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            room: Arc::new(Semaphore::new((processors / 2).max(1))),
        }
    }
}

impl Offload {
    /// Does the work on an input of so many bytes. Large ones wait for each other; small ones for nothing. What was begun
    /// goes on to its end although nobody waits for it any more, and has its room until then.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes < LARGE {
            return work();
        }
        let room = Arc::clone(&self.room).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _held_until_then = room;
            work()
        });
        match done.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it whoever waits here.
            Err(Err(_never_begun)) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn large_inputs_leave_the_thread_that_serves() {
        let (offload, here) = (Offload::default(), std::thread::current().id());
        let thread = || std::thread::current().id();
        assert_eq!(offload.run(LARGE - 1, thread).await, here);
        assert_ne!(offload.run(LARGE, thread).await, here);
    }

    #[tokio::test]
    async fn no_more_run_at_once_than_there_is_room_for() {
        let offload = Offload {
            room: Arc::new(Semaphore::new(1)),
        };
        let (begun, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let first = offload.run(LARGE, move || {
            begun.send(()).unwrap();
            ends.recv().unwrap();
        });
        let mut first = std::pin::pin!(first);
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        begins.recv().unwrap();
        assert_eq!(offload.room.available_permits(), 0);
        let mut second = std::pin::pin!(offload.run(LARGE, || 2));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        end.send(()).unwrap();
        first.await;
        assert_eq!(second.await, 2);
    }
}
