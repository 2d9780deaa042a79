//! What a certificate says to a person.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::failure::{Failure, kind};
use crate::measurement::Certificate;

/// Reads what is worth telling. `None` where it is no certificate.
pub(super) fn read(shown: &Vec<CertificateDer<'static>>) -> Option<Certificate> {
    let (_, parsed) = X509Certificate::from_der(shown.first()?).ok()?;
    let validity = parsed.validity();
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|ext| &ext.value.general_names);
    Some(Certificate {
        starts_ms: validity.not_before.timestamp().saturating_mul(1_000),
        expires_ms: validity.not_after.timestamp().saturating_mul(1_000),
        names: names.filter_map(name).collect(),
        issuer: printable(&parsed.issuer().to_string()),
        self_issued: parsed.issuer() == parsed.subject(),
        shown: shown.iter().map(|der| der.to_vec()).collect(),
    })
}

/// Says in the failure what the certificate has to do with it.
pub(super) fn explain(failure: &mut Failure, certificate: Option<&Certificate>, now_ms: i64) {
    let Some(certificate) = certificate else { return };
    match failure.kind {
        // A certificate that vouches for itself may be refused for not being fit to, but the
        // reason is that nobody who is trusted has issued it.
        kind::TLS_CERT_INVALID | kind::TLS_CERT_AUTHORITY_INVALID if certificate.self_issued => {
            failure.kind = kind::TLS_CERT_AUTHORITY_INVALID;
            failure.detail = "the certificate is self-signed".to_owned();
        }
        kind::TLS_CERT_AUTHORITY_INVALID => {
            let issuer = &certificate.issuer;
            failure.detail = format!("the certificate is from an unknown issuer, {issuer}");
        }
        kind::TLS_CERT_NAME_INVALID => {
            failure.detail = match certificate.names.as_slice() {
                [] => "the certificate is for no name".to_owned(),
                names if names.len() <= TOLD_NAMES => {
                    format!("the certificate is for {}", names.join(", "))
                }
                names => format!(
                    "the certificate is for {} and {} more",
                    names[..TOLD_NAMES].join(", "),
                    names.len() - TOLD_NAMES
                ),
            };
        }
        kind::TLS_CERT_DATE_INVALID if now_ms > certificate.expires_ms => {
            let since = span(now_ms - certificate.expires_ms);
            failure.detail = format!("the certificate expired {since} ago");
        }
        kind::TLS_CERT_DATE_INVALID if now_ms < certificate.starts_ms => {
            let until = span(certificate.starts_ms - now_ms);
            failure.detail = format!("the certificate is not valid for another {until}");
        }
        _ => {}
    }
}

/// Names that are told of a certificate that is for others.
const TOLD_NAMES: usize = 4;

fn span(ms: i64) -> String {
    const HOUR: i64 = 3_600_000;
    match ms / (24 * HOUR) {
        0 => format!("{} h", ms / HOUR),
        days => format!("{days} d"),
    }
}

/// What a stranger wrote, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn name(general: &GeneralName<'_>) -> Option<String> {
    match general {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ErrorStage;

    const DAY: i64 = 86_400_000;

    fn explained(kind: &'static str, certificate: &Certificate) -> Failure {
        let mut failure = Failure::new(ErrorStage::Tls, kind, "as rustls says it");
        explain(&mut failure, Some(certificate), 100 * DAY);
        failure
    }

    #[test]
    fn the_reason_is_told_in_terms_of_the_certificate() {
        let certificate = Certificate {
            starts_ms: 10 * DAY,
            expires_ms: 97 * DAY,
            names: ["a.test", "b.test", "c.test", "d.test", "e.test"].map(String::from).to_vec(),
            issuer: "CN=Nobody".to_owned(),
            self_issued: false,
            shown: Vec::new(),
        };
        let detail = |kind| explained(kind, &certificate).detail;
        assert_eq!(detail(kind::TLS_CERT_DATE_INVALID), "the certificate expired 3 d ago");
        assert_eq!(
            detail(kind::TLS_CERT_NAME_INVALID),
            "the certificate is for a.test, b.test, c.test, d.test and 1 more"
        );
        assert!(detail(kind::TLS_CERT_AUTHORITY_INVALID).ends_with("issuer, CN=Nobody"));
        assert_eq!(detail(kind::TLS_PROTOCOL_ERROR), "as rustls says it");

        let own = Certificate { self_issued: true, ..certificate.clone() };
        assert_eq!(explained(kind::TLS_CERT_INVALID, &own).kind, kind::TLS_CERT_AUTHORITY_INVALID);
        let early = Certificate { starts_ms: 101 * DAY, expires_ms: 200 * DAY, ..certificate };
        assert!(explained(kind::TLS_CERT_DATE_INVALID, &early).detail.contains("another 1 d"));
    }

    #[test]
    fn nothing_a_stranger_wrote_steers_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mb"), "a\u{fffd}[31mb");
    }
}
