//! Servers that answer what no server should.

use std::time::{Duration, Instant};

use model::ErrorStage;
use probe::failure::kind;
use probe::{Measurement, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{LONG, check, failure, options, prober, read_head, serve, url};

/// Measures a server that reads one request and then sends these bytes and closes.
async fn measure_answer(answer: &'static str) -> Measurement {
    measure_answer_with(answer, options()).await
}

async fn measure_answer_with(answer: &'static str, options: Options) -> Measurement {
    let address = serve(move |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    prober(options).measure(&url(&format!("http://{address}/"))).await
}

#[tokio::test]
async fn answers_that_are_none_are_charged_to_http_by_kind() {
    use ErrorStage::{Http, Parse};
    for (answer, expected) in [
        ("", (Http, kind::HTTP_RESPONSE_EMPTY)),
        ("SSH-2.0-OpenSSH_9.2\r\n", (Parse, kind::HTTP_RESPONSE_INVALID)),
        ("HTTP/1.1 200 OK\r\nContent-Le", (Http, kind::HTTP_RESPONSE_INVALID)),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", (Parse, kind::HTTP_RESPONSE_INVALID)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", (Http, kind::BODY_TRUNCATED)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            (Http, kind::BODY_TRUNCATED),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            (Parse, kind::HTTP_RESPONSE_INVALID),
        ),
    ] {
        let m = measure_answer(answer).await;
        assert_eq!(failure(&m), Some(expected), "{answer:?}: {:?}", m.failure);
        assert_eq!(m.total, None, "{answer:?}");
    }
}

#[tokio::test]
async fn a_plain_http_measurement_has_no_dns_and_no_tls() {
    let m = measure_answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(failure(&m), None);
    assert_eq!((m.dns, m.tls, m.dns_server), (None, None, None));
    assert_eq!((m.status, m.http_version), (Some(200), Some("1.1")));
    assert_eq!((m.body_bytes, m.body_complete), (Some(2), true));
    assert!(m.tls_session.is_none() && m.certificate.is_none() && m.throughput.is_none());
    let event = serde_json::to_value(m.to_event(&probe::Identity::named("p"))).unwrap();
    assert!(event["timings"].get("dns_ms").is_none() && event["timings"].get("tls_ms").is_none());
    assert!(event["timings"]["total_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(event, serde_json::to_value(m.to_event(&probe::Identity::named("p"))).unwrap());
}

#[tokio::test]
async fn a_status_is_an_error_from_400_and_a_redirect_is_not_followed() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let m = measure_answer(moved).await;
    assert_eq!((failure(&m), m.status), (None, Some(302)));
    for (status, answer) in [
        (404, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
        (503, "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let m = measure_answer(answer).await;
        assert_eq!(failure(&m), Some((ErrorStage::Http, kind::HTTP_ERROR)));
        assert_eq!(m.status, Some(status));
        assert!(m.ttfb.is_some() && m.total.is_some(), "it was measured all the same");
        assert_eq!(m.failure.unwrap().exit_code(), 22);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_left_there() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    let m = measure_answer_with(answer, Options { max_body: 4, ..options() }).await;
    assert_eq!(failure(&m), None);
    assert!(!m.body_complete);
}

#[tokio::test]
async fn a_half_closed_host_is_told_as_closed_not_as_slow() {
    let address = serve(|mut stream| async move {
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let plain = prober(options()).measure(&url(&format!("http://{address}/"))).await;
    assert_eq!(failure(&plain), Some((ErrorStage::Http, kind::HTTP_RESPONSE_EMPTY)));
    assert_eq!(plain.failure.unwrap().exit_code(), 52);
    let secure = prober(options()).measure(&url(&format!("https://{address}/"))).await;
    assert_eq!(failure(&secure), Some((ErrorStage::Tls, kind::TCP_CLOSED)));
    assert_eq!(secure.failure.unwrap().exit_code(), 35);
}

#[tokio::test]
async fn a_reset_is_charged_to_the_stage_it_came_in() {
    let address = serve(|mut stream| async move {
        let _ = stream.read_u8().await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    for (scheme, stage) in [("http", ErrorStage::Http), ("https", ErrorStage::Tls)] {
        let m = prober(options()).measure(&url(&format!("{scheme}://{address}/"))).await;
        assert_eq!(failure(&m), Some((stage, kind::TCP_RESET)), "{:?}", m.failure);
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told_as_such() {
    let address = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let m = prober(options()).measure(&url(&format!("https://{address}/"))).await;
    assert_eq!(failure(&m), Some((ErrorStage::Tls, kind::TLS_PROTOCOL_ERROR)));
    assert!(m.tcp.is_some(), "TCP had completed");
}

#[tokio::test]
async fn silence_ends_with_the_timeout_in_the_stage_it_is_in() {
    let timeout = Duration::from_millis(150);
    let silent = serve(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let stalling = serve(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nst").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for (target, stage, kind) in [
        (format!("http://{silent}/"), ErrorStage::Http, kind::HTTP_TIMED_OUT),
        (format!("https://{silent}/"), ErrorStage::Tls, kind::TLS_TIMED_OUT),
        (format!("http://{stalling}/"), ErrorStage::Http, kind::BODY_TIMED_OUT),
    ] {
        for options in [
            Options { timeout, ..options() },
            Options { stage_timeout: Some(timeout), ..options() },
        ] {
            let start = Instant::now();
            let m = prober(options).measure(&url(&target)).await;
            assert_eq!(failure(&m), Some((stage, kind)), "{target}");
            assert!(start.elapsed() >= timeout && start.elapsed() < LONG);
            assert_eq!(m.failure.unwrap().exit_code(), 28);
        }
    }
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let m = prober(options()).measure(&url(&format!("http://{closed}/"))).await;
    assert_eq!(failure(&m), Some((ErrorStage::Tcp, kind::TCP_REFUSED)));
    assert_eq!(m.remote_addr, Some(closed));
    assert_eq!(m.failure.unwrap().exit_code(), 7);
}

/// Measures throughput of a server that answers its page well and the object with these bytes.
async fn measure_object(answer: &'static str, timeout: Duration) -> Measurement {
    let address = serve(move |mut stream| async move {
        let head = read_head(&mut stream).await;
        if head.starts_with("GET /fixed/1mb.bin?rand=") {
            assert!(head.to_lowercase().contains("cache-control: no-cache"), "{head}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.contains("stall") {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        } else {
            let page = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(page.as_bytes()).await.unwrap();
        }
    })
    .await;
    let options = Options { throughput: true, throughput_timeout: timeout, ..options() };
    prober(options).measure(&url(&format!("http://{address}/page"))).await
}

#[tokio::test]
async fn a_target_without_the_object_has_no_throughput_and_no_error() {
    for answer in [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>",
    ] {
        let m = measure_object(answer, LONG).await;
        assert_eq!(failure(&m), None);
        assert!(m.throughput.is_none() && m.throughput_failure.is_none(), "{answer}: {m:?}");
    }
}

#[tokio::test]
async fn a_throughput_failure_keeps_the_timings() {
    use ErrorStage::{Throughput, ThroughputTimeout};
    let short = Duration::from_millis(150);
    for (answer, limit, expected) in [
        ("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", LONG, (Throughput, kind::HTTP_ERROR)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\nshort",
            LONG,
            (Throughput, kind::BODY_TRUNCATED),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\nstall",
            short,
            (ThroughputTimeout, kind::BODY_TIMED_OUT),
        ),
        ("", LONG, (Throughput, kind::HTTP_RESPONSE_EMPTY)),
    ] {
        let m = measure_object(answer, limit).await;
        check(&m);
        assert_eq!(m.failure, None);
        let failed = m.throughput_failure.as_ref().unwrap();
        assert_eq!((failed.stage, failed.kind), expected, "{answer}");
        let event = m.to_event(&probe::Identity::named("p"));
        assert_eq!(event.error_stage, Some(expected.0));
        assert!(event.timings.http_ttfb_ms.is_some() && event.timings.total_ms.is_some());
        let partial = m.throughput.filter(|t| !t.complete);
        assert_eq!(partial.is_some(), expected.0 == ThroughputTimeout, "{answer}");
    }
}
