//! How many bytes a test may still move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that may still be moved, shared by all connections of a test. What is taken is taken before
/// it is moved, so that a test ends below its allowance and not a little above it.
#[derive(Clone, Debug)]
pub struct Allowance {
    left: Arc<AtomicU64>,
    given: u64,
}

impl Allowance {
    /// So many bytes, both ways together.
    pub fn of(bytes: u64) -> Self {
        Self { left: Arc::new(AtomicU64::new(bytes)), given: bytes }
    }

    /// Takes bytes that are about to be moved; false where there are not so many.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let taken = |left: u64| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives back what was taken and not moved after all.
    pub(super) fn give_back(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was taken was a guess: this much was moved in truth. Where it was more, the rest has it
    /// less.
    pub(super) fn settle(&self, taken: u64, moved: u64) {
        if moved <= taken {
            return self.give_back(taken - moved);
        }
        let less = |left: u64| Some(left.saturating_sub(moved - taken));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// What was taken of it.
    pub fn used(&self) -> u64 {
        self.given.saturating_sub(self.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let allowance = Allowance::of(10);
        let other = allowance.clone();
        assert!(allowance.take(6) && !other.take(5) && other.take(4));
        assert_eq!((allowance.left(), allowance.used()), (0, 10));
        allowance.give_back(3);
        assert_eq!((other.left(), other.used()), (3, 7));
        allowance.settle(5, 4);
        assert_eq!(allowance.left(), 4);
        allowance.settle(5, 8);
        assert_eq!(allowance.left(), 1);
        allowance.settle(5, 8);
        assert_eq!(allowance.left(), 0);
    }
}
