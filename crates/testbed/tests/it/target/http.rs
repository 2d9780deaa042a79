//! Pages, and what HTTP faults do to them.

use std::time::{Duration, Instant};

use http::Version;
use testbed::target::{FaultSet, HttpFault, Listener, Target, TargetConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{Got, connect, get, get_h2, http1, http2, in_time, request, send, tls};

const MIB: usize = 1 << 20;

async fn start() -> Target {
    Target::start(TargetConfig::default()).await.unwrap()
}

#[tokio::test]
async fn health_answers_over_every_protocol() {
    let target = start().await;
    let plain = get(target.http_addr().unwrap(), "/health").await;
    assert_eq!(
        (plain.status.as_u16(), plain.text(), plain.version),
        (200, "ok\n", Version::HTTP_11)
    );
    assert_eq!(plain.header("cache-control"), Some("no-store"));
    assert!(plain.header("server-timing").unwrap().starts_with("app;dur="));
    let slow = get(target.http_addr().unwrap(), "/slow?ms=20").await;
    let own = slow.header("server-timing").unwrap().strip_prefix("app;dur=").unwrap();
    assert!(own.parse::<f64>().unwrap() >= 20.0, "{own}");

    let h2 = get_h2(&target, "/health").await;
    assert_eq!((h2.status.as_u16(), h2.text(), h2.version), (200, "ok\n", Version::HTTP_2));

    let mut sender = http1(tls(&target, "localhost", &["http/1.1"]).await.unwrap()).await;
    let h1 =
        Got::read(in_time(sender.send_request(request("GET", "/health", ""))).await.unwrap()).await;
    assert_eq!((h1.status.as_u16(), h1.text(), h1.version), (200, "ok\n", Version::HTTP_11));
}

#[tokio::test]
async fn fixed_files_are_whole_and_always_the_same() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    let one = get(http, "/fixed/1mb.bin?rand=5f0c").await;
    assert_eq!((one.status.as_u16(), one.body.len()), (200, MIB));
    assert_eq!(one.header("content-length"), Some("1048576"));
    assert_eq!(one.header("cache-control"), Some("no-store"));

    let three = get_h2(&target, "/fixed/3mb.bin").await;
    assert_eq!(three.body, one.body.repeat(3));
    assert_eq!(three.header("content-length"), Some("3145728"));
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let target = start().await;
    let mut sender = http1(connect(target.http_addr().unwrap()).await).await;
    for (path, length) in [("/fixed/100mb.bin", "104857600"), ("/health", "3")] {
        let head =
            Got::read(in_time(sender.send_request(request("HEAD", path, ""))).await.unwrap()).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(length));
        in_time(sender.ready()).await.unwrap();
    }

    let mut sender = http2(tls(&target, "localhost", &["h2"]).await.unwrap()).await;
    let head = request("HEAD", "https://localhost/fixed/100mb.bin", "");
    let head = Got::read(in_time(sender.send_request(head)).await.unwrap()).await;
    assert_eq!((head.header("content-length"), head.body.len()), (Some("104857600"), 0));
}

#[tokio::test]
async fn status_is_as_asked() {
    let target = start().await;
    for code in [200, 204, 304, 404, 418, 503, 599] {
        let got = get(target.http_addr().unwrap(), &format!("/status/{code}")).await;
        assert_eq!(got.status.as_u16(), code);
        assert!(got.error.is_none());
    }
}

#[tokio::test]
async fn refusals_have_a_status_and_a_text() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    for (method, path, status, text) in [
        ("GET", "/nowhere", 404, "nothing at /nowhere"),
        ("GET", "/slow?ms=99999", 400, "ms is \"99999\""),
        ("DELETE", "/health", 405, "DELETE is not allowed"),
        ("GET", "/upload", 405, "POST, PUT"),
    ] {
        let got = send(http, method, path, "").await;
        assert_eq!(got.status.as_u16(), status, "{method} {path}");
        assert!(got.text().contains(text), "{method} {path}: {}", got.text());
        assert_eq!(got.header("allow").is_some(), status == 405);
    }
}

#[tokio::test]
async fn slow_takes_its_time() {
    let target = start().await;
    let start = Instant::now();
    let got = get(target.http_addr().unwrap(), "/slow?ms=120").await;
    assert_eq!(got.text(), "waited 120 ms\n");
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn slow_requests_hold_up_nobody() {
    let target = start().await;
    // On one HTTP/2 connection the server has certainly seen the slow request first.
    let mut sender = http2(tls(&target, "localhost", &["h2"]).await.unwrap()).await;
    let slow =
        tokio::spawn(sender.send_request(request("GET", "https://localhost/slow?ms=60000", "")));
    for _ in 0..20 {
        let health = in_time(sender.send_request(request("GET", "https://localhost/health", "")))
            .await
            .unwrap();
        assert_eq!(health.status(), 200);
    }
    assert!(!slow.is_finished());

    let http = target.http_addr().unwrap();
    let slow: Vec<_> = (0..50).map(|_| tokio::spawn(get(http, "/slow?ms=60000"))).collect();
    for _ in 0..20 {
        assert_eq!(get(http, "/health").await.status, 200);
    }
    assert!(slow.iter().all(|slow| !slow.is_finished()));
    target.stop().await;
}

#[tokio::test]
async fn two_hundred_connections_are_served_at_once() {
    let target = start().await;
    let mut senders = Vec::new();
    for _ in 0..200 {
        senders.push(http1(connect(target.http_addr().unwrap()).await).await);
    }
    let replies: Vec<_> = senders
        .iter_mut()
        .map(|sender| tokio::spawn(sender.send_request(request("GET", "/fixed/1mb.bin", ""))))
        .collect();
    for reply in replies {
        let got = Got::read(in_time(reply).await.unwrap().unwrap()).await;
        assert_eq!((got.status.as_u16(), got.body.len()), (200, MIB));
    }
}

#[tokio::test]
async fn a_drip_keeps_to_its_rate() {
    let target = start().await;
    let start = Instant::now();
    let got = get(target.http_addr().unwrap(), "/drip?bytes=2500&bps=80000").await;
    assert_eq!(got.body.len(), 2500);
    assert!(start.elapsed() >= Duration::from_millis(225), "{:?}", start.elapsed());
}

#[tokio::test]
async fn uploads_are_counted() {
    let target = start().await;
    for method in ["POST", "PUT"] {
        let got = send(target.http_addr().unwrap(), method, "/upload", vec![7; 3_000_000]).await;
        assert_eq!(
            (got.status.as_u16(), got.header("content-type")),
            (200, Some("application/json"))
        );
        let told: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        assert_eq!(told["bytes"], 3_000_000);
        assert!(told["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{told}");
    }
}

/// A page over HTTP/1.1, and another on the same connection.
async fn twice(target: &Target, first: &str, second: &str) -> [serde_json::Value; 2] {
    let mut sender = http1(connect(target.http_addr().unwrap()).await).await;
    let mut told = [serde_json::Value::Null, serde_json::Value::Null];
    for (told, path) in told.iter_mut().zip([first, second]) {
        let got = in_time(sender.send_request(request("GET", path, ""))).await.unwrap();
        let got = Got::read(got).await;
        assert_eq!((got.status.as_u16(), got.header("qoe-target")), (200, Some("1")));
        *told = serde_json::from_slice(&got.body).unwrap_or_default();
        in_time(sender.ready()).await.unwrap();
    }
    told
}

#[tokio::test]
async fn the_target_tells_its_side_of_the_very_connection() {
    let target = start().await;
    let [_, after] = twice(&target, "/fixed/3mb.bin", "/tcp-info").await;
    let side = &after["tcp_info"];
    assert!(side["bytes_sent"].as_u64().unwrap() > 3 * MIB as u64, "{after}");
    assert!(side["min_rtt_ms"].as_f64().unwrap() > 0.0, "{after}");
    for field in ["rtt_ms", "rttvar_ms", "delivery_rate_kbps", "busy_ms", "rwnd_limited_ms"] {
        assert!(side[field].is_number(), "{field} in {after}");
    }
    assert!(side["sndbuf_limited_ms"].is_number() && side["retrans"].is_u64(), "{after}");
    // Another connection has carried little.
    let other: serde_json::Value =
        serde_json::from_slice(&get_h2(&target, "/tcp-info").await.body).unwrap();
    assert!(other["tcp_info"]["bytes_sent"].as_u64().unwrap() < 100_000, "{other}");

    let got = send(target.http_addr().unwrap(), "POST", "/upload", vec![7; 3_000_000]).await;
    let told: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
    assert!(told["tcp_info"]["bytes_received"].as_u64().unwrap() > 3_000_000, "{told}");
}

#[tokio::test]
async fn an_upload_too_large_is_refused_before_it_is_sent() {
    let target = start().await;
    let mut stream = connect(target.http_addr().unwrap()).await;
    let head = b"POST /upload HTTP/1.1\r\nhost: target.test\r\ncontent-length: 1073741825\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = [0; 12];
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_delay_shows_on_the_next_request_of_an_open_connection() {
    let target = start().await;
    let mut sender = http1(connect(target.http_addr().unwrap()).await).await;
    Got::read(in_time(sender.send_request(request("GET", "/health", ""))).await.unwrap()).await;

    target
        .faults()
        .set(Listener::Http, HttpFault { delay_ms: 120, ..HttpFault::default() })
        .unwrap();
    let start = Instant::now();
    let response = in_time(sender.send_request(request("GET", "/health", ""))).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn each_third_response_is_held_back() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    let fault = HttpFault { delay_ms: 120, delay_every: 3, ..HttpFault::default() };
    target.faults().set(Listener::Http, fault).unwrap();
    let mut own = Vec::new();
    for _ in 0..6 {
        let got = get(http, "/health").await;
        let app = got.header("server-timing").unwrap().strip_prefix("app;dur=").unwrap();
        own.push(app.parse::<f64>().unwrap() >= 120.0);
    }
    assert_eq!(own, [false, false, true, false, false, true]);
}

#[tokio::test]
async fn a_status_stands_for_every_page() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    let fault = HttpFault { status: Some(503), ..HttpFault::default() };
    target.faults().set(Listener::Http, fault).unwrap();
    for path in ["/health", "/fixed/1mb.bin"] {
        assert_eq!(get(http, path).await.status.as_u16(), 503);
    }
}

#[tokio::test]
async fn bodies_keep_to_the_rate_limit() {
    let target = start().await;
    let http = target.http_addr().unwrap();
    // A mebibyte in a quarter of a second; 20 ms of lateness may be made up for.
    let rate_bps = Some(4 * 8 * MIB as u64);
    target.faults().set(Listener::Http, HttpFault { rate_bps, ..HttpFault::default() }).unwrap();
    let start = Instant::now();
    assert_eq!(get(http, "/fixed/1mb.bin").await.body.len(), MIB);
    assert!(start.elapsed() >= Duration::from_millis(225), "{:?}", start.elapsed());

    let start = Instant::now();
    assert_eq!(send(http, "POST", "/upload", vec![0; MIB]).await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(225), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_truncated_body_ends_short_of_its_length() {
    let target = start().await;
    for truncate_at in [0, 1, 1000, 700_000] {
        for listener in [Listener::Http, Listener::Https] {
            let fault = HttpFault { truncate_at: Some(truncate_at), ..HttpFault::default() };
            target.faults().set(listener, fault).unwrap();
        }
        let mut over_tls = http1(tls(&target, "localhost", &["http/1.1"]).await.unwrap()).await;
        let got = [
            get(target.http_addr().unwrap(), "/fixed/1mb.bin").await,
            Got::read(
                in_time(over_tls.send_request(request("GET", "/fixed/1mb.bin", ""))).await.unwrap(),
            )
            .await,
            get_h2(&target, "/fixed/1mb.bin").await,
        ];
        for got in got {
            assert_eq!((got.status.as_u16(), got.header("content-length")), (200, Some("1048576")));
            assert_eq!(got.body.len() as u64, truncate_at, "{:?}", got.version);
            assert!(got.error.is_some(), "{:?} at {truncate_at}: no error", got.version);
        }
    }
}

#[tokio::test]
async fn a_body_shorter_than_the_cut_is_whole() {
    let target = start().await;
    let fault = HttpFault { truncate_at: Some(3), ..HttpFault::default() };
    target.faults().set(Listener::Http, fault).unwrap();
    let mut sender = http1(connect(target.http_addr().unwrap()).await).await;
    for _ in 0..2 {
        let got =
            Got::read(in_time(sender.send_request(request("GET", "/health", ""))).await.unwrap())
                .await;
        assert_eq!((got.text(), got.error.is_none()), ("ok\n", true));
        in_time(sender.ready()).await.unwrap();
    }
}

#[tokio::test]
async fn listeners_have_faults_of_their_own() {
    let target = start().await;
    let fault = HttpFault { truncate_at: Some(10), ..HttpFault::default() };
    target.faults().set(Listener::Http, fault).unwrap();
    assert_eq!(get_h2(&target, "/fixed/1mb.bin").await.body.len(), MIB);
    assert_eq!(target.faults().get(Listener::Http), Some(FaultSet::from(fault)));
    assert_eq!(target.faults().get(Listener::Https), Some(FaultSet::default()));
}
