//! Shipping: batches from the queue to the ingest, until each event is acknowledged or refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;

use super::answer::{Rejected, Verdict, judge};
use super::client::Client;
use super::queue::Queue;

/// Events a request carries at most.
pub(super) const BATCH: usize = 500;
/// The first wait is a random part of this, each further one of twice as much.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(2);
/// While stopping there is no time to wait long.
const WAIT_WHILE_STOPPING: Duration = Duration::from_millis(200);

/// What became of events.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) shipped: AtomicU64,
    pub(super) refused: AtomicU64,
    /// By how much our clock is ahead, milliseconds; 0 for nothing to tell.
    clock_offset_ms: AtomicI64,
}

impl Counters {
    /// By how much our clock is ahead of the ingest's, milliseconds, where that is telling.
    pub(super) fn clock_offset_ms(&self) -> Option<i64> {
        Some(self.clock_offset_ms.load(Ordering::Relaxed)).filter(|offset| *offset != 0)
    }

    fn note_clock(&self, offset_ms: Option<i64>) {
        let before = self.clock_offset_ms.swap(offset_ms.unwrap_or(0), Ordering::Relaxed);
        if let Some(offset_ms) = offset_ms
            && before == 0
        {
            tracing::warn!(offset_ms, "the clock of this machine is not that of the ingest");
        }
    }
}

/// Ships what is queued, and returns when the queue is empty after `stopping`. Whoever stops it
/// sets the limit for that.
pub(super) async fn run(
    mut client: Client,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    stopping: CancellationToken,
) {
    let mut backoff = Backoff::default();
    let mut size = BATCH;
    loop {
        tokio::select! {
            () = queue.wait() => {}
            () = stopping.cancelled() => if queue.len() == 0 { return },
        }
        let batch = queue.peek(size);
        if batch.lines.is_empty() {
            continue;
        }
        let verdict = match client.post(&batch.lines).await {
            Ok(answer) => {
                let verdict = judge(&answer, batch.lines.len());
                if matches!(verdict, Verdict::Settled(_)) {
                    // The word of an ingest, and of nothing else on the way.
                    counters.note_clock(answer.clock_offset_ms);
                }
                verdict
            }
            Err(e) => Verdict::Later { after: None, why: format!("{e:#}") },
        };
        let wait = match verdict {
            Verdict::Settled(rejected) => {
                let refused = tell_rejected(&rejected);
                counters.refused.fetch_add(refused, Ordering::Relaxed);
                queue.settle(&batch, rejected.iter().filter_map(|r| batch.lines.get(r.index)));
                let accepted = (batch.lines.len() as u64).saturating_sub(refused);
                counters.shipped.fetch_add(accepted, Ordering::Relaxed);
                size = (size * 2).min(BATCH);
                backoff.over();
                continue;
            }
            Verdict::Refused(why) => {
                queue.settle(&batch, &batch.lines);
                let refused = batch.lines.len();
                tracing::error!(events = refused, "the ingest refuses a batch for good: {why}");
                counters.refused.fetch_add(refused as u64, Ordering::Relaxed);
                continue;
            }
            Verdict::TooLarge if batch.lines.len() > 1 => {
                size = batch.lines.len() / 2;
                continue;
            }
            Verdict::TooLarge => {
                queue.settle(&batch, &batch.lines);
                tracing::error!("the ingest refuses an event for its size");
                counters.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Verdict::Later { after, why } => backoff.wait(after, &why),
        };
        tokio::select! {
            () = time::sleep(wait) => {}
            () = stopping.cancelled() => time::sleep(WAIT_WHILE_STOPPING.min(wait)).await,
        }
    }
}

fn tell_rejected(rejected: &[Rejected]) -> u64 {
    // One line for each kind of reason; a probe's events are all alike.
    if let Some(first) = rejected.first() {
        tracing::error!(
            events = rejected.len(),
            code = first.code,
            field = first.field,
            "the ingest refuses events for good: {}",
            first.detail
        );
    }
    rejected.len() as u64
}

/// Exponential waiting with full jitter, so that probes that lost a server together do not come
/// back to it together.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait before the next try, never less than the server asked for.
    fn wait(&mut self, asked: Option<Duration>, why: &str) -> Duration {
        // The first failure is told, then every so often: an outage is one thing to say.
        if self.failures == 0 || self.failures % 20 == 19 {
            tracing::warn!(failures = self.failures + 1, "cannot ship, events are kept: {why}");
        }
        let wait = match asked {
            Some(asked) => asked + (asked / 10 + FIRST_WAIT).mul_f64(rand::random()),
            None => self.most().mul_f64(rand::random()),
        };
        self.failures = self.failures.saturating_add(1);
        wait
    }

    fn most(&self) -> Duration {
        FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT)
    }

    fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "shipping works again");
        }
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_respect_the_servers_wish() {
        let mut backoff = Backoff::default();
        for n in 0..40 {
            assert!(backoff.most() <= LONGEST_WAIT);
            assert!(backoff.wait(None, "test") <= FIRST_WAIT * (1 << n.min(9)));
        }
        assert_eq!(backoff.most(), LONGEST_WAIT);
        let asked = Duration::from_secs(100);
        assert!((asked..=asked + Duration::from_secs(11)).contains(&backoff.wait(Some(asked), "")));
        backoff.over();
        assert_eq!(backoff.most(), FIRST_WAIT);
    }
}
