//! A TCP proxy on loopback whose faults can be switched while it runs: what a bad line or a dying
//! machine does to a connection, between two programs that know nothing of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// They are passed on.
    #[default]
    None,
    /// Each read is passed on so much later.
    Delay(Duration),
    /// What the server says is swallowed: it did what it was asked, and nobody hears of it.
    SwallowAnswers,
    /// Every connection is cut after so many more bytes from the client, wherever that is.
    CutAfter(usize),
    /// Every connection is closed, and new ones are as soon as they are made.
    Refuse,
}

/// A running proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    _stop: DropGuard,
}

/// Bytes read at one time.
const CHUNK: usize = 64 << 10;

impl Proxy {
    /// Listens on a free port and passes on to `to`.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let fault = Arc::new(watch::Sender::new(Fault::None));
        let stop = CancellationToken::new();
        let serving = serve(listener, to, Arc::clone(&fault));
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(serving).await });
        Ok(Self { addr, fault, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Switches the fault, for connections that are there and those to come.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn serve(listener: TcpListener, to: SocketAddr, fault: Arc<watch::Sender<Fault>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(connection(client, to, fault.subscribe()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until either side ends it or a fault does. Dropping both streams closes them.
async fn connection(client: TcpStream, to: SocketAddr, fault: watch::Receiver<Fault>) {
    if *fault.borrow() == Fault::Refuse {
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else { return };
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let mut refused = fault.clone();
    tokio::select! {
        () = pass(client_in, server_out, fault.clone(), Direction::ToServer) => {}
        () = pass(server_in, client_out, fault, Direction::ToClient) => {}
        _ = refused.wait_for(|fault| *fault == Fault::Refuse) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    direction: Direction,
) {
    let mut buffer = vec![0; CHUNK];
    let mut allowed = None;
    loop {
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return };
        let now = *fault.borrow_and_update();
        let mut bytes = &buffer[..n];
        match now {
            Fault::None | Fault::Refuse => allowed = None,
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::SwallowAnswers if direction == Direction::ToClient => continue,
            Fault::CutAfter(limit) if direction == Direction::ToServer => {
                let left: usize = allowed.unwrap_or(limit);
                bytes = &bytes[..n.min(left)];
                allowed = Some(left - bytes.len());
            }
            Fault::SwallowAnswers | Fault::CutAfter(_) => {}
        }
        if to.write_all(bytes).await.is_err() || bytes.len() < n {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        addr
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn bytes_pass_and_connections_are_cut_where_told() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(say(&mut stream, b"hello").await.unwrap(), b"hello");
        proxy.set(Fault::CutAfter(3));
        assert!(say(&mut stream, b"hello").await.is_err());
        proxy.set(Fault::None);
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(say(&mut stream, b"again").await.unwrap(), b"again");
        proxy.set(Fault::Refuse);
        assert!(say(&mut stream, b"hello").await.is_err());
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert!(say(&mut stream, b"hello").await.is_err());
    }

    #[tokio::test]
    async fn answers_are_swallowed() {
        // It answers and hangs up, so that the end is heard where the answer is not.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(b"done").await.unwrap();
            asked
        };
        let asking = async {
            proxy.set(Fault::SwallowAnswers);
            let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
            stream.write_all(b"work").await.unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let (asked, heard) = tokio::join!(answering, asking);
        assert_eq!((&asked, &heard[..]), (b"work", &b""[..]));
    }
}
