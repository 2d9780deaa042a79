//! HTTP as bytes, so that tests can say what no client would.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for any machine; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// By lower-case name.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `code` of a problem, after a look at the rest of it.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        for key in ["type", "title", "detail"] {
            assert!(problem[key].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(to).await.unwrap(), read: Vec::new() }
    }

    /// Sends what is possible: a server that has had enough may close in between.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.send_all(bytes.as_ref()).await;
    }

    pub(crate) async fn send_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Closes the sending half.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer that is no `100 Continue`.
    pub(crate) async fn reply(&mut self) -> Reply {
        loop {
            let reply = tokio::time::timeout(DEADLINE, self.next()).await;
            let reply = reply.expect("an answer in time").expect("an answer");
            if reply.status != 100 {
                return reply;
            }
        }
    }

    /// The next head and body; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        let head_end = loop {
            if let Some(at) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read[..head_end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers: HashMap<String, String> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let body_start = head_end + 4;
        while self.read.len() < body_start + length {
            self.more().await?;
        }
        let body = self.read[body_start..body_start + length].to_vec();
        self.read.drain(..body_start + length);
        Some(Reply { status, headers, body })
    }

    /// Waits until the server has closed the connection, whatever it still says.
    pub(crate) async fn closed(&mut self) {
        let closed = async { while self.more().await.is_some() {} };
        tokio::time::timeout(DEADLINE, closed).await.expect("closed in time");
    }

    async fn more(&mut self) -> Option<usize> {
        self.stream.read_buf(&mut self.read).await.ok().filter(|&n| n > 0)
    }
}
