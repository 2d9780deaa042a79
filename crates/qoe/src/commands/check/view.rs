//! One measurement as a person sees it.

use ::probe::Measurement;
use model::ErrorStage;

use super::verdict::{self, Facts};
use crate::render::waterfall::{Outcome, Row, waterfall};
use crate::render::{Ink, Style, units};

/// The whole picture: what was reached, the stages to scale, the sentence.
pub(crate) fn one(m: &Measurement, now_ms: i64, style: Style) -> String {
    let title = style.paint(Ink::Strong, &m.target);
    let facts = facts(m, now_ms).join(" · ");
    let gap = if facts.is_empty() { "" } else { "   " };
    let rows = rows(m);
    // Nothing but the failing stage: the sentence says it all.
    let picture = match rows.iter().any(|row| matches!(row.outcome, Outcome::Took(_))) {
        true => format!("\n{}{}\n", waterfall(&rows, m.total, style), summary(m)),
        false => String::new(),
    };
    let ink = if m.any_failure().is_some() { Ink::Bad } else { Ink::Good };
    let sentence = verdict::sentence(&Facts::of(m, now_ms));
    let head = style.paint(ink, &sentence.head);
    format!("{title}{gap}{facts}\n{picture}{head}{}\n", sentence.rest)
}

/// Address, family, protocol, TLS, certificate, resolver: what is known of them.
fn facts(m: &Measurement, now_ms: i64) -> Vec<String> {
    let address = m.remote_addr.map(|a| a.ip());
    [
        address.map(|ip| ip.to_string()),
        address.map(|ip| if ip.is_ipv4() { "IPv4".to_owned() } else { "IPv6".to_owned() }),
        m.http_version.map(|version| format!("HTTP/{version}")),
        m.tls_session.as_ref().map(|tls| format!("TLS {}", tls.version)),
        m.certificate.as_ref().map(|c| certificate(c.expires_ms, now_ms)),
        m.dns_server.map(|server| match server.port() {
            53 => format!("DNS by {}", server.ip()),
            _ => format!("DNS by {server}"),
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Days until the certificate expires, or since.
fn certificate(expires_ms: i64, now_ms: i64) -> String {
    match verdict::days_between(now_ms, expires_ms) {
        days @ 0.. => format!("certificate {}", units::count(days.unsigned_abs(), "day")),
        days => format!("certificate expired {} ago", units::count(days.unsigned_abs(), "day")),
    }
}

fn rows(m: &Measurement) -> Vec<Row> {
    let stages = [
        ("DNS", ErrorStage::Dns, m.dns),
        ("TCP", ErrorStage::Tcp, m.tcp),
        ("TLS", ErrorStage::Tls, m.tls),
        ("wait", ErrorStage::Http, m.ttfb),
        ("body", ErrorStage::Parse, m.transfer),
    ];
    let failed = m.failure.as_ref();
    let mut rows = Vec::new();
    for (name, stage, took) in stages {
        let outcome = match (took, failed) {
            (Some(took), _) => Outcome::Took(took),
            (None, Some(failure)) if failure.stage == stage => {
                let spent = rows.iter().filter_map(duration).sum();
                Outcome::Failed(m.elapsed.checked_sub(spent), failure.kind.to_owned())
            }
            (None, _) => Outcome::Absent,
        };
        rows.push(Row { name, outcome });
    }
    rows
}

fn duration(row: &Row) -> Option<std::time::Duration> {
    match &row.outcome {
        Outcome::Took(took) => Some(*took),
        Outcome::Failed(..) | Outcome::Absent => None,
    }
}

/// The line below the picture: the total, and what was measured beside it.
fn summary(m: &Measurement) -> String {
    let mut parts = Vec::new();
    if let Some(total) = m.total {
        parts.push(format!("total {}", units::duration(total)));
    }
    if let Some(t) = &m.throughput {
        #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
        let rate = units::rate(t.bits_per_second as f64 / 1e3);
        let partial = if t.complete { "" } else { ", ran out of time" };
        parts.push(format!("throughput {rate} ({}{partial})", units::size(t.bytes)));
    } else if let Some(failure) = &m.throughput_failure {
        parts.push(format!("throughput failed: {}", failure.detail));
    }
    if parts.is_empty() { String::new() } else { format!("  {}\n", parts.join("   ")) }
}
