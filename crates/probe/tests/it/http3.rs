//! HTTP/3 against a QUIC server of the test's own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::ErrorStage;
use probe::Options;
use probe::failure::kind;
use quinn::crypto::rustls::QuicServerConfig;

use crate::support::{failure, options, prober, url};

/// A server that answers every request with this, and the file it is trusted by.
async fn serve(body: &'static [u8]) -> (SocketAddr, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .unwrap();
    let mut ca_file = tempfile::NamedTempFile::new().unwrap();
    ca_file.write_all(made.cert.pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config =
        quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let connection = h3_quinn::Connection::new(connection);
                let mut connection: h3::server::Connection<_, Bytes> =
                    h3::server::Connection::new(connection).await.unwrap();
                while let Ok(Some(resolver)) = connection.accept().await {
                    let (_, mut stream) = resolver.resolve_request().await.unwrap();
                    let head = http::Response::builder().header("server-timing", "app;dur=3");
                    stream.send_response(head.body(()).unwrap()).await.unwrap();
                    stream.send_data(Bytes::from_static(body)).await.unwrap();
                    stream.finish().await.unwrap();
                }
            });
        }
    });
    (address, ca_file)
}

#[tokio::test]
async fn quic_is_one_handshake_and_tells_of_its_path() {
    let (address, ca_file) = serve(b"hello over QUIC").await;
    let with = |ca_file| Options { http3: true, ca_file, ..options() };
    let target = url(&format!("https://{address}/"));
    let m = prober(with(Some(ca_file.path().to_owned()))).measure(&target).await;
    assert_eq!(m.failure, None, "{m:?}");
    assert_eq!((m.http_version, m.status, m.body_bytes), (Some("3"), Some(200), Some(15)));
    assert!(m.tcp.is_none() && m.tls.is_some() && m.ttfb.is_some() && m.body_complete, "{m:?}");
    let sum: Duration = m.stages().iter().filter_map(|(_, time)| *time).sum();
    assert_eq!(m.residual(), Some(m.total.unwrap() - sum));
    let path = m.quic.unwrap();
    assert!(path.rtt > Duration::ZERO && path.sent_packets > 0, "{path:?}");
    assert_eq!(m.tls_session.as_ref().unwrap().alpn.as_deref(), Some("h3"));
    assert_eq!(m.server_timing[0].duration, Some(Duration::from_millis(3)));
    let event = serde_json::to_value(m.to_event(&probe::Identity::named("p"))).unwrap();
    assert_eq!((&event["http_version"], event["timings"].get("tcp_ms")), (&"3".into(), None));

    let stranger = prober(with(None)).measure(&target).await;
    assert_eq!(
        failure(&stranger),
        Some((ErrorStage::Tls, kind::TLS_CERT_AUTHORITY_INVALID)),
        "{stranger:?}"
    );
}

#[tokio::test]
async fn where_nobody_speaks_quic_the_timeout_says_so() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = url(&format!("https://{}/", silent.local_addr().unwrap()));
    let options = Options { http3: true, timeout: Duration::from_millis(400), ..options() };
    let m = prober(options).measure(&target).await;
    assert_eq!(failure(&m), Some((ErrorStage::Tls, kind::TLS_TIMED_OUT)), "{m:?}");
}
