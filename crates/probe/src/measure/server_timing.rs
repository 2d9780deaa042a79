//! Reading Server-Timing headers (W3C): `cache;dur=1.5;desc="hit", app;dur=50`. Pure.

use std::time::Duration;

use crate::measurement::ServerTiming;

/// More metrics than this are not kept, and longer texts are cut: they are a stranger's.
const MAX_METRICS: usize = 16;
const MAX_NAME: usize = 64;
const MAX_DESCRIPTION: usize = 128;

/// The metrics of all headers of this name, in order. What cannot be read is passed over.
pub(super) fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Vec<ServerTiming> {
    let metrics = values.flat_map(|value| split(value, ','));
    metrics.filter_map(metric).take(MAX_METRICS).collect()
}

fn metric(text: &str) -> Option<ServerTiming> {
    let mut parts = split(text, ';').into_iter();
    let name = parts.next()?.trim();
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_token) {
        return None;
    }
    let mut metric = ServerTiming { name: name.to_owned(), duration: None, description: None };
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        let value = unquoted(value.trim());
        // The first of a name counts, as the specification has it.
        match key.trim().to_ascii_lowercase().as_str() {
            "dur" if metric.duration.is_none() => metric.duration = milliseconds(&value),
            "desc" if metric.description.is_none() => {
                let printable = value.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION);
                metric.description = Some(printable.collect());
            }
            _ => {}
        }
    }
    Some(metric)
}

fn milliseconds(text: &str) -> Option<Duration> {
    let ms: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(ms / 1e3).ok()
}

/// Parts between separators that are not within quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                parts.push(&text[start..i]);
                start = i + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let mut value = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            _ => value.push(c),
        }
    }
    value
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> ServerTiming {
        parse(std::iter::once(text)).remove(0)
    }

    #[test]
    fn metrics_have_names_and_perhaps_durations_and_descriptions() {
        let all = parse(["miss, db;dur=53.2", r#"app;desc="a, \"b\"; c";dur=47"#].into_iter());
        let told: Vec<_> =
            all.iter().map(|m| (m.name.as_str(), m.duration.map(|d| d.as_micros()))).collect();
        assert_eq!(told, [("miss", None), ("db", Some(53_200)), ("app", Some(47_000))]);
        assert_eq!(all[2].description.as_deref(), Some("a, \"b\"; c"));
        assert_eq!(one("x; DUR = 1 ;dur=2").duration, Some(Duration::from_millis(1)));
    }

    #[test]
    fn nonsense_is_passed_over() {
        for text in ["", ";dur=1", "a b;dur=1", &"n".repeat(65)] {
            assert!(parse(std::iter::once(text)).is_empty(), "{text}");
        }
        for text in ["x;dur=-1", "x;dur=NaN", "x;dur=1e400", "x;dur=", "x;dur"] {
            assert_eq!(one(text).duration, None, "{text}");
        }
        assert_eq!(parse(std::iter::repeat_n("a", 99)).len(), MAX_METRICS);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,200}") {
            let _ = parse(std::iter::once(text.as_str()));
        }
    }
}
