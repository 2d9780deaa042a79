//! The least of HTTP: one request of a thread that has nothing else to do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

/// No server here takes longer to answer, however busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is kept.
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
    addr: SocketAddr,
}

impl Http {
    pub(crate) fn connect(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connect to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), addr })
    }

    /// The status and the body of the answer.
    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.addr))
    }

    /// The same of a JSON body that is sent.
    pub(crate) fn post(
        &mut self,
        path: &str,
        token: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            self.addr,
            body.len()
        ))
    }

    fn ask(&mut self, request: &str) -> anyhow::Result<(u16, String)> {
        self.stream.get_mut().write_all(request.as_bytes()).context("send a request")?;
        let (mut status, mut length, mut chunked) = (None, 0, false);
        loop {
            let line = self.line()?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if status.is_none() {
                status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
            } else if let Some((name, value)) = line.split_once(':') {
                let name = name.to_ascii_lowercase();
                chunked |= name == "transfer-encoding";
                if name == "content-length" {
                    length = value.trim().parse().context("read a length")?;
                }
            }
        }
        let mut body = Vec::new();
        while chunked {
            let size = usize::from_str_radix(self.line()?.trim(), 16).context("read a chunk")?;
            self.read(size, &mut body)?;
            self.line()?;
            chunked = size > 0;
        }
        self.read(length, &mut body)?;
        let status = status.context("read a status")?;
        Ok((status, String::from_utf8(body).context("read an answer")?))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).context("read an answer")?;
        anyhow::ensure!(read > 0, "{} closed the connection", self.addr);
        Ok(line)
    }

    fn read(&mut self, bytes: usize, body: &mut Vec<u8>) -> anyhow::Result<()> {
        let from = body.len();
        body.resize(from + bytes, 0);
        self.stream.read_exact(&mut body[from..]).context("read an answer")
    }
}
