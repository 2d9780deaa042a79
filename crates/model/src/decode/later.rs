//! What version 1.1 adds, and what we add to it: optional fields, checked where they are given.
//! What of it tells whose fault something is, is kept with the event.

use std::borrow::Cow;
use std::sync::Arc;

use super::check::{self, Path, given};
use super::object::{Survey, members};
use super::rejection::Fault;
use crate::event::{Beside, Gap};
use crate::units::Micros;

/// How many fields version 1.1 adds at the top, with ours.
pub(super) const COUNT: usize = 19;

/// What a probe says of itself beside its measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OfProbe {
    pub(super) troubled: bool,
    pub(super) gap: Option<Gap>,
    pub(super) beside: Option<Box<Beside>>,
}

/// Kinds of trouble an event names at most. Which there are is the probe's to know.
const MAX_TROUBLES: usize = 16;
/// As the probe names a name server that says nothing.
const SILENT_RESOLVER: &str = "resolver";
/// The most events a probe may say it lost, so that adding up can't fill a counter.
const MAX_LOST: i64 = 1 << 48;

const TCP_INFO: [&str; 8] = [
    "rtt_ms",
    "min_rtt_ms",
    "rttvar_ms",
    "retrans",
    "delivery_rate_kbps",
    "busy_ms",
    "rwnd_limited_ms",
    "sndbuf_limited_ms",
];

const LATENCY: [&str; 5] = ["idle_ms", "loaded_ms", "jitter_ms", "loss_ratio", "rpm"];

const MAX_LABELS: usize = 16;
/// Types of errors that are the certificate's begin so.
const CERTIFICATE: &str = "tls.cert";

/// Checks the values of those fields, in the contract's order, and reads ours.
pub(super) fn check(values: &[Option<&str>; COUNT]) -> Result<OfProbe, Fault> {
    let [
        upload_kbps,
        http_status,
        http_version,
        ip_family,
        remote_addr,
        dns_server,
        tls_version,
        tls_cipher,
        alpn,
        cert_expires_ms,
        error_type,
        tcp_info,
        latency,
        attempt,
        probe_version,
        labels,
        clock_offset_ms,
        probe_trouble,
        gap,
    ] = values.map(given);
    if let Some(value) = upload_kbps {
        check::amount(value, || Cow::Borrowed("upload_kbps"))?;
    }
    let integers = [
        (http_status, 100..=999, "http_status"),
        (cert_expires_ms, i64::MIN..=i64::MAX, "cert_expires_ms"),
        (attempt, 0..=i64::MAX, "attempt"),
        (clock_offset_ms, i64::MIN..=i64::MAX, "clock_offset_ms"),
    ];
    for (value, range, path) in integers {
        value.map(|value| check::integer(value, range, path)).transpose()?;
    }
    if let Some(value) = http_version
        && !matches!(&*check::text(value, "http_version")?, "1.1" | "2" | "3")
    {
        return Err(Fault::invalid("http_version", "must be 1.1, 2 or 3"));
    }
    if let Some(value) = ip_family
        && !matches!(check::integer(value, i64::MIN..=i64::MAX, "ip_family")?, 4 | 6)
    {
        return Err(Fault::invalid("ip_family", "must be 4 or 6"));
    }
    let texts = [
        (remote_addr, "remote_addr"),
        (dns_server, "dns_server"),
        (tls_version, "tls_version"),
        (tls_cipher, "tls_cipher"),
        (alpn, "alpn"),
        (error_type, "error_type"),
        (probe_version, "probe_version"),
    ];
    for (value, path) in texts {
        value.map(|value| check::text(value, path)).transpose()?;
    }
    let mut beside = Beside {
        certificate: error_type
            .map(|value| check::text(value, "error_type"))
            .transpose()?
            .is_some_and(|kind| kind.starts_with(CERTIFICATE)),
        address: remote_addr.map(|value| name(value, "remote_addr")).transpose()?.flatten(),
        resolver: dns_server.map(|value| name(value, "dns_server")).transpose()?.flatten(),
        ..Beside::default()
    };
    tcp_info.map(|value| amounts(value, &TCP_INFO, "tcp_info")).transpose()?;
    if let Some(value) = latency {
        let [_, loaded_ms, .., loss_ratio, _] = amounts(value, &LATENCY, "latency")?;
        beside.loaded = loaded_ms.and_then(Micros::from_ms);
        if loss_ratio.is_some_and(|ratio| ratio > 1.0) {
            return Err(Fault::invalid("latency.loss_ratio", "must lie between 0 and 1"));
        }
    }
    labels.map(|value| read_labels(value, &mut beside)).transpose()?;
    let trouble = probe_trouble.map(read_trouble).transpose()?.unwrap_or_default();
    beside.silent = trouble == Trouble::Silence;
    let beside = (beside != Beside::default()).then(|| Box::new(beside));
    Ok(OfProbe { troubled: trouble != Trouble::None, gap: gap.map(read_gap).transpose()?, beside })
}

/// What a probe says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// Its name server says nothing, and that is all.
    Silence,
    Other,
}

/// Whether the probe names any trouble. A kind that we don't know is trouble too.
fn read_trouble(value: &str) -> Result<Trouble, Fault> {
    const PATH: Path = "probe_trouble";
    let Ok(kinds) = serde_json::from_str::<Vec<Cow<'_, str>>>(value) else {
        return Err(Fault::invalid(PATH, "must be a list of words"));
    };
    if kinds.len() > MAX_TROUBLES {
        return Err(Fault::invalid(PATH, format!("names more than {MAX_TROUBLES} kinds")));
    }
    if kinds.iter().any(|kind| kind.is_empty() || kind.chars().count() > 64) {
        return Err(Fault::invalid(PATH, "a kind must have 1 to 64 characters"));
    }
    kinds.iter().try_for_each(|kind| check::printable(kind, PATH))?;
    Ok(match &kinds[..] {
        [] => Trouble::None,
        [kind] if kind == SILENT_RESOLVER => Trouble::Silence,
        _ => Trouble::Other,
    })
}

fn read_gap(value: &str) -> Result<Gap, Fault> {
    const COUNT: Path = "gap.count";
    const FIRST: Path = "gap.first_ts_ms";
    const LAST: Path = "gap.last_ts_ms";
    let [count, first, last] =
        check::object(value, &["count", "first_ts_ms", "last_ts_ms"], "gap")?;
    let count = given(count).ok_or_else(|| Fault::missing(COUNT))?;
    let count = check::integer(count, 1..=MAX_LOST, COUNT)?.unsigned_abs();
    let moment = |value: Option<&str>, path| {
        given(value).map(|value| check::integer(value, 1..=i64::MAX, path)).transpose()
    };
    let (first_ts_ms, last_ts_ms) = (moment(first, FIRST)?, moment(last, LAST)?);
    if first_ts_ms.zip(last_ts_ms).is_some_and(|(first, last)| first > last) {
        return Err(Fault::invalid(FIRST, "must not be after last_ts_ms"));
    }
    Ok(Gap { count, first_ts_ms, last_ts_ms })
}

/// An object whose named members are amounts, each of which may be absent or null.
fn amounts<const N: usize>(
    value: &str,
    names: &[&str; N],
    path: Path,
) -> Result<[Option<f64>; N], Fault> {
    let values = check::object(value, names, path)?;
    let mut amounts = [None; N];
    for ((amount, value), name) in amounts.iter_mut().zip(values).zip(names) {
        if let Some(value) = given(value) {
            *amount = Some(check::amount(value, || format!("{path}.{name}").into())?);
        }
    }
    Ok(amounts)
}

/// A text to tell places apart by; one that is too long or not printable tells nothing.
fn name(value: &str, path: Path) -> Result<Option<Arc<str>>, Fault> {
    let text = check::text(value, path)?;
    let fits = !text.is_empty() && text.len() <= 255 && check::printable(&text, path).is_ok();
    Ok(fits.then(|| Arc::from(&*text)))
}

fn read_labels(value: &str, beside: &mut Beside) -> Result<(), Fault> {
    const PATH: Path = "labels";
    check::is_object(value, PATH)?;
    let mut pairs = Vec::new();
    members(value, &mut Survey::default(), |key, value| pairs.push((key, value)));
    if pairs.len() > MAX_LABELS {
        return Err(Fault::invalid(PATH, format!("has more than {MAX_LABELS} pairs")));
    }
    let mut names: Vec<Cow<'_, str>> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let key = check::sized_key(key, 0..=64, PATH)
            .and_then(|key| check::printable(&key, PATH).map(|()| key))
            .map_err(|fault| Fault { detail: format!("a key {}", fault.detail), ..fault })?;
        let text = check::sized_text(value, 0..=255, PATH)
            .and_then(|text| check::printable(&text, PATH).map(|()| text));
        let text = match text {
            Ok(text) => text,
            Err(fault) => {
                return Err(Fault { field: Some(format!("{PATH}.{key}").into()), ..fault });
            }
        };
        let place = match &*key {
            "site" => Some(&mut beside.site),
            "isp" => Some(&mut beside.isp),
            // The resolver that was asked is truer than the one that should be.
            "resolver" if beside.resolver.is_none() => Some(&mut beside.resolver),
            _ => None,
        };
        if let Some(place) = place
            && !text.is_empty()
        {
            *place = Some(Arc::from(&*text));
        }
        if names.contains(&key) {
            return Err(check::twice(Some(PATH), &key));
        }
        names.push(key);
    }
    Ok(())
}
