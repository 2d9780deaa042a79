//! From the errors of sockets, rustls and hyper to a stage and a type. Pure.

use std::error::Error as StdError;
use std::io;

use model::ErrorStage;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::{Failure, kind};

/// An error of a socket, or of TLS where the stream carries it.
pub(crate) fn of_io(stage: ErrorStage, error: &io::Error, doing: &str) -> Failure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return of_rustls(stage, tls);
    }
    let detail = format!("{doing}: {error}");
    Failure::new(stage, io_kind(stage, error.kind()), detail)
}

/// An error of the handshake, or of a record after it.
fn of_rustls(stage: ErrorStage, error: &TlsError) -> Failure {
    Failure::new(stage, tls_kind(error), error.to_string())
}

/// An error of HTTP. `answered`: whether any byte of a response had come; `in_body`: whether
/// its head was complete.
pub(crate) fn of_hyper(error: &hyper::Error, answered: bool, in_body: bool) -> Failure {
    let stage = ErrorStage::Http;
    if error.is_parse() {
        return Failure::new(ErrorStage::Parse, kind::HTTP_RESPONSE_INVALID, chain(error));
    }
    if let Some(io) = find::<io::Error>(error) {
        // hyper tells a body cut short, or chunks that make no sense, as I/O of these kinds.
        match io.kind() {
            io::ErrorKind::UnexpectedEof if in_body => {
                return Failure::new(stage, kind::BODY_TRUNCATED, chain(error));
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                if io.get_ref().is_none_or(|inner| !inner.is::<TlsError>()) =>
            {
                return Failure::new(ErrorStage::Parse, kind::HTTP_RESPONSE_INVALID, chain(error));
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe if !answered => {
                return Failure::new(stage, kind::HTTP_RESPONSE_EMPTY, "closed without an answer");
            }
            _ => return of_io(stage, io, if in_body { "reading the body" } else { "reading" }),
        }
    }
    let kind = match (error.is_incomplete_message() || error.is_closed(), answered, in_body) {
        (true, _, true) => kind::BODY_TRUNCATED,
        (true, false, _) => kind::HTTP_RESPONSE_EMPTY,
        (true, true, _) => kind::HTTP_RESPONSE_INVALID,
        // What is left is the framing of HTTP/2.
        (false, ..) if find_named(error, "protocol") => kind::HTTP_PROTOCOL_ERROR,
        (false, ..) => kind::HTTP_FAILED,
    };
    let detail = match kind {
        kind::HTTP_RESPONSE_EMPTY => "closed without an answer".to_owned(),
        _ => chain(error),
    };
    Failure::new(stage, kind, detail)
}

fn io_kind(stage: ErrorStage, error: io::ErrorKind) -> &'static str {
    use io::ErrorKind as E;
    match error {
        E::ConnectionRefused => kind::TCP_REFUSED,
        E::ConnectionReset => kind::TCP_RESET,
        E::ConnectionAborted => kind::TCP_ABORTED,
        E::TimedOut => kind::TCP_TIMED_OUT,
        E::UnexpectedEof | E::BrokenPipe | E::NotConnected => kind::TCP_CLOSED,
        E::HostUnreachable | E::NetworkUnreachable | E::NetworkDown | E::AddrNotAvailable => {
            kind::TCP_ADDRESS_UNREACHABLE
        }
        E::InvalidInput if stage == ErrorStage::Tcp => kind::TCP_ADDRESS_INVALID,
        _ => match stage {
            ErrorStage::Dns => kind::DNS_FAILED,
            ErrorStage::Tcp => kind::TCP_FAILED,
            ErrorStage::Tls => kind::TLS_FAILED,
            _ => kind::HTTP_FAILED,
        },
    }
}

fn tls_kind(error: &TlsError) -> &'static str {
    use AlertDescription as Alert;
    match error {
        TlsError::InvalidCertificate(reason) => certificate_kind(reason),
        TlsError::NoCertificatesPresented => kind::TLS_CERT_INVALID,
        TlsError::PeerIncompatible(_)
        | TlsError::NoApplicationProtocol
        | TlsError::AlertReceived(
            Alert::HandshakeFailure
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::NoApplicationProtocol,
        ) => kind::TLS_VERSION_OR_CIPHER_MISMATCH,
        TlsError::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => kind::TLS_BAD_CLIENT_AUTH_CERT,
        TlsError::AlertReceived(_)
        | TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::PeerMisbehaved(_)
        | TlsError::PeerSentOversizedRecord
        | TlsError::DecryptError => kind::TLS_PROTOCOL_ERROR,
        _ => kind::TLS_FAILED,
    }
}

fn certificate_kind(reason: &CertificateError) -> &'static str {
    use CertificateError as C;
    match reason {
        C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
            kind::TLS_CERT_DATE_INVALID
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => kind::TLS_CERT_NAME_INVALID,
        C::UnknownIssuer => kind::TLS_CERT_AUTHORITY_INVALID,
        C::Revoked => kind::TLS_CERT_REVOKED,
        _ => kind::TLS_CERT_INVALID,
    }
}

fn sources(error: &hyper::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |e: &&(dyn StdError + 'static)| (*e).source())
}

fn find<T: StdError + 'static>(error: &hyper::Error) -> Option<&T> {
    sources(error).find_map(|e| e.downcast_ref::<T>())
}

fn find_named(error: &hyper::Error, word: &str) -> bool {
    sources(error).any(|e| e.to_string().contains(word))
}

/// The error and what caused it, on one line.
fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    for cause in sources(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: io::ErrorKind, stage: ErrorStage) -> &'static str {
        of_io(stage, &io::Error::from(kind), "connect").kind
    }

    #[test]
    fn sockets_say_what_happened_whatever_the_stage() {
        use io::ErrorKind as E;
        assert_eq!(io(E::ConnectionRefused, ErrorStage::Tcp), kind::TCP_REFUSED);
        assert_eq!(io(E::ConnectionReset, ErrorStage::Tls), kind::TCP_RESET);
        assert_eq!(io(E::UnexpectedEof, ErrorStage::Tls), kind::TCP_CLOSED);
        assert_eq!(io(E::NetworkUnreachable, ErrorStage::Tcp), kind::TCP_ADDRESS_UNREACHABLE);
        assert_eq!(io(E::InvalidInput, ErrorStage::Tcp), kind::TCP_ADDRESS_INVALID);
        assert_eq!(io(E::PermissionDenied, ErrorStage::Tcp), kind::TCP_FAILED);
        assert_eq!(io(E::Other, ErrorStage::Tls), kind::TLS_FAILED);
        assert_eq!(io(E::Other, ErrorStage::Http), kind::HTTP_FAILED);
    }

    #[test]
    fn tls_errors_are_found_inside_those_of_the_stream() {
        let inner = TlsError::InvalidCertificate(CertificateError::Expired);
        let error = io::Error::new(io::ErrorKind::InvalidData, inner);
        let failure = of_io(ErrorStage::Tls, &error, "handshake");
        assert_eq!((failure.stage, failure.kind), (ErrorStage::Tls, kind::TLS_CERT_DATE_INVALID));
    }

    #[test]
    fn certificates_and_alerts_have_their_types() {
        let kind = |e: TlsError| of_rustls(ErrorStage::Tls, &e).kind;
        let certificate = |c| kind(TlsError::InvalidCertificate(c));
        assert_eq!(certificate(CertificateError::NotValidYet), kind::TLS_CERT_DATE_INVALID);
        assert_eq!(certificate(CertificateError::NotValidForName), kind::TLS_CERT_NAME_INVALID);
        assert_eq!(certificate(CertificateError::UnknownIssuer), kind::TLS_CERT_AUTHORITY_INVALID);
        assert_eq!(certificate(CertificateError::Revoked), kind::TLS_CERT_REVOKED);
        assert_eq!(certificate(CertificateError::BadSignature), kind::TLS_CERT_INVALID);
        let alert = |a| kind(TlsError::AlertReceived(a));
        assert_eq!(alert(AlertDescription::HandshakeFailure), kind::TLS_VERSION_OR_CIPHER_MISMATCH);
        assert_eq!(alert(AlertDescription::CertificateRequired), kind::TLS_BAD_CLIENT_AUTH_CERT);
        assert_eq!(alert(AlertDescription::DecodeError), kind::TLS_PROTOCOL_ERROR);
        assert_eq!(kind(TlsError::General("x".into())), kind::TLS_FAILED);
    }

    #[test]
    fn exit_codes_are_curls() {
        let code = |stage, kind| Failure::new(stage, kind, "").exit_code();
        for (stage, kind, expected) in [
            (ErrorStage::Dns, kind::DNS_NXDOMAIN, 6),
            (ErrorStage::Dns, kind::DNS_TIMEOUT, 28),
            (ErrorStage::Tcp, kind::TCP_REFUSED, 7),
            (ErrorStage::Tcp, kind::TCP_TIMED_OUT, 28),
            (ErrorStage::Tls, kind::TCP_RESET, 35),
            (ErrorStage::Tls, kind::TLS_PROTOCOL_ERROR, 35),
            (ErrorStage::Tls, kind::TLS_CERT_DATE_INVALID, 60),
            (ErrorStage::Tls, kind::TLS_TIMED_OUT, 28),
            (ErrorStage::Http, kind::HTTP_ERROR, 22),
            (ErrorStage::Http, kind::HTTP_RESPONSE_EMPTY, 52),
            (ErrorStage::Http, kind::HTTP_REDIRECT_LOOP, 47),
            (ErrorStage::Http, kind::TCP_RESET, 56),
            (ErrorStage::Http, kind::HTTP_TIMED_OUT, 28),
            (ErrorStage::Http, kind::BODY_TRUNCATED, 18),
            (ErrorStage::Parse, kind::HTTP_RESPONSE_INVALID, 8),
        ] {
            assert_eq!(code(stage, kind), expected, "{stage} {kind}");
        }
    }
}
