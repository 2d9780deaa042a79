//! One measurement as a person sees it.

use std::time::Duration;

use model::ErrorStage;
use model::wire::WireTcpInfo;

use super::grades::Grades;
use super::verdict::{self, Facts};
use crate::echo::Echoes;
use crate::render::units::ABSENT;
use crate::render::waterfall::{Outcome, Row, waterfall};
use crate::render::{Ink, Style, units};
use crate::{Confidence, Latency, Measurement};

/// The whole picture: what was reached, the stages to scale, the sentence.
pub fn one(m: &Measurement, now_ms: i64, style: Style) -> String {
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
        ("send", ErrorStage::Http, m.request.filter(|time| *time >= SHOWN)),
        ("wait", ErrorStage::Http, m.ttfb),
        ("body", ErrorStage::Parse, m.transfer),
    ];
    let failed = m.failure.as_ref();
    let mut rows = Vec::new();
    for (name, stage, took) in stages {
        // Sending a small request takes no time that a person could see.
        if name == "send" && took.is_none() {
            continue;
        }
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

fn duration(row: &Row) -> Option<Duration> {
    match &row.outcome {
        Outcome::Took(took) => Some(*took),
        Outcome::Failed(..) | Outcome::Absent => None,
    }
}

/// What takes less is not worth a line.
const SHOWN: Duration = Duration::from_millis(1);

/// The lines below the picture: the total, what was measured beside it, and what is out of the
/// ordinary.
fn summary(m: &Measurement) -> String {
    let mut parts = Vec::new();
    if let Some(total) = m.total {
        parts.push(format!("total {}", units::duration(total)));
    }
    if let Some(rest) = m.residual().filter(|rest| *rest >= SHOWN) {
        parts.push(format!("of which in no stage {}", units::duration(rest)));
    }
    if let Some(t) = &m.throughput {
        #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
        let rate = units::rate(t.bits_per_second as f64 / 1e3);
        let partial = if t.complete { "" } else { ", ran out of time" };
        parts.push(format!("throughput {rate} ({}{partial})", units::size(t.bytes)));
    } else if let Some(failure) = &m.throughput_failure {
        parts.push(format!("throughput failed: {}", failure.detail));
    }
    if let Some(t) = &m.upload {
        #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
        let rate = units::rate(t.bits_per_second as f64 / 1e3);
        parts.push(format!("upload {rate} ({})", units::size(t.bytes)));
    } else if let Some(failure) = &m.upload_failure {
        parts.push(format!("upload failed: {}", failure.detail));
    }
    let mut lines = vec![parts.join("   ")];
    lines.extend(m.transfers.download.and_then(|t| t.target).and_then(|side| held_up(&side)));
    lines.extend(m.latency.as_ref().map(latency));
    lines.extend(Grades::of(m).map(|grades| grades.text()));
    lines.extend(m.echoes.as_ref().map(echoes));
    lines.extend(path(m));
    lines.retain(|line| !line.is_empty());
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// Latency at rest and under load.
fn latency(latency: &Latency) -> String {
    let time = |time: Option<Duration>| time.map_or_else(|| ABSENT.to_owned(), units::duration);
    let rpm = latency.rpm.map_or_else(|| ABSENT.to_owned(), |rpm| format!("{rpm:.0}"));
    let confidence = latency.confidence.map_or(ABSENT, Confidence::name);
    // Over HTTP/1.1 no second request fits on a connection that carries load.
    let beside = if latency.beside { " of connections beside the load" } else { "" };
    format!(
        "latency {} at rest, {} under load   {rpm} RPM{beside}, confidence {confidence} ({})",
        time(latency.idle),
        time(latency.loaded),
        units::size(latency.bytes)
    )
}

/// What the target's kernel says held a download up: segments it had to send again, and waiting for
/// this end.
fn held_up(target: &WireTcpInfo) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(again) = target.retrans.filter(|again| *again > 0) {
        parts.push(format!("sent again {}", units::count(again.into(), "segment")));
    }
    if let Some((busy, waited)) = target.busy_ms.zip(target.rwnd_limited_ms)
        && waited >= busy / 10.0
        && waited >= 1.0
    {
        let share = waited / busy * 100.0;
        parts.push(format!("waited for this end's window {share:.0} % of its time"));
    }
    (!parts.is_empty()).then(|| format!("the target {}", parts.join(", ")))
}

/// Echoes, and by what.
fn echoes(echoes: &Echoes) -> String {
    let time = |time: Option<Duration>| time.map_or_else(|| ABSENT.to_owned(), units::duration);
    let why = echoes.why_not_better.as_ref().map(|why| format!(", for want of {why}"));
    format!(
        "{} echoes by {}{}: loss {}, round trip {}, jitter {}",
        echoes.sent,
        echoes.method.name(),
        why.unwrap_or_default(),
        echoes.loss().map_or_else(|| ABSENT.to_owned(), |loss| format!("{:.1} %", loss * 100.0)),
        time(echoes.median()),
        time(echoes.jitter())
    )
}

/// What the way there showed: attempts at other addresses, segments sent again, the server's own word.
fn path(m: &Measurement) -> Vec<String> {
    let mut lines = Vec::new();
    for attempt in m.attempts.iter().filter(|attempt| !attempt.connected()) {
        let how = match &attempt.failure {
            Some(failure) => failure.kind.to_owned(),
            None => "no answer yet when another connected".to_owned(),
        };
        let took = units::duration(attempt.time);
        lines.push(format!("tried {} first: {how}, {took}", attempt.address));
    }
    if let Some(info) = m.transport.last().filter(|info| info.retransmits > 0) {
        lines.push(format!("sent again {}", units::count(info.retransmits.into(), "segment")));
    }
    if let Some(path) = &m.quic {
        let rtt = units::duration(path.rtt);
        lines.push(format!(
            "QUIC round trip {rtt}, lost {} of {} packets",
            path.lost_packets, path.sent_packets
        ));
    }
    let timed = m.server_timing.iter().filter_map(|metric| {
        Some(format!("{} {}", metric.name, units::duration(metric.duration?)))
    });
    let timed: Vec<_> = timed.take(MOST_METRICS).collect();
    if !timed.is_empty() {
        lines.push(format!("the server says: {}", timed.join(", ")));
    }
    if let Some(next) = &m.location {
        lines.push(format!("leads to {next}"));
    }
    lines
}

/// More of a server's own words would bury the rest.
const MOST_METRICS: usize = 4;
