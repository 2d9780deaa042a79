//! How often one client may send.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::StatusCode;

use super::auth::ANY_CLIENT;
use super::problem::Problem;

/// Requests of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run, a second.
    pub per_second: NonZeroU32,
    /// At once, after a silence.
    pub burst: NonZeroU32,
}

impl Default for Rate {
    /// Far above what a probe sends, even one that empties a full spool, and about a tenth of
    /// what one machine takes: a client that runs wild doesn't crowd out the others.
    fn default() -> Self {
        let number = |n| NonZeroU32::new(n).expect("is not zero");
        Self { per_second: number(1_000), burst: number(5_000) }
    }
}

/// Keyed by the client a token speaks for, so that only clients that exist have a key.
pub(super) struct RateLimiter {
    clients: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
    checks: AtomicU32,
}

/// After so many checks, the clients that have been silent are forgotten.
const TIDY_EVERY: u32 = 1 << 16;

impl RateLimiter {
    pub(super) fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            clients: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    /// Counts one request. A token for any client is a gateway's: the rates of those behind it
    /// are not known here, so it has none.
    pub(super) fn check(&self, client: &str) -> Result<(), Problem> {
        if client == ANY_CLIENT {
            return Ok(());
        }
        if self.checks.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.clients.retain_recent();
        }
        self.clients
            .check_key(&client.to_owned())
            .map_err(|until| too_many(until.wait_time_from(self.clock.now())))
    }
}

fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let seconds = u32::try_from(seconds.max(1)).unwrap_or(u32::MAX);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "this client sends too often")
        .retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_burst_and_a_gateway_none() {
        let one = NonZeroU32::MIN;
        let limiter = RateLimiter::new(Rate { per_second: one, burst: one });
        for client in ["a", "b"] {
            assert!(limiter.check(client).is_ok());
            // A second pair of checks within the same second can't both pass.
            let refused = limiter.check(client).and(limiter.check(client));
            assert_eq!(refused.unwrap_err().code(), "rate_limited");
        }
        assert!((0..100).all(|_| limiter.check(ANY_CLIENT).is_ok()));
    }
}
