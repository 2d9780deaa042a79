//! A client that knows as much HTTP as these tests need: one request a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::running::PATIENCE;

/// The status and body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Posts events. An error is "no whole answer": the server may or may not have taken them.
pub(crate) fn post(addr: SocketAddr, token: &str, body: &str) -> io::Result<Answer> {
    request(addr, "POST /v1/events", token, body)
}

/// Reads from the API.
pub(crate) fn get(addr: SocketAddr, path: &str, token: &str) -> io::Result<Answer> {
    request(addr, &format!("GET {path}"), token, "")
}

fn request(addr: SocketAddr, line: &str, token: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    // An answer counts from its last byte on, whatever becomes of the connection after that.
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        match stream.read(&mut chunk)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "half an answer")),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
        if let Some(answer) = std::str::from_utf8(&bytes).ok().and_then(parse) {
            return Ok(answer);
        }
    }
}

/// A whole answer, or nothing: half of one is none.
fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())?.ok()
    })?;
    (body.len() == length).then(|| Answer { status, body: body.to_owned() })
}
