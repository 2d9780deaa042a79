//! Handshakes, and what TLS faults do to them.

use std::io;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ProtocolVersion};
use testbed::target::{Certificate, Listener, Target, TargetConfig, TlsFault};
use tokio_rustls::TlsConnector;

use super::client::{connect, get_h2, in_time, tls, tls_config};

async fn start() -> Target {
    Target::start(TargetConfig::default()).await.unwrap()
}

fn certificate_error(error: &io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Some(error),
        _ => None,
    }
}

#[tokio::test]
async fn the_certificate_is_good_for_names_and_addresses() {
    let config = TargetConfig {
        names: vec!["localhost".into(), "shop.example".into()],
        ..TargetConfig::default()
    };
    let target = Target::start(config).await.unwrap();
    for name in ["localhost", "shop.example", "127.0.0.1", "::1"] {
        tls(&target, name, &[]).await.unwrap();
    }
    let error = tls(&target, "target.test", &[]).await.unwrap_err();
    assert!(
        matches!(certificate_error(&error), Some(CertificateError::NotValidForNameContext { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn alpn_is_agreed() {
    let target = start().await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = tls(&target, "localhost", offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
}

#[tokio::test]
async fn http2_can_be_left_out() {
    let config = TargetConfig { http2: false, ..TargetConfig::default() };
    let target = Target::start(config).await.unwrap();
    let stream = tls(&target, "localhost", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_never_resumed() {
    let target = start().await;
    for (version, expected) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        // One configuration, so that a session of the first handshake could be resumed in the second.
        let config = tls_config(&target, &["http/1.1"], &[version]);
        for _ in 0..2 {
            let stream = connect(target.https_addr().unwrap()).await;
            let name = ServerName::try_from("localhost").unwrap();
            let stream =
                in_time(TlsConnector::from(config.clone()).connect(name, stream)).await.unwrap();
            let mut sender = super::client::http1(stream).await;
            let response =
                in_time(sender.send_request(super::client::request("GET", "/health", "")))
                    .await
                    .unwrap();
            assert_eq!(response.status(), 200);
            drop(response);
        }
        let stream = connect(target.https_addr().unwrap()).await;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = in_time(TlsConnector::from(config).connect(name, stream)).await.unwrap();
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(expected));
        assert_ne!(connection.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    }
}

#[tokio::test]
async fn each_bad_certificate_is_bad_in_its_own_way() {
    let target = start().await;
    let show = |certificate| {
        target
            .faults()
            .set(Listener::Https, TlsFault { certificate, ..TlsFault::default() })
            .unwrap();
        tls(&target, "localhost", &["h2"])
    };

    let error = show(Certificate::Expired).await.unwrap_err();
    assert!(
        matches!(certificate_error(&error), Some(CertificateError::ExpiredContext { .. })),
        "{error}"
    );
    let error = show(Certificate::SelfSigned).await.unwrap_err();
    assert!(matches!(certificate_error(&error), Some(CertificateError::UnknownIssuer)), "{error}");
    let error = show(Certificate::WrongHost).await.unwrap_err();
    assert!(
        matches!(certificate_error(&error), Some(CertificateError::NotValidForNameContext { .. })),
        "{error}"
    );
    show(Certificate::Good).await.unwrap();
}

#[tokio::test]
async fn a_handshake_delay_is_in_the_handshake_alone() {
    let target = start().await;
    target
        .faults()
        .set(Listener::Https, TlsFault { delay_ms: 120, ..TlsFault::default() })
        .unwrap();
    // Accepted at once: this returns before the delay begins, which is when the ClientHello is in.
    let stream = connect(target.https_addr().unwrap()).await;
    let config = tls_config(&target, &["h2"], rustls::ALL_VERSIONS);
    let start = Instant::now();
    let name = ServerName::try_from("localhost").unwrap();
    in_time(TlsConnector::from(config).connect(name, stream)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!(get_h2(&target, "/health").await.text(), "ok\n");
}
