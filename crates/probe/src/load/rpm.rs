//! Round trips a minute, from the terms of draft-ietf-ippm-responsiveness. Pure.

use std::time::Duration;

use crate::measurement::Terms;

/// The mean of the lowest 95 %: what is very slow is slow by chance, what is fast is not.
pub(super) fn trimmed_mean(samples: &[Duration]) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    // At least one stays.
    let kept = (sorted.len() * 95).div_ceil(100);
    let kept = sorted.get(..kept).filter(|kept| !kept.is_empty())?;
    let count = u32::try_from(kept.len()).ok()?;
    Some(kept.iter().sum::<Duration>() / count)
}

/// `RPM = (F + L) / 2`: F of fresh connections (the mean of their terms, TLS where there is one), L of
/// those that carry the load. Another formula, the mean of the times first, gives another number.
pub(super) fn rpm(terms: &Terms) -> Option<f64> {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let foreign = match terms.tls {
        Some(tls) => (ms(terms.tcp) + ms(tls) + ms(terms.http)) / 3.0,
        None => f64::midpoint(ms(terms.tcp), ms(terms.http)),
    };
    let a_minute = |time: f64| (time > 0.0).then(|| 60_000.0 / time);
    Some(f64::midpoint(a_minute(foreign)?, a_minute(ms(terms.loaded))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn of(tcp: u64, tls: Option<u64>, http: u64, loaded: u64) -> f64 {
        let terms = Terms { tcp: ms(tcp), tls: tls.map(ms), http: ms(http), loaded: ms(loaded) };
        (rpm(&terms).unwrap() * 100.0).round() / 100.0
    }

    #[test]
    fn the_formula_is_the_drafts() {
        for (got, expected) in [
            (of(40, Some(45), 50, 60), 1166.67),
            (of(20, Some(20), 20, 20), 3000.0),
            (of(200, Some(210), 220, 400), 217.86),
            (of(40, None, 50, 60), 1166.67),
        ] {
            assert!((got - expected).abs() < 0.01, "{got} is not {expected}");
        }
        let none = Terms { tcp: ms(1), tls: None, http: ms(1), loaded: ms(0) };
        assert_eq!(rpm(&none), None, "no number of nothing");
    }

    #[test]
    fn the_slowest_twentieth_is_left_out() {
        let samples: Vec<_> = (1..=20).map(ms).collect();
        assert_eq!(trimmed_mean(&samples), Some(ms(10)));
        assert_eq!(trimmed_mean(&[ms(7)]), Some(ms(7)));
        assert_eq!(trimmed_mean(&[]), None);
    }
}
