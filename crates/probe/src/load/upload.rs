//! The body of an upload: the same piece again and again, until it is told to end or the allowance
//! does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Allowance;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// What a piece takes on the wire beside itself: TLS records and frames.
const FRAMING: u64 = 1 << 10;

/// One body.
pub(super) struct Upload {
    piece: Bytes,
    allowance: Allowance,
    /// What this connection took of it.
    taken: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Upload {
    pub(super) fn new(
        piece: Bytes,
        allowance: Allowance,
        taken: Arc<AtomicU64>,
        stop: CancellationToken,
    ) -> Self {
        Self { piece, allowance, taken, stop }
    }

    /// The next piece, if there is to be one.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let wanted = self.piece.len() as u64 + FRAMING;
        if self.stop.is_cancelled() || !self.allowance.take(wanted) {
            return None;
        }
        self.taken.fetch_add(wanted, Ordering::Relaxed);
        Some(self.piece.clone())
    }
}

/// Bytes that nothing on the way makes smaller.
pub(super) fn piece() -> Bytes {
    let mut piece = vec![0; PIECE];
    // Without randomness zeroes would do: hardly any link compresses.
    let _ = getrandom::fill(&mut piece);
    piece.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_allowance_or_when_told() {
        let allowance = Allowance::of(3 * (PIECE as u64 + FRAMING) - 1);
        let taken = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let upload = || Upload::new(piece(), allowance.clone(), Arc::clone(&taken), stop.clone());
        assert!(upload().next().is_some());
        let mut one = upload();
        assert_eq!((one.next().map(|piece| piece.len()), one.next()), (Some(PIECE), None));
        assert_eq!(taken.load(Ordering::Relaxed), allowance.used());
        allowance.give_back(1 << 30);
        stop.cancel();
        assert_eq!(upload().next(), None);
    }
}
