//! The answer to a request whose events travel in one message or in several.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::Refused;

/// Given when the last who holds it lets go. Only if every message was confirmed is it a good one:
/// whoever drops it for another reason makes the request fail.
pub(super) struct Answer {
    /// Messages that carry events of the request, and one as long as there may come more.
    unconfirmed: AtomicUsize,
    refused: OnceLock<Refused>,
    to: Option<oneshot::Sender<Result<(), Refused>>>,
    /// Its place in the queue, given back just before the answer.
    room: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub(super) fn new(
        to: oneshot::Sender<Result<(), Refused>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let unconfirmed = AtomicUsize::new(1);
        Self { unconfirmed, refused: OnceLock::new(), to: Some(to), room: Some(room) }
    }

    /// One more message carries events of the request.
    pub(super) fn expect(&self) {
        self.unconfirmed.fetch_add(1, Ordering::AcqRel);
    }

    /// One of the messages fared so; or, with `Ok`, no more will come.
    pub(super) fn settle(&self, outcome: &Result<(), Refused>) {
        match outcome {
            Ok(()) => drop(self.unconfirmed.fetch_sub(1, Ordering::AcqRel)),
            Err(refused) => drop(self.refused.set(refused.clone())),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let outcome = match self.refused.take() {
            Some(refused) => Err(refused),
            None if *self.unconfirmed.get_mut() == 0 => Ok(()),
            None => Err(Refused::Unconfirmed),
        };
        drop(self.room.take());
        if let Some(to) = self.to.take() {
            // Who went away will send again.
            let _ = to.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    fn answer() -> (Answer, oneshot::Receiver<Result<(), Refused>>) {
        let (to, from) = oneshot::channel();
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (Answer::new(to, room), from)
    }

    #[test]
    fn only_all_confirmed_is_confirmed() {
        let (answer, mut from) = answer();
        answer.expect();
        answer.expect();
        answer.settle(&Ok(()));
        answer.settle(&Ok(()));
        let last = Arc::new(answer);
        let held = Arc::clone(&last);
        drop(last);
        assert!(from.try_recv().is_err());
        held.settle(&Ok(()));
        drop(held);
        assert_eq!(from.try_recv(), Ok(Ok(())));
    }

    #[test]
    fn what_was_refused_or_forgotten_is_not() {
        let (refused, mut from) = answer();
        refused.expect();
        refused.settle(&Err(Refused::Missing));
        refused.settle(&Ok(()));
        drop(refused);
        assert_eq!(from.try_recv(), Ok(Err(Refused::Missing)));

        let (forgotten, mut from) = answer();
        forgotten.expect();
        forgotten.settle(&Ok(()));
        drop(forgotten);
        assert_eq!(from.try_recv(), Ok(Err(Refused::Unconfirmed)));
    }
}
