//! Why a measurement failed: the stage it was in, and a W3C Network Error Logging type.
//!
//! The two are told apart on purpose. A connection reset while the handshake runs is stage
//! `tls`, type `tcp.reset`: the stage says where, the type says what.

use std::fmt;

use model::ErrorStage;

mod classify;
pub(crate) use classify::{of_hyper, of_io};

/// One failure of one measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stage the measurement was in.
    pub stage: ErrorStage,
    /// What happened, one of the names in [`kind`].
    pub kind: &'static str,
    /// For a person: what was tried and what came back. One line.
    pub detail: String,
}

/// The types in use. Those of the W3C list stand as they are; refinements carry a known type
/// as their prefix where there is one.
pub mod kind {
    #![expect(missing_docs, reason = "the names are the meaning")]

    pub const DNS_NAME_NOT_RESOLVED: &str = "dns.name_not_resolved";
    pub const DNS_NXDOMAIN: &str = "dns.nxdomain";
    pub const DNS_SERVFAIL: &str = "dns.servfail";
    pub const DNS_TIMEOUT: &str = "dns.timeout";
    pub const DNS_UNREACHABLE: &str = "dns.unreachable";
    pub const DNS_FAILED: &str = "dns.failed";
    pub const TCP_TIMED_OUT: &str = "tcp.timed_out";
    pub const TCP_CLOSED: &str = "tcp.closed";
    pub const TCP_RESET: &str = "tcp.reset";
    pub const TCP_REFUSED: &str = "tcp.refused";
    pub const TCP_ABORTED: &str = "tcp.aborted";
    pub const TCP_ADDRESS_INVALID: &str = "tcp.address_invalid";
    pub const TCP_ADDRESS_UNREACHABLE: &str = "tcp.address_unreachable";
    pub const TCP_FAILED: &str = "tcp.failed";
    pub const TLS_VERSION_OR_CIPHER_MISMATCH: &str = "tls.version_or_cipher_mismatch";
    pub const TLS_BAD_CLIENT_AUTH_CERT: &str = "tls.bad_client_auth_cert";
    pub const TLS_CERT_NAME_INVALID: &str = "tls.cert.name_invalid";
    pub const TLS_CERT_DATE_INVALID: &str = "tls.cert.date_invalid";
    pub const TLS_CERT_AUTHORITY_INVALID: &str = "tls.cert.authority_invalid";
    pub const TLS_CERT_INVALID: &str = "tls.cert.invalid";
    pub const TLS_CERT_REVOKED: &str = "tls.cert.revoked";
    pub const TLS_PROTOCOL_ERROR: &str = "tls.protocol.error";
    pub const TLS_TIMED_OUT: &str = "tls.timed_out";
    pub const TLS_FAILED: &str = "tls.failed";
    pub const HTTP_ERROR: &str = "http.error";
    pub const HTTP_PROTOCOL_ERROR: &str = "http.protocol.error";
    pub const HTTP_RESPONSE_INVALID: &str = "http.response.invalid";
    pub const HTTP_RESPONSE_EMPTY: &str = "http.response.invalid.empty";
    pub const HTTP_REDIRECT_LOOP: &str = "http.response.redirect_loop";
    pub const HTTP_TIMED_OUT: &str = "http.timed_out";
    pub const HTTP_FAILED: &str = "http.failed";
    pub const BODY_TRUNCATED: &str = "body.truncated";
    pub const BODY_TIMED_OUT: &str = "body.timed_out";
}

impl Failure {
    /// A failure of a stage.
    pub fn new(stage: ErrorStage, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { stage, kind, detail: detail.into() }
    }

    /// The exit code curl has for this: 6 not resolved, 7 not connected, 28 out of time,
    /// 35 no handshake, 47 too many redirects, 60 certificate not accepted, 22 status of 400 or more, 52 empty
    /// answer, 18 body cut short, 8 an answer that is not HTTP, 16 broken HTTP/2, 56 anything
    /// else while receiving.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            kind::DNS_TIMEOUT
            | kind::TCP_TIMED_OUT
            | kind::TLS_TIMED_OUT
            | kind::HTTP_TIMED_OUT
            | kind::BODY_TIMED_OUT => return 28,
            kind::HTTP_ERROR => return 22,
            kind::HTTP_REDIRECT_LOOP => return 47,
            kind::HTTP_RESPONSE_EMPTY => return 52,
            kind::HTTP_RESPONSE_INVALID if self.stage == ErrorStage::Parse => return 8,
            kind::HTTP_PROTOCOL_ERROR => return 16,
            kind::BODY_TRUNCATED => return 18,
            _ => {}
        }
        match self.stage {
            ErrorStage::Dns => 6,
            ErrorStage::Tcp => 7,
            ErrorStage::Tls if self.kind.starts_with("tls.cert.") => 60,
            ErrorStage::Tls => 35,
            ErrorStage::ThroughputTimeout => 28,
            ErrorStage::Http | ErrorStage::Throughput | ErrorStage::Parse => 56,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}
