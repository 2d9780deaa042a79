//! Answers that would never end, or would fill the memory, of servers that mean no good.

use std::time::{Duration, Instant};

use model::ErrorStage;
use probe::Options;
use probe::failure::kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{LONG, failure, options, prober, read_head, serve, url};

/// Measures a server that sends this head and then `piece` again and again until the probe goes away.
async fn measure(
    head: &'static str,
    piece: Vec<u8>,
    pause: Duration,
    options: Options,
) -> probe::Measurement {
    let address = serve(move |mut stream| {
        let piece = piece.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(&piece).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
    })
    .await;
    let start = Instant::now();
    let m = prober(options).measure(&url(&format!("http://{address}/"))).await;
    assert!(start.elapsed() < LONG, "{m:?}");
    m
}

#[tokio::test]
async fn endless_headers_are_refused_at_a_bound() {
    for piece in ["X-More: again\r\n", "X"] {
        let m =
            measure("HTTP/1.1 200 OK\r\n", piece.repeat(1_000).into(), Duration::ZERO, options())
                .await;
        assert_eq!(failure(&m), Some((ErrorStage::Parse, kind::HTTP_RESPONSE_INVALID)), "{m:?}");
    }
}

#[tokio::test]
async fn an_endless_body_is_left_at_the_limit_compressed_or_not() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        // What is packed is counted as it comes and never unpacked.
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
    ] {
        let m = measure(head, vec![0; 64 << 10], Duration::ZERO, options()).await;
        assert_eq!(failure(&m), None, "{m:?}");
        let bytes = m.body_bytes.unwrap();
        assert!(!m.body_complete && (1 << 20..2 << 20).contains(&bytes), "{bytes}");
    }
}

#[tokio::test]
async fn a_trickle_ends_with_the_timeout() {
    let short = || Options { timeout: Duration::from_millis(400), ..options() };
    let minute = Duration::from_secs(60);
    let m = measure("HTTP/1.1 200 OK\r\n", b"X".to_vec(), minute, short()).await;
    assert_eq!(failure(&m), Some((ErrorStage::Http, kind::HTTP_TIMED_OUT)), "{m:?}");
    let m = measure("HTTP/1.1 200 OK\r\n\r\n", b"x".to_vec(), minute, short()).await;
    assert_eq!(failure(&m), Some((ErrorStage::Http, kind::BODY_TIMED_OUT)), "{m:?}");
}

#[tokio::test]
async fn interim_answers_without_end_are_no_answer() {
    let more = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    let options = Options { timeout: Duration::from_secs(1), ..options() };
    let m = measure("", more, Duration::ZERO, options).await;
    let (stage, kind) = failure(&m).unwrap();
    assert!(matches!(stage, ErrorStage::Http | ErrorStage::Parse), "{m:?}");
    assert!(matches!(kind, kind::HTTP_TIMED_OUT | kind::HTTP_RESPONSE_INVALID), "{m:?}");
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_waited_for_no_longer_than_told() {
    let address = serve(|mut stream| async move {
        let _ = stream.read_u8().await;
        std::future::pending::<()>().await;
    })
    .await;
    let options = Options { timeout: Duration::from_millis(400), ..options() };
    let m = prober(options).measure(&url(&format!("http://{address}/"))).await;
    assert_eq!(failure(&m), Some((ErrorStage::Http, kind::HTTP_TIMED_OUT)));
}
