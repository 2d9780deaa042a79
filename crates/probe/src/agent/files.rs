//! How many files this process may open: each measurement needs some.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a measurement has open at a time, with its throughput and its look-up.
const PER_TARGET: u64 = 6;
/// What the probe has open beside them.
const OTHERS: u64 = 64;

/// Raises the limit to what the system allows, and says so where that is too little.
pub(super) fn raise_limit(targets: usize) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let allowed = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let needed = needed(targets);
    if allowed < needed {
        tracing::warn!(
            "{targets} targets may need {needed} open files, and the limit is {allowed} (ulimit \
             -n): measurements beyond it fail"
        );
    }
}

fn needed(targets: usize) -> u64 {
    PER_TARGET.saturating_mul(targets as u64).saturating_add(OTHERS)
}
