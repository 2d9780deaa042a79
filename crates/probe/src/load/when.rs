//! When to load the line: at random, so that no test meets a rhythm of the network's, and neither too
//! soon after the last nor too long after it.

use std::time::Duration;

/// The wait until the next test: exponential about a mean, which makes every moment as likely as any
/// other, clamped to a tenth of the mean and to two and a half of it. `uniform` is a random number of 0
/// to 1. (The shape is that of M-Lab's clients.)
pub fn wait(mean: Duration, uniform: f64) -> Duration {
    // The logarithm of 0 is nothing to wait for.
    let drawn = mean.mul_f64(-(1.0 - uniform.clamp(0.0, 0.999_999)).ln());
    drawn.clamp(mean.mul_f64(0.1), mean.mul_f64(2.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_about_the_mean_and_within_its_bounds() {
        let mean = Duration::from_secs(600);
        let waits: Vec<_> = (0..10_000).map(|n| wait(mean, f64::from(n) / 1e4)).collect();
        let least = waits.iter().min().unwrap();
        let most = waits.iter().max().unwrap();
        assert_eq!((*least, *most), (Duration::from_secs(60), Duration::from_secs(1_500)));
        let average = waits.iter().sum::<Duration>() / 10_000;
        assert!((540..660).contains(&average.as_secs()), "{average:?}");
        assert_eq!(wait(mean, 1.0), Duration::from_secs(1_500));
    }
}
