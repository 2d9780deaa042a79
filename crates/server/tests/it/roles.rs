//! Everything on one port, from start to end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::detect::Topology;
use server::clock::now_ms;
use server::roles::{AllInOne, LOCAL_INGEST_TOKEN, LOCAL_READ_TOKEN, all_in_one};
use server::store::Reader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::ALWAYS;

struct Role {
    addr: std::net::SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

async fn start(dir: PathBuf, client_id: &str) -> Role {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let local_client_id = client_id.to_owned();
    let cfg = AllInOne {
        data_dir: dir,
        listener,
        tls: None,
        local: None,
        local_client_id,
        alerts: None,
        topology: Topology::default(),
        collector: None,
    };
    Role { addr, ended: tokio::spawn(all_in_one(cfg, stop.clone())), stop }
}

impl Role {
    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.ended.await.unwrap()
    }

    async fn ask(&self, head: &str, token: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nhost: q\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn token(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap().trim().to_owned()
}

#[tokio::test]
async fn what_is_sent_is_read_back_and_outlives_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let role = start(dir.clone(), "laptop").await;
    // Answers only once it has started, tokens and all.
    let healthy = role.ask("GET /-/healthy", "none", "").await;
    assert!(healthy.starts_with("HTTP/1.1 200"), "{healthy}");
    let [send, read] = [LOCAL_INGEST_TOKEN, LOCAL_READ_TOKEN].map(|name| token(&dir, name));
    for name in [LOCAL_INGEST_TOKEN, LOCAL_READ_TOKEN] {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let event = serde_json::json!({
        "event_id": "0190c2c0-0000-7000-8000-000000000001", "client_id": "laptop",
        "ts_ms": now_ms(), "schema_version": "1.0", "target": "https://t.example/",
        "network_context": { "interface_type": "wifi", "vpn_enabled": false },
        "timings": { "dns_ms": 1, "tcp_ms": 2, "tls_ms": 3, "http_ttfb_ms": 4 },
    });
    let sent = role.ask("POST /v1/events", &send, &event.to_string()).await;
    assert!(sent.starts_with("HTTP/1.1 202"), "{sent}");
    let windows = role.ask("GET /api/v1/windows", &read, "").await;
    assert!(windows.contains("\"client_id\":\"laptop\""), "{windows}");
    let refused = role.ask("GET /api/v1/windows", &send, "").await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let nowhere = role.ask("GET /nowhere", &read, "").await;
    assert!(nowhere.starts_with("HTTP/1.1 404"), "{nowhere}");
    role.stop().await.unwrap();

    let kept = Reader::open(&dir).unwrap().summary(ALWAYS, now_ms()).unwrap();
    assert_eq!(kept[0].counts.total, 1);

    // The same tokens serve again, unless they are of another client.
    let role = start(dir.clone(), "laptop").await;
    role.ask("GET /-/healthy", "none", "").await;
    assert_eq!(
        [LOCAL_INGEST_TOKEN, LOCAL_READ_TOKEN].map(|name| token(&dir, name)),
        [send.clone(), read]
    );
    role.stop().await.unwrap();
    let role = start(dir.clone(), "another").await;
    role.ask("GET /-/healthy", "none", "").await;
    assert_ne!(token(&dir, LOCAL_INGEST_TOKEN), send);
    role.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_server_on_one_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let first = start(dir.clone(), "c").await;
    first.ask("GET /-/healthy", "none", "").await;
    let second = start(dir.clone(), "c").await;
    let refused = second.ended.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("another qoe serves"), "{refused}");
    first.stop().await.unwrap();
    let third = start(dir, "c").await;
    third.ask("GET /-/healthy", "none", "").await;
    third.stop().await.unwrap();
}
