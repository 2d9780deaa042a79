//! Where strangers' bytes come in, as functions of the bytes: the fuzz targets in `fuzz/` call them,
//! and the tests run their seeds. Not for use.

use hickory_proto::rr::{Name, RecordType};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant};
use url::Url;

use crate::measure::http::{self, Version};
use crate::measure::socket::Socket;

pub use crate::agent::fuzzing::{config, spool};

/// A datagram that a resolver sent, read as the answer to each of two questions.
pub fn dns(bytes: &[u8]) {
    let Ok(name) = Name::from_ascii("www.example.test.") else { return };
    // The id is the reader's own: a fuzzer should not have to guess it.
    let id = bytes.get(..2).map_or(0, |id| u16::from_be_bytes([id[0], id[1]]));
    for kind in [RecordType::A, RecordType::AAAA] {
        let _ = crate::measure::dns::answer(bytes, id, &name, kind);
    }
}

/// What a server sends after it has read a request; the first byte says over which version.
pub fn http(bytes: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    // What goes wrong with our own sockets is no finding.
    let _ = runtime.block_on(exchange(bytes));
}

/// An answer that is not over by then would have been waited for to the timeout.
const PATIENCE: Duration = Duration::from_millis(200);

async fn exchange(bytes: &[u8]) -> std::io::Result<()> {
    let Some((first, answer)) = bytes.split_first() else { return Ok(()) };
    let version = if first % 2 == 0 { Version::Http1 } else { Version::Http2 };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (mut server, _) = listener.accept().await?;
    server.write_all(answer).await?;
    server.shutdown().await?;
    let Ok(url) = Url::parse("http://www.example.test/") else { return Ok(()) };
    let Ok(request) = http::request(&url, version, &[]) else { return Ok(()) };
    let socket = Socket::new(client, std::time::Instant::now());
    let (log, deadline) = (socket.log(), Instant::now() + PATIENCE);
    if let Ok(answer) = http::get(socket, log, version, request, deadline).await {
        let _ = answer.read_body(1 << 20, deadline).await;
    }
    Ok(())
}
