//! Measurements as blackbox_exporter's metrics, in Prometheus' text format. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Counts;
use crate::{Measurement, VERSION};

/// The page, metric by metric.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        _ = writeln!(self.0, "{name} {value}");
    }
}

/// The metrics of a chain of measurements, and whether it was a success: a status of 200 to 299 at its
/// end. A phase that was not reached has no line, where blackbox_exporter has a 0.
pub(super) fn of(hops: &[Measurement]) -> (String, bool) {
    let mut page = Page::default();
    let last = hops.last();
    let status = last.and_then(|m| m.status).unwrap_or(0);
    let failed = hops.iter().any(|m| m.failure.is_some());
    let success = !failed && (200..300).contains(&status);
    let sum = |stage: fn(&Measurement) -> Option<Duration>| {
        let times: Vec<Duration> = hops.iter().filter_map(stage).collect();
        (!times.is_empty()).then(|| times.iter().sum::<Duration>().as_secs_f64())
    };
    let elapsed: Duration = hops.iter().map(|m| m.elapsed).sum();

    if let Some(seconds) = sum(|m| m.dns) {
        let help = "Returns the time taken for probe dns lookup in seconds";
        page.gauge("probe_dns_lookup_time_seconds", help, seconds);
    }
    page.gauge(
        "probe_duration_seconds",
        "Returns how long the probe took to complete in seconds",
        elapsed.as_secs_f64(),
    );
    page.gauge("probe_failed_due_to_regex", "Indicates if probe failed due to regex", 0);
    // Of a body that is longer than what is read, the length is not known.
    let length = last.filter(|m| m.body_complete).and_then(|m| m.body_bytes);
    if let Some(length) = length {
        page.gauge("probe_http_content_length", "Length of http content response", length);
    }
    let help = "Duration of http request by phase, summed over all redirects";
    page.family("probe_http_duration_seconds", "gauge", help);
    let phases = [
        ("connect", sum(|m| m.tcp)),
        // What blackbox_exporter calls so is from the request written to the first byte.
        ("processing", sum(|m| m.ttfb)),
        ("resolve", sum(|m| m.dns)),
        ("tls", sum(|m| m.tls)),
        ("transfer", sum(|m| m.transfer)),
    ];
    for (phase, seconds) in phases {
        if let Some(seconds) = seconds {
            _ = writeln!(page.0, "probe_http_duration_seconds{{phase=\"{phase}\"}} {seconds}");
        }
    }
    page.gauge("probe_http_redirects", "The number of redirects", hops.len().saturating_sub(1));
    let ssl = last.is_some_and(|m| m.tls.is_some());
    let help = "Indicates if SSL was used for the final redirect";
    page.gauge("probe_http_ssl", help, u8::from(ssl));
    page.gauge("probe_http_status_code", "Response HTTP status code", status);
    if let Some(length) = length {
        let help = "Length of uncompressed response body";
        page.gauge("probe_http_uncompressed_body_length", help, length);
    }
    let version = last.and_then(|m| m.http_version).unwrap_or("0");
    page.gauge("probe_http_version", "Returns the version of HTTP of the probe response", version);
    if let Some(ip) = last.and_then(|m| m.remote_addr).map(|address| address.ip()) {
        let help = "Specifies the hash of IP address. It's useful to detect if the IP address \
                    changes.";
        page.gauge("probe_ip_addr_hash", help, hash(ip));
        let help = "Specifies whether probe ip protocol is IP4 or IP6";
        page.gauge("probe_ip_protocol", help, if ip.is_ipv4() { 4 } else { 6 });
    }
    if let Some(certificate) = last.and_then(|m| m.certificate.as_ref()) {
        let help = "Returns last SSL chain expiry in unixtime";
        let seconds = certificate.expires_ms.div_euclid(1_000);
        page.gauge("probe_ssl_earliest_cert_expiry", help, seconds);
    }
    page.gauge(
        "probe_success",
        "Displays whether or not the probe was a success",
        u8::from(success),
    );
    if let Some(session) = last.and_then(|m| m.tls_session.as_ref()) {
        let help = "Returns the TLS cipher negotiated during handshake";
        page.family("probe_tls_cipher_info", "gauge", help);
        _ = writeln!(page.0, "probe_tls_cipher_info{{cipher=\"{}\"}} 1", escaped(&session.cipher));
        let help = "Returns the TLS version used or NaN when unknown";
        page.family("probe_tls_version_info", "gauge", help);
        _ = writeln!(page.0, "probe_tls_version_info{{version=\"TLS {}\"}} 1", session.version);
    }
    more(&mut page, hops);
    (page.0, success)
}

/// What blackbox_exporter does not tell.
fn more(page: &mut Page, hops: &[Measurement]) {
    let failure = hops.iter().rev().find_map(Measurement::any_failure);
    if let Some(failure) = failure {
        let help = "Where and how the probe failed (W3C Network Error Logging)";
        page.family("probe_failure_info", "gauge", help);
        let (stage, kind) = (failure.stage, failure.kind);
        _ = writeln!(page.0, "probe_failure_info{{stage=\"{stage}\",type=\"{kind}\"}} 1");
    }
    if let Some(info) = hops.last().and_then(|m| m.transport.last()) {
        if let Some(rtt) = info.min_rtt {
            let help = "Shortest round trip the kernel saw on the connection";
            page.gauge("probe_tcp_min_rtt_seconds", help, rtt.as_secs_f64());
        }
        let help = "Segments the kernel sent again on the connection";
        page.gauge("probe_tcp_retransmits", help, info.retransmits);
    }
}

/// The exporter's own.
pub(super) fn own(counts: &Counts) -> String {
    let mut page = Page::default();
    page.family("qoe_probe_build_info", "gauge", "Version of this program");
    _ = writeln!(page.0, "qoe_probe_build_info{{version=\"{VERSION}\"}} 1");
    page.family("qoe_probe_exporter_probes_total", "counter", "Measurements asked for, by outcome");
    let outcomes =
        [("success", &counts.succeeded), ("failure", &counts.failed), ("refused", &counts.refused)];
    for (outcome, count) in outcomes {
        let count = count.load(Ordering::Relaxed);
        _ = writeln!(page.0, "qoe_probe_exporter_probes_total{{outcome=\"{outcome}\"}} {count}");
    }
    page.0
}

/// FNV-1a of the address's bytes, as blackbox_exporter has it.
fn hash(ip: IpAddr) -> u32 {
    let bytes = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, kind};
    use model::ErrorStage;
    use url::Url;

    fn measured(status: u16) -> Measurement {
        let mut m = Measurement::started(&Url::parse("http://a.test/").unwrap(), 0);
        let ms = |n| Some(Duration::from_millis(n));
        (m.dns, m.tcp, m.ttfb, m.transfer) = (ms(1), ms(2), ms(4), ms(8));
        (m.status, m.http_version, m.body_bytes) = (Some(status), Some("1.1"), Some(3));
        m.remote_addr = Some(([127, 0, 0, 1], 80).into());
        m
    }

    fn value(page: &str, series: &str) -> Option<f64> {
        page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    #[test]
    fn phases_are_summed_over_redirects_and_absent_where_there_are_none() {
        let (page, success) = of(&[measured(302), measured(204)]);
        assert!(success && value(&page, "probe_success") == Some(1.0));
        assert_eq!(value(&page, r#"probe_http_duration_seconds{phase="connect"}"#), Some(0.004));
        assert_eq!(value(&page, r#"probe_http_duration_seconds{phase="tls"}"#), None);
        assert_eq!(value(&page, "probe_http_redirects"), Some(1.0));
        assert_eq!(value(&page, "probe_ip_addr_hash"), Some(3_668_918_509.0));
        assert_eq!(value(&page, "probe_http_status_code"), Some(204.0));
        assert!(!of(&[measured(404)]).1 && !of(&[measured(302)]).1);
    }

    #[test]
    fn a_failure_is_named() {
        let mut m = measured(200);
        m.failure = Some(Failure::new(ErrorStage::Tls, kind::TLS_CERT_DATE_INVALID, "x"));
        let (page, success) = of(&[m]);
        assert!(!success);
        let info = r#"probe_failure_info{stage="tls",type="tls.cert.date_invalid"}"#;
        assert_eq!(value(&page, info), Some(1.0));
    }

    #[test]
    fn every_family_has_help_and_type_and_comes_once() {
        let (page, _) = of(&[measured(200)]);
        for page in [page, own(&Counts::default())] {
            let mut seen = Vec::new();
            for line in page.lines().filter(|line| !line.starts_with("# HELP")) {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    let (name, kind) = rest.split_once(' ').unwrap();
                    assert!(matches!(kind, "gauge" | "counter"), "{line}");
                    assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                    assert!(page.contains(&format!("# HELP {name} ")), "{line}");
                    assert!(!seen.contains(&name), "{name} comes twice");
                    seen.push(name);
                } else {
                    let name = line.split(['{', ' ']).next().unwrap();
                    assert_eq!(Some(&name), seen.last(), "{line} stands below another family");
                }
            }
        }
    }
}
