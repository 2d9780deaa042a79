//! A page in Prometheus' text format, and the metrics that more than one kind of module has. Pure.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use super::chain::Chain;
use crate::{Failure, Measurement};

/// The page, metric by metric.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        _ = writeln!(self.0, "{name} {value}");
    }

    /// The one series of the family that was begun last.
    pub(crate) fn value(&mut self, name: &str, value: impl Display) {
        _ = writeln!(self.0, "{name} {value}");
    }

    /// One series of the family that was begun last.
    pub(super) fn series(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }

    /// A family that says something by its labels alone.
    pub(crate) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.family(name, "gauge", help);
        self.series(name, labels, 1);
    }

    /// Durations by phase. One that was not reached has no line.
    pub(super) fn phases(&mut self, name: &str, help: &str, phases: &[(&str, Option<Duration>)]) {
        self.family(name, "gauge", help);
        for (phase, time) in phases {
            if let Some(time) = time {
                self.series(name, &[("phase", phase)], time.as_secs_f64());
            }
        }
    }

    pub(super) fn lookup(&mut self, time: Option<Duration>) {
        if let Some(time) = time {
            let help = "Returns the time taken for probe dns lookup in seconds";
            self.gauge("probe_dns_lookup_time_seconds", help, time.as_secs_f64());
        }
    }

    pub(super) fn outcome(&mut self, elapsed: Duration, success: bool) {
        let help = "Returns how long the probe took to complete in seconds";
        self.gauge("probe_duration_seconds", help, elapsed.as_secs_f64());
        let help = "Displays whether or not the probe was a success";
        self.gauge("probe_success", help, u8::from(success));
    }

    pub(super) fn address(&mut self, ip: Option<IpAddr>) {
        let Some(ip) = ip else { return };
        let help = "Specifies the hash of IP address. It's useful to detect if the IP address \
                    changes.";
        self.gauge("probe_ip_addr_hash", help, hash(ip));
        let help = "Specifies whether probe ip protocol is IP4 or IP6";
        self.gauge("probe_ip_protocol", help, if ip.is_ipv4() { 4 } else { 6 });
    }

    /// What the handshake showed; of the chain that was accepted only where it was.
    pub(super) fn tls(&mut self, m: &Measurement) {
        let shown = m.certificate.as_ref().and_then(|certificate| Chain::read(&certificate.shown));
        if let Some(chain) = &shown {
            let help = "Returns last SSL chain expiry in unixtime";
            self.gauge("probe_ssl_earliest_cert_expiry", help, chain.earliest_expiry);
        }
        let Some(session) = &m.tls_session else { return };
        if let Some(chain) = &shown {
            let help = "Returns last SSL chain expiry in timestamp";
            let name = "probe_ssl_last_chain_expiry_timestamp_seconds";
            self.gauge(name, help, chain.expiry);
            let labels = [
                ("fingerprint_sha256", chain.fingerprint.as_str()),
                ("issuer", &chain.issuer),
                ("serialnumber", &chain.serial),
                ("subject", &chain.subject),
                ("subjectalternative", &chain.names),
            ];
            let help = "Contains SSL leaf certificate information";
            self.info("probe_ssl_last_chain_info", help, &labels);
        }
        let help = "Returns the TLS cipher negotiated during handshake";
        self.info("probe_tls_cipher_info", help, &[("cipher", &session.cipher)]);
        let help = "Returns the TLS version used or NaN when unknown";
        let version = format!("TLS {}", session.version);
        self.info("probe_tls_version_info", help, &[("version", &version)]);
    }

    /// What blackbox_exporter does not tell: why, and what the kernel saw.
    pub(super) fn more(&mut self, failure: Option<&Failure>, last: Option<&Measurement>) {
        if let Some(failure) = failure {
            self.failed(failure.stage.as_str(), failure.kind);
        }
        if let Some(info) = last.and_then(|m| m.transport.last()) {
            if let Some(rtt) = info.min_rtt {
                let help = "Shortest round trip the kernel saw on the connection";
                self.gauge("probe_tcp_min_rtt_seconds", help, rtt.as_secs_f64());
            }
            let help = "Segments the kernel sent again on the connection";
            self.gauge("probe_tcp_retransmits", help, info.retransmits);
        }
    }

    pub(super) fn failed(&mut self, stage: &str, kind: &str) {
        let help = "Where and how the probe failed (W3C Network Error Logging)";
        self.info("probe_failure_info", help, &[("stage", stage), ("type", kind)]);
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
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
