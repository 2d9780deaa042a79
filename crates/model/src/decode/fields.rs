//! One event: the fields of version 1.0, and what they mean.

use std::borrow::Cow;

use super::check::{self, Interned, given};
use super::object::{Known, Survey, members};
use super::rejection::{Code, Fault, Refused};
use super::{Limits, Overflow, later};
use crate::event::{ClientId, Event, SchemaVersion, Target, Timings};
use crate::stage::ErrorStage;
use crate::trace::Trace;
use crate::units::{BitsPerSecond, Micros};

/// Every field of an event in the contract's order; those of version 1.1 come last, then ours.
const FIELDS: [&str; 12 + later::COUNT] = [
    "event_id",
    "client_id",
    "ts_ms",
    "recv_ts_ms",
    "schema_version",
    "target",
    "network_context",
    "timings",
    "throughput_kbps",
    "error_stage",
    "traceparent",
    "tracestate",
    "upload_kbps",
    "http_status",
    "http_version",
    "ip_family",
    "remote_addr",
    "dns_server",
    "tls_version",
    "tls_cipher",
    "alpn",
    "cert_expires_ms",
    "error_type",
    "tcp_info",
    "latency",
    "attempt",
    "probe_version",
    "labels",
    "clock_offset_ms",
    "probe_trouble",
    "gap",
];

/// Reads an event from its text, well-formed JSON of any kind.
pub(super) fn read(
    text: &str,
    now_ms: i64,
    limits: &Limits,
    interned: &mut Interned,
) -> Result<Result<Event, Refused>, Overflow> {
    let mut survey = Survey::default();
    if !text.starts_with('{') {
        return match Survey::of(text).overflow {
            Some(at) => Err(Overflow(at)),
            None => Ok(Err(Refused {
                event_id: None,
                fault: Fault::of_event("an event must be an object"),
            })),
        };
    }
    if text.len() > limits.max_event_bytes {
        let mut event_id = None;
        members(text, &mut survey, |key, value| {
            if key == "event_id" {
                event_id = event_id.or(Some(value));
            }
        });
        let detail = format!("the event has more than {} bytes", limits.max_event_bytes);
        return match survey.overflow {
            Some(at) => Err(Overflow(at)),
            None => Ok(Err(refused(event_id, Fault::of_event(detail)))),
        };
    }
    let known = Known::read(text, &FIELDS, &mut survey);
    if let Some(at) = survey.overflow {
        return Err(Overflow(at));
    }
    let event_id = known.values[0];
    let fault = if survey.depth > limits.max_depth {
        Fault::of_event(format!("the event nests deeper than {} levels", limits.max_depth))
    } else if let Some(key) = known.twice {
        check::twice(None, &key)
    } else {
        match check(&known.values, now_ms, limits, interned) {
            Ok(event) => return Ok(Ok(event)),
            Err(fault) => fault,
        }
    };
    Ok(Err(refused(event_id, fault)))
}

fn refused(event_id: Option<&str>, fault: Fault) -> Refused {
    Refused { event_id: event_id.and_then(check::legible_id), fault }
}

fn check(
    values: &[Option<&str>; FIELDS.len()],
    now_ms: i64,
    limits: &Limits,
    interned: &mut Interned,
) -> Result<Event, Fault> {
    // The version first: it says what the rest means.
    let [_, _, _, _, schema_version, ..] = values;
    let version = version(required(*schema_version, "schema_version")?)?;
    let of_version = |fault| Fault { version: Some(version), ..fault };
    check_rest(version, values, now_ms, limits, interned).map_err(of_version)
}

fn check_rest(
    version: SchemaVersion,
    values: &[Option<&str>; FIELDS.len()],
    now_ms: i64,
    limits: &Limits,
    interned: &mut Interned,
) -> Result<Event, Fault> {
    let [
        event_id,
        client_id,
        ts_ms,
        // Ingest's own; what a sender puts there is nothing to us.
        _recv_ts_ms,
        _schema_version,
        target,
        network_context,
        timings,
        throughput_kbps,
        error_stage,
        traceparent,
        tracestate,
        later @ ..,
    ] = values;
    let id = check::uuid(required(*event_id, "event_id")?, "event_id")?;
    let client = interned.client(required(*client_id, "client_id")?)?;
    let ts_ms = check::integer(required(*ts_ms, "ts_ms")?, 1..=i64::MAX, "ts_ms")?;
    let target = interned.target(required(*target, "target")?)?;
    check_network_context(required(*network_context, "network_context")?)?;
    let failure = given(*error_stage).map(stage).transpose()?;
    let timings = read_timings(version, failure, *timings)?;
    let throughput = throughput(version, *throughput_kbps)?;
    let text = |value: &Option<&'_ str>, path| {
        given(*value).map(|value| check::text(value, path).map(Cow::into_owned)).transpose()
    };
    let trace = text(traceparent, "traceparent")?.and_then(|text| Trace::parse(&text));
    text(tracestate, "tracestate")?;
    let mut of_probe = match version {
        SchemaVersion::V1_0 => later::OfProbe::default(),
        SchemaVersion::V1_1 => later::check(later)?,
    };
    in_time(ts_ms, now_ms, limits)?;
    if trace.is_some() {
        of_probe.beside.get_or_insert_default().trace = trace;
    }
    Ok(Event {
        version,
        id,
        client: ClientId::trusted(client),
        target: Target::trusted(target),
        ts_ms,
        failure,
        timings,
        throughput,
        troubled: of_probe.troubled,
        gap: of_probe.gap,
        beside: of_probe.beside,
    })
}

fn required(value: Option<&str>, path: check::Path) -> Result<&str, Fault> {
    value.ok_or_else(|| Fault::missing(path))
}

fn version(value: &str) -> Result<SchemaVersion, Fault> {
    const PATH: check::Path = "schema_version";
    match &*check::text(value, PATH)? {
        "1.0" => Ok(SchemaVersion::V1_0),
        "1.1" => Ok(SchemaVersion::V1_1),
        other => {
            let detail = format!("{} is not known here; 1.0 and 1.1 are", check::excerpt(other));
            Err(Fault::new(Code::UnknownSchemaVersion, PATH, detail))
        }
    }
}

fn stage(value: &str) -> Result<ErrorStage, Fault> {
    let name = check::text(value, "error_stage")?;
    ErrorStage::from_name(&name).ok_or_else(|| {
        Fault::invalid("error_stage", format!("{} is no stage", check::excerpt(&name)))
    })
}

fn check_network_context(value: &str) -> Result<(), Fault> {
    const INTERFACE: check::Path = "network_context.interface_type";
    const VPN: check::Path = "network_context.vpn_enabled";
    const LABEL: check::Path = "network_context.user_label";
    let names = ["interface_type", "vpn_enabled", "user_label"];
    let [interface, vpn, label] = check::object(value, &names, "network_context")?;
    check::sized_text(required(interface, INTERFACE)?, 0..=64, INTERFACE)?;
    check::boolean(required(vpn, VPN)?, VPN)?;
    if let Some(label) = given(label) {
        check::printable(&check::sized_text(label, 0..=255, LABEL)?, LABEL)?;
    }
    Ok(())
}

/// The timings, by the rules of the event's own version.
fn read_timings(
    version: SchemaVersion,
    failure: Option<ErrorStage>,
    value: Option<&str>,
) -> Result<Timings, Fault> {
    const NAMES: [&str; 6] =
        ["dns_ms", "tcp_ms", "tls_ms", "http_ttfb_ms", "total_ms", "transfer_ms"];
    let value = match (value, failure) {
        (None | Some("null"), Some(_)) => return Ok(Timings::default()),
        (value, _) => required(value, "timings")?,
    };
    let [dns, tcp, tls, ttfb, total, transfer] = check::object(value, &NAMES, "timings")?;
    let old = version == SchemaVersion::V1_0;
    let timing = |value: Option<&str>, of: ErrorStage, needed: bool, path: check::Path| {
        // What an old probe says of the stage that failed and of those after it means nothing.
        if old && failure.is_some_and(|failed| failed <= of) {
            return Ok(None);
        }
        // `null` is "not measured" in 1.1, and where an event need not say; else a wrong type.
        let value = if old && failure.is_none() { value } else { given(value) };
        match value {
            None if needed && failure.is_none() => Err(Fault::missing(path)),
            None => Ok(None),
            Some(value) => check::amount(value, || path.into()).map(Some),
        }
    };
    let later = |value: Option<&str>, path: check::Path| {
        let value = given(value).filter(|_| !old);
        value.map(|value| check::amount(value, || path.into())).transpose()
    };
    later(transfer, "timings.transfer_ms")?;
    // In 1.0 a 0 says that there was no such stage.
    let some_stage = |ms: &f64| !(old && *ms == 0.0);
    let micros = |ms: Option<f64>| ms.and_then(Micros::from_ms);
    Ok(Timings {
        dns: micros(timing(dns, ErrorStage::Dns, old, "timings.dns_ms")?.filter(some_stage)),
        tcp: micros(timing(tcp, ErrorStage::Tcp, true, "timings.tcp_ms")?),
        tls: micros(timing(tls, ErrorStage::Tls, old, "timings.tls_ms")?.filter(some_stage)),
        ttfb: micros(timing(ttfb, ErrorStage::Http, true, "timings.http_ttfb_ms")?),
        total: micros(later(total, "timings.total_ms")?),
    })
}

fn throughput(version: SchemaVersion, value: Option<&str>) -> Result<Option<BitsPerSecond>, Fault> {
    let Some(value) = given(value) else { return Ok(None) };
    let kbps = check::amount(value, || Cow::Borrowed("throughput_kbps"))?;
    // In 1.0 a 0 says that none was measured.
    let measured = version == SchemaVersion::V1_1 || kbps > 0.0;
    Ok(measured.then(|| BitsPerSecond::from_kbps(kbps)).flatten())
}

fn in_time(ts_ms: i64, now_ms: i64, limits: &Limits) -> Result<(), Fault> {
    if ts_ms < now_ms.saturating_sub(limits.max_age_ms) {
        let age = now_ms.saturating_sub(ts_ms);
        let detail = format!("is {age} ms old, more than {}", limits.max_age_ms);
        return Err(Fault::new(Code::TooOld, "ts_ms", detail));
    }
    if ts_ms > now_ms.saturating_add(limits.max_ahead_ms) {
        let ahead = ts_ms.saturating_sub(now_ms);
        let detail = format!("is {ahead} ms in the future, more than {}", limits.max_ahead_ms);
        return Err(Fault::new(Code::InFuture, "ts_ms", detail));
    }
    Ok(())
}
