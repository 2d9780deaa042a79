//! Student's t: how often chance goes as far, and how far it goes in 95 of 100.

/// The distribution of so many degrees of freedom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Student {
    freedom: f64,
}

/// Beyond this many it is the normal distribution, to as many digits as are shown.
const MOST: f64 = 1e6;

impl Student {
    /// At least one degree; what is no number counts as one.
    pub(super) fn of(freedom: f64) -> Self {
        let freedom = if freedom.is_nan() { 1.0 } else { freedom.clamp(1.0, MOST) };
        Self { freedom }
    }

    /// How often a value lies further from 0 than this one, on either side.
    pub(super) fn beyond(self, t: f64) -> f64 {
        if t.is_nan() {
            return 1.0;
        }
        let x = self.freedom / (self.freedom + t * t);
        beta_share(self.freedom / 2.0, 0.5, x).clamp(0.0, 1.0)
    }

    /// 95 % of all values lie no further from 0.
    pub(super) fn within_95(self) -> f64 {
        // 12.7 with one degree.
        let (mut low, mut high) = (0.0, 16.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if self.beyond(middle) > 0.05 { low = middle } else { high = middle }
        }
        high
    }
}

/// The share of a beta distribution below x: the regularised incomplete beta function (DLMF 8.17.22).
fn beta_share(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on one side of the mean; the other is its mirror.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_share(b, a, 1.0 - x);
    }
    let log_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b)
        + a * libm::log(x)
        + b * libm::log1p(-x);
    libm::exp(log_front) * fraction(a, b, x) / a
}

/// The continued fraction of it, from the front (modified Lentz).
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    // At a million degrees it takes some thousand terms.
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            step = d * c;
            value *= step;
        }
        if (step - 1.0).abs() < 1e-14 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_in_the_tables() {
        // scipy.stats: 2 * t.sf(t, freedom).
        for (freedom, t, p) in [
            (1.0, 1.0, 0.5),
            (2.0, 4.302_652_729_911_275, 0.05),
            (4.5, 3.0, 0.034_380_87),
            (10.0, 2.228_138_851_964_939, 0.05),
            (9.0, -5.0, 7.389_68e-4),
            (60.0, 0.1, 0.920_678),
            (1e6, 1.959_966, 0.05),
            (30.0, 12.0, 5.580_19e-13),
        ] {
            let got = Student::of(freedom).beyond(t);
            assert!((got - p).abs() < p * 1e-5, "{freedom} {t}: {got} is not {p}");
        }
        assert_eq!(Student::of(3.0).beyond(0.0), 1.0);
        assert_eq!(Student::of(3.0).beyond(f64::INFINITY), 0.0);
        assert_eq!(Student::of(f64::NAN).beyond(f64::NAN), 1.0);
    }

    #[test]
    fn within_is_beyond_turned_round() {
        for (freedom, within) in
            [(1.0, 12.7062), (4.5, 2.658_91), (30.0, 2.042_27), (1e9, 1.959_97)]
        {
            let got = Student::of(freedom).within_95();
            assert!((got - within).abs() < 1e-3, "{freedom}: {got} is not {within}");
        }
    }
}
