//! HTTP Archive 1.2: what browsers export and many tools draw. One entry a measurement.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::measurement::ms;
use crate::{Measurement, VERSION};

/// Makes the file anew.
pub(super) fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes all measurements.
pub(super) fn write<'a>(
    mut file: File,
    measurements: impl Iterator<Item = &'a Measurement>,
) -> anyhow::Result<()> {
    let text = serde_json::to_vec_pretty(&archive(measurements)).context("writing the archive")?;
    file.write_all(&text).context("writing the archive")
}

fn archive<'a>(measurements: impl Iterator<Item = &'a Measurement>) -> Value {
    json!({
        "log": {
            "version": "1.2",
            "creator": { "name": "qoe", "version": VERSION },
            "entries": measurements.map(entry).collect::<Vec<_>>(),
        }
    })
}

/// Absent is -1 in this format, in milliseconds; the handshake is part of `connect`; what is in none of
/// our stages is `blocked`.
fn entry(m: &Measurement) -> Value {
    let or_none = |time: Option<Duration>| time.map_or(-1.0, ms);
    let connect = (m.tcp.is_some() || m.tls.is_some())
        .then(|| m.tcp.unwrap_or_default() + m.tls.unwrap_or_default());
    let parts = [m.residual(), m.dns, connect, m.request, m.ttfb, m.transfer];
    let [blocked, dns, connect, send, wait, receive] = parts.map(or_none);
    // The sum, as the format wants it: that of the total.
    let time: Duration = parts.into_iter().flatten().sum();
    let version = m.http_version.map_or_else(|| "unknown".to_owned(), |v| format!("HTTP/{v}"));
    let timings = json!({
        "blocked": blocked, "dns": dns, "connect": connect, "ssl": or_none(m.tls),
        "send": send, "wait": wait, "receive": receive,
    });
    let query = m.target.query_pairs().map(|(name, value)| json!({ "name": name, "value": value }));
    let mut entry = json!({
        "startedDateTime": started(m.started_ms),
        "time": ms(time),
        "request": {
            "method": "GET", "url": m.target.as_str(), "httpVersion": version,
            "cookies": [], "headers": [], "queryString": query.collect::<Vec<_>>(),
            "headersSize": -1, "bodySize": 0,
        },
        "response": {
            // The format has no other way to say that there was none.
            "status": m.status.unwrap_or(0), "statusText": "", "httpVersion": version,
            "cookies": [], "headers": [],
            "content": { "size": m.body_bytes.unwrap_or(0), "mimeType": "" },
            "redirectURL": m.location.as_ref().map(url::Url::as_str).unwrap_or_default(),
            "headersSize": -1,
            "bodySize": m.body_bytes.map_or(json!(-1), |bytes| json!(bytes)),
        },
        "cache": {},
        "timings": timings,
    });
    if let Some(address) = m.remote_addr {
        entry["serverIPAddress"] = json!(address.ip().to_string());
    }
    if let Some(failure) = m.any_failure() {
        entry["response"]["_error"] = json!(failure.to_string());
    }
    entry
}

fn started(ms: i64) -> String {
    let since = Duration::from_millis(ms.try_into().unwrap_or_default());
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    #[test]
    fn times_add_up_and_absent_is_minus_one() {
        let ms = |n| Some(Duration::from_millis(n));
        let mut m = Measurement::started(
            &Url::parse("https://a.test/?q=a%20b&q=&c").unwrap(),
            1_764_000_000_123,
        );
        (m.tcp, m.tls, m.request, m.ttfb) = (ms(10), ms(20), ms(1), ms(30));
        (m.transfer, m.total, m.status) = (ms(4), ms(70), Some(200));
        let archive = archive(std::iter::once(&m));
        let entry = &archive["log"]["entries"][0];
        assert_eq!(entry["startedDateTime"], "2025-11-24T16:00:00.123Z");
        let expected = json!({
            "blocked": 5.0, "dns": -1.0, "connect": 30.0, "ssl": 20.0, "send": 1.0, "wait": 30.0,
            "receive": 4.0,
        });
        assert_eq!((&entry["timings"], &entry["time"]), (&expected, &json!(70.0)));
        assert_eq!(entry.get("serverIPAddress"), None);
        let pair = |name, value| json!({ "name": name, "value": value });
        let expected = json!([pair("q", "a b"), pair("q", ""), pair("c", "")]);
        assert_eq!(entry["request"]["queryString"], expected);
    }
}
