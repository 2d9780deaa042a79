//! What the tests share.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use model::ErrorStage;
use probe::{Measurement, Options, Prober};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Longer than anything here takes; what runs into it has hung.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn options() -> Options {
    Options { timeout: LONG, throughput: false, ..Options::default() }
}

pub(crate) fn prober(options: Options) -> Prober {
    Prober::new(options).unwrap()
}

pub(crate) fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// A server of whatever it makes of a connection. It ends with the test's runtime.
pub(crate) async fn serve<F>(on_connection: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(on_connection(stream));
        }
    });
    address
}

/// Reads the head of a request.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Where a measurement failed and how, after what holds for every measurement was checked.
pub(crate) fn failure(m: &Measurement) -> Option<(ErrorStage, &'static str)> {
    check(m);
    m.failure.as_ref().map(|f| (f.stage, f.kind))
}

/// Stages and the residual add up to the total, the total is no longer than the whole, nothing is zero, and
/// nothing is known of stages after the one that failed.
pub(crate) fn check(m: &Measurement) {
    let sum: Duration = m.stages().iter().filter_map(|(_, time)| *time).sum();
    if let Some(total) = m.total {
        assert!(sum <= total, "stages are longer than the whole: {m:?}");
        assert_eq!(m.residual(), Some(total - sum), "{m:?}");
        assert!(total <= m.elapsed, "{m:?}");
    }
    assert!(m.tls_local.unwrap_or_default() <= m.tls.unwrap_or_default(), "{m:?}");
    assert!(sum <= m.elapsed, "{m:?}");
    let measured = [m.tcp, m.tls, m.ttfb, m.total];
    assert!(measured.iter().flatten().all(|d| !d.is_zero()), "a zero was measured: {m:?}");
    if let Some(failed) = m.failure.as_ref().map(|f| f.stage) {
        let absent = |stage: ErrorStage, time: Option<Duration>| failed > stage || time.is_none();
        assert!(absent(ErrorStage::Dns, m.dns), "{m:?}");
        assert!(absent(ErrorStage::Tcp, m.tcp), "{m:?}");
        assert!(absent(ErrorStage::Tls, m.tls), "{m:?}");
    } else {
        assert!(m.total.is_some() && m.ttfb.is_some() && m.tcp.is_some(), "{m:?}");
    }
}
