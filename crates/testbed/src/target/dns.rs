//! The DNS server: queries over UDP and TCP, with their faults.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::accept::{Gate, Tasks};
use super::switch::Slot;
use super::zone::{Transport, Zone};

/// How long a connection may idle between two queries.
const IDLE: Duration = Duration::from_secs(30);

/// Delayed answers at a time; a query beyond is lost, as datagrams may be.
const MAX_DELAYED: usize = 10_000;

/// Queries have no reason to be larger; what is cut off is answered as malformed.
const MAX_UDP_QUERY: usize = 4096;

/// Tries to find a port that is free for both UDP and TCP.
const PORT_TRIES: usize = 16;

/// Binds TCP and UDP on one port, which port 0 leaves to the system.
pub(super) async fn bind(addr: SocketAddr) -> io::Result<(Gate, UdpSocket)> {
    let mut tries = 1;
    loop {
        let gate = Gate::bind(addr)?;
        match UdpSocket::bind(gate.addr()).await {
            Ok(socket) => return Ok((gate, socket)),
            Err(error)
                if addr.port() == 0
                    && tries < PORT_TRIES
                    && error.kind() == io::ErrorKind::AddrInUse =>
            {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Answers datagrams for as long as the target runs.
pub(super) async fn serve_udp(socket: UdpSocket, slot: Arc<Slot>, zone: Arc<Zone>, tasks: Tasks) {
    let socket = Arc::new(socket);
    let room = Arc::new(Semaphore::new(MAX_DELAYED));
    let mut buffer = [0; MAX_UDP_QUERY];
    loop {
        let (len, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "receive a DNS query");
                continue;
            }
        };
        let fault = slot.faults().dns;
        let Some(answer) = zone.answer(&buffer[..len], fault.answer, Transport::Udp) else {
            continue;
        };
        if fault.delay_ms == 0 {
            send(&socket, &answer, client).await;
        } else if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            let socket = Arc::clone(&socket);
            tasks.spawn(async move {
                sleep(Duration::from_millis(fault.delay_ms)).await;
                send(&socket, &answer, client).await;
                drop(permit);
            });
        }
    }
}

/// Answers the queries of one connection, one after the other.
pub(super) async fn serve_tcp(mut stream: TcpStream, slot: Arc<Slot>, zone: Arc<Zone>) {
    if let Err(error) = converse(&mut stream, &slot, &zone).await {
        tracing::debug!(%error, "DNS connection");
    }
}

async fn converse(stream: &mut TcpStream, slot: &Slot, zone: &Zone) -> io::Result<()> {
    loop {
        let query = timeout(IDLE, read(stream)).await??;
        let fault = slot.faults().dns;
        let Some(answer) = zone.answer(&query, fault.answer, Transport::Tcp) else { continue };
        if fault.delay_ms > 0 {
            sleep(Duration::from_millis(fault.delay_ms)).await;
        }
        let len = u16::try_from(answer.len()).map_err(io::Error::other)?;
        // Length and message in one segment, as RFC 7766 asks.
        stream.write_all(&[&len.to_be_bytes(), answer.as_slice()].concat()).await?;
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut query = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut query).await?;
    Ok(query)
}

async fn send(socket: &UdpSocket, answer: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(answer, client).await {
        tracing::debug!(%error, %client, "send a DNS answer");
    }
}
