//! The middle of durations, and how much they differ. Pure.

use std::time::Duration;

/// The middle one.
pub(crate) fn median(samples: &[Duration]) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// The mean difference of consecutive ones; absent with fewer than two.
pub(crate) fn jitter(samples: &[Duration]) -> Option<Duration> {
    let pairs = u32::try_from(samples.len().checked_sub(1)?).ok()?;
    let differences = samples.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
    differences.sum::<Duration>().checked_div(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_differences() {
        let ms = Duration::from_millis;
        assert_eq!(median(&[ms(9), ms(1), ms(5)]), Some(ms(5)));
        assert_eq!((median(&[]), jitter(&[]), jitter(&[ms(1)])), (None, None, None));
        assert_eq!(jitter(&[ms(10), ms(14), ms(12)]), Some(ms(3)));
    }
}
