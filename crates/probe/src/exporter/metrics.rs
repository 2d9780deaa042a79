//! Measurements of HTTP as blackbox_exporter's metrics. Pure.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Counts;
use super::page::Page;
use crate::{Measurement, VERSION};

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
        (!times.is_empty()).then(|| times.iter().sum::<Duration>())
    };
    page.lookup(sum(|m| m.dns));
    page.gauge("probe_failed_due_to_regex", "Indicates if probe failed due to regex", 0);
    // Of a body that is longer than what is read, the length is not known.
    let length = last.filter(|m| m.body_complete).and_then(|m| m.body_bytes);
    if let Some(length) = length {
        page.gauge("probe_http_content_length", "Length of http content response", length);
    }
    page.phases(
        "probe_http_duration_seconds",
        "Duration of http request by phase, summed over all redirects",
        &[
            ("connect", sum(|m| m.tcp)),
            // What blackbox_exporter calls so is from the request written to the first byte.
            ("processing", sum(|m| m.ttfb)),
            ("resolve", sum(|m| m.dns)),
            ("tls", sum(|m| m.tls)),
            ("transfer", sum(|m| m.transfer)),
        ],
    );
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
    page.address(last.and_then(|m| m.remote_addr).map(|address| address.ip()));
    if let Some(last) = last {
        page.tls(last);
    }
    page.outcome(hops.iter().map(|m| m.elapsed).sum(), success);
    page.more(hops.iter().rev().find_map(Measurement::any_failure), last);
    (page.text(), success)
}

/// The exporter's own.
pub(super) fn own(counts: &Counts) -> String {
    let mut page = Page::default();
    let help = "Version of this program";
    page.info("qoe_probe_build_info", help, &[("version", VERSION)]);
    let name = "qoe_probe_exporter_probes_total";
    page.family(name, "counter", "Measurements asked for, by outcome");
    let outcomes =
        [("success", &counts.succeeded), ("failure", &counts.failed), ("refused", &counts.refused)];
    for (outcome, count) in outcomes {
        page.series(name, &[("outcome", outcome)], count.load(Ordering::Relaxed));
    }
    page.text()
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
        let others = super::super::others::tests::pages();
        for page in others.into_iter().chain([page, own(&Counts::default())]) {
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
