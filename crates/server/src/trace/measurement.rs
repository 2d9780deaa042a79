//! What the probe timed, as spans.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{ErrorStage, Event, Micros, Trace};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, Status};
use url::Url;

use super::{Span, number};

/// The measurement and each of its stages that was timed, one after another from its start.
pub(super) fn spans(event: &Event, trace: Trace) -> Vec<Span> {
    let start = at(event.ts_ms);
    let timings = &event.timings;
    let stages = [
        ("dns", timings.dns),
        ("connect", timings.tcp),
        ("tls", timings.tls),
        ("request", timings.ttfb),
    ];
    let mut spans = Vec::with_capacity(stages.len() + 2);
    let mut now = start;
    for (name, took) in stages {
        let Some(took) = took.map(duration) else { continue };
        spans.push(stage(event, trace, name, now, now + took));
        now += took;
    }
    let end = timings.total.map_or(now, |total| (start + duration(total)).max(now));
    // What is left is the transfer, and what lies between the stages.
    if timings.ttfb.is_some() && end > now {
        spans.push(stage(event, trace, "transfer", now, end));
    }
    let (status, failed) = match event.failure {
        None => (Status::Unset, None),
        Some(stage) => (Status::error(stage.as_str()), Some(stage)),
    };
    spans.push(Span {
        trace,
        number: trace.span,
        parent: None,
        kind: SpanKind::Client,
        name: "GET",
        start,
        end,
        attributes: attributes(event, failed),
        status,
    });
    spans
}

fn stage(
    event: &Event,
    trace: Trace,
    name: &'static str,
    start: SystemTime,
    end: SystemTime,
) -> Span {
    Span {
        trace,
        number: number(event.id, name),
        parent: Some(trace.span),
        kind: SpanKind::Internal,
        name,
        start,
        end,
        attributes: Vec::new(),
        status: Status::Unset,
    }
}

/// By the names of OpenTelemetry's semantic conventions. A URL keeps neither credentials nor query.
fn attributes(event: &Event, failed: Option<ErrorStage>) -> Vec<KeyValue> {
    let mut all = vec![
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("user_agent.synthetic.type", "test"),
        KeyValue::new("qoe.client.id", event.client.as_str().to_owned()),
        KeyValue::new("qoe.event.id", event.id.to_string()),
    ];
    if let Ok(mut url) = Url::parse(event.target.as_str()) {
        // Only what can't have them refuses.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        all.extend(url.host_str().map(|host| KeyValue::new("server.address", host.to_owned())));
        all.extend(url.port_or_known_default().map(|p| KeyValue::new("server.port", i64::from(p))));
        all.push(KeyValue::new("url.full", url.to_string()));
    }
    if let Some(address) = event.beside.as_deref().and_then(|beside| beside.address.as_deref()) {
        all.push(KeyValue::new("network.peer.address", address.to_owned()));
    }
    all.extend(failed.map(|stage| KeyValue::new("error.type", stage.as_str())));
    all
}

fn at(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn duration(micros: Micros) -> Duration {
    Duration::from_micros(micros.0)
}
