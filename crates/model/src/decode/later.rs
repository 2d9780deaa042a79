//! What version 1.1 adds: optional fields, checked where they are given. None of these
//! enters a window.

use std::borrow::Cow;

use super::check::{self, Path, given};
use super::object::{Survey, members};
use super::rejection::Fault;

/// How many fields version 1.1 adds at the top.
pub(super) const COUNT: usize = 16;

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

/// Checks the values of those fields, in the contract's order.
pub(super) fn check(values: &[Option<&str>; COUNT]) -> Result<(), Fault> {
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
    ] = values.map(given);
    if let Some(value) = upload_kbps {
        check::amount(value, || Cow::Borrowed("upload_kbps"))?;
    }
    let integers = [
        (http_status, 100..=999, "http_status"),
        (cert_expires_ms, i64::MIN..=i64::MAX, "cert_expires_ms"),
        (attempt, 0..=i64::MAX, "attempt"),
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
    tcp_info.map(|value| amounts(value, &TCP_INFO, "tcp_info")).transpose()?;
    if let Some(value) = latency {
        let [.., loss_ratio, _] = amounts(value, &LATENCY, "latency")?;
        if loss_ratio.is_some_and(|ratio| ratio > 1.0) {
            return Err(Fault::invalid("latency.loss_ratio", "must lie between 0 and 1"));
        }
    }
    labels.map(check_labels).transpose()?;
    Ok(())
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

fn check_labels(value: &str) -> Result<(), Fault> {
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
        let text =
            check::sized_text(value, 0..=255, PATH).and_then(|text| check::printable(&text, PATH));
        if let Err(fault) = text {
            return Err(Fault { field: Some(format!("{PATH}.{key}").into()), ..fault });
        }
        if names.contains(&key) {
            return Err(check::twice(Some(PATH), &key));
        }
        names.push(key);
    }
    Ok(())
}
