//! Numbers with their units, at the precision a person reads.

use std::time::Duration;

/// What stands where nothing was measured.
pub const ABSENT: &str = "–";

/// `0.42 ms`, `12.4 ms`, `1.23 s`.
pub fn duration(value: Duration) -> String {
    millis(value.as_secs_f64() * 1e3)
}

/// The same from milliseconds.
pub fn millis(ms: f64) -> String {
    match ms {
        _ if ms < 0.9995 => format!("{ms:.2} ms"),
        _ if ms < 999.95 => format!("{ms:.1} ms"),
        _ => format!("{:.2} s", ms / 1e3),
    }
}

/// For a sentence: `4.2 ms`, `88 ms`, `1.2 s`.
pub fn rough(value: Duration) -> String {
    let ms = value.as_secs_f64() * 1e3;
    match ms {
        _ if ms < 0.95 => format!("{ms:.2} ms"),
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// `870 kbit/s`, `94.3 Mbit/s`, `1.20 Gbit/s`.
pub fn rate(kbps: f64) -> String {
    match kbps {
        _ if kbps < 999.5 => format!("{kbps:.0} kbit/s"),
        _ if kbps < 999_950.0 => format!("{:.1} Mbit/s", kbps / 1e3),
        _ => format!("{:.2} Gbit/s", kbps / 1e6),
    }
}

/// `512 B`, `64 kB`, `1 MB`, `2.5 MB`, in decimal units.
pub fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let bytes_f = bytes as f64;
    let (value, unit) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (bytes_f / 1e3, "kB"),
        1_000_000..1_000_000_000 => (bytes_f / 1e6, "MB"),
        _ => (bytes_f / 1e9, "GB"),
    };
    let text = format!("{value:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// `1 window`, `3 windows`.
pub fn count(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

/// `12 s`, `3 min`, `2 h 05 min`, `4 d 3 h`.
pub fn span(value: Duration) -> String {
    let s = value.as_secs();
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 => format!("{} h {:02} min", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits_or_so() {
        let ms = |ms: f64| duration(Duration::from_secs_f64(ms / 1e3));
        assert_eq!(ms(0.042), "0.04 ms");
        assert_eq!(ms(12.44), "12.4 ms");
        assert_eq!(ms(169.5), "169.5 ms");
        assert_eq!(ms(999.96), "1.00 s");
        assert_eq!(rough(Duration::from_micros(88_100)), "88 ms");
        assert_eq!(rough(Duration::from_micros(4_200)), "4.2 ms");
    }

    #[test]
    fn rates_and_sizes_carry_their_unit() {
        assert_eq!(rate(870.0), "870 kbit/s");
        assert_eq!(rate(94_300.0), "94.3 Mbit/s");
        assert_eq!(rate(1_204_000.0), "1.20 Gbit/s");
        assert_eq!(size(1_000_000), "1 MB");
        assert_eq!(size(2_500_000), "2.5 MB");
        assert_eq!(size(64_000), "64 kB");
        assert_eq!(size(12), "12 B");
    }

    #[test]
    fn spans_read_as_a_person_says_them() {
        assert_eq!(span(Duration::from_secs(59)), "59 s");
        assert_eq!(span(Duration::from_secs(125)), "2 min");
        assert_eq!(span(Duration::from_secs(7_500)), "2 h 05 min");
        assert_eq!(span(Duration::from_secs(99 * 3_600)), "4 d 3 h");
        assert_eq!(count(1, "window"), "1 window");
        assert_eq!(count(0, "window"), "0 windows");
    }
}
