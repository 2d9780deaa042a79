//! Pacing of bodies: an even stream of small pieces at a rate, no bursts.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A piece is what the rate lets through in this time.
const PIECES_A_SECOND: u64 = 200;

/// How much lateness is made up for afterwards. The timer's grain (1 ms) and a busy machine must not
/// lower the rate; a peer that did not read for a while must not be paid back with a burst.
const CREDIT: Duration = Duration::from_millis(20);

/// Lets bytes through at a rate. Each piece is let go when its last bit would have left a line of that
/// rate, so n bytes take n * 8 / rate seconds, the first piece included.
#[derive(Debug)]
pub(super) struct Pace {
    bits_per_second: u64,
    /// When the last piece was due.
    last: Option<Instant>,
    pending: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(super) fn new(bits_per_second: u64) -> Self {
        Self { bits_per_second: bits_per_second.max(1), last: None, pending: None }
    }

    /// Size of one piece in bytes, at least 1.
    pub(super) fn piece(&self) -> u64 {
        (self.bits_per_second / 8 / PIECES_A_SECOND).max(1)
    }

    /// Ready when `bytes` more may go.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, bytes: u64) -> Poll<()> {
        if self.pending.is_none() {
            let now = Instant::now();
            let earliest = now.checked_sub(CREDIT).unwrap_or(now);
            let due = self.last.map_or(now, |last| last.max(earliest)) + self.duration(bytes);
            self.last = Some(due);
            if due <= now {
                return Poll::Ready(());
            }
            self.pending = Some(Box::pin(sleep_until(due)));
        }
        if let Some(pending) = &mut self.pending {
            ready!(pending.as_mut().poll(cx));
        }
        self.pending = None;
        Poll::Ready(())
    }

    /// Waits until `bytes` more may go.
    pub(super) async fn take(&mut self, bytes: u64) {
        poll_fn(|cx| self.poll_take(cx, bytes)).await;
    }

    fn duration(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.bits_per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time() {
        let start = Instant::now();
        let mut pace = Pace::new(8_000);
        assert_eq!(pace.piece(), 5);
        for _ in 0..200 {
            pace.take(5).await;
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(1) && took <= Duration::from_millis(1_002), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_the_peer_did_not_read_is_not_paid_back() {
        let mut pace = Pace::new(8_000);
        pace.take(5).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..200 {
            pace.take(5).await;
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(1) - CREDIT, "{took:?}");
    }
}
