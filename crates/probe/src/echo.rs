//! Echoes: small packets there and back, for loss and jitter, which no single request shows.
//!
//! ICMP where the system lets this program (a datagram socket of its own, else a raw one), UDP to a
//! server that sends it back, and where neither is to be had, TCP connections: those show a lost packet
//! as a slow one, and the result says that they were used and why.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::{self, Instant as Deadline};

use crate::measure::{connect, stamp};
use packet::Kind;

mod packet;
mod tally;

pub use tally::Echoes;
use tally::Tally;

/// By what to have packets sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// An ICMP echo request, of a socket for nothing else.
    Icmp,
    /// The same, of a socket that sees all of ICMP.
    IcmpRaw,
    /// A datagram to a server that sends it back.
    Udp,
    /// A connection: SYN to established.
    Tcp,
}

impl Method {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::IcmpRaw => "icmp_raw",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// How many, how often, and for how long to wait for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoOptions {
    /// How many, 1,000 at most.
    pub count: u16,
    /// From one to the next.
    pub interval: Duration,
    /// How long the last is waited for.
    pub patience: Duration,
    /// The port of a server that sends datagrams back; ICMP, or else TCP, where there is none.
    pub udp_port: Option<u16>,
}

impl Default for EchoOptions {
    fn default() -> Self {
        Self {
            count: 10,
            interval: Duration::from_millis(100),
            patience: Duration::from_secs(1),
            udp_port: None,
        }
    }
}

/// More are no measurement but a load.
const MOST: u16 = 1_000;

/// Sends echoes to an address, whose port only connections and datagrams have a use for.
pub async fn echo(address: SocketAddr, options: &EchoOptions) -> Echoes {
    let options = EchoOptions { count: options.count.clamp(1, MOST), ..*options };
    let mut why = None;
    let kinds: &[Method] = match options.udp_port {
        Some(_) => &[Method::Udp],
        None => &[Method::Icmp, Method::IcmpRaw],
    };
    for &method in kinds {
        let port = options.udp_port.unwrap_or(address.port());
        match open(SocketAddr::new(address.ip(), port), method) {
            Ok((socket, kind)) => {
                let echoes = send(&socket, kind, (method, why.clone()), &options).await;
                // A host that answers no ICMP at all says nothing of the path.
                if method == Method::Udp || !echoes.round_trips.is_empty() {
                    return echoes;
                }
                why = Some(format!("{}: nothing came back", method.name()));
                break;
            }
            // The first reason is the one that a person can do something about.
            Err(error) => _ = why.get_or_insert(format!("{}: {error}", method.name())),
        }
    }
    connections(address, &options, why).await
}

fn open(address: SocketAddr, method: Method) -> std::io::Result<(UdpSocket, Kind)> {
    use socket2::{Domain, Protocol, Socket, Type};
    let domain = Domain::for_address(address);
    let icmp = if address.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let (kind, protocol) = match method {
        Method::Icmp => (Type::DGRAM, icmp),
        Method::IcmpRaw => (Type::RAW, icmp),
        Method::Udp | Method::Tcp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(domain, kind.nonblocking(), Some(protocol))?;
    socket.connect(&address.into())?;
    stamp::enable(&socket);
    let framing = match method {
        Method::Udp | Method::Tcp => Kind::Datagram,
        Method::Icmp => Kind::Icmp { six: address.is_ipv6(), raw: false },
        Method::IcmpRaw => Kind::Icmp { six: address.is_ipv6(), raw: true },
    };
    // To the runtime a socket for datagrams is one, whatever they are of.
    let socket = std::net::UdpSocket::from(std::os::fd::OwnedFd::from(socket));
    Ok((UdpSocket::from_std(socket)?, framing))
}

/// One echo request by ICMP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ping {
    /// Opening the socket.
    pub(crate) setup: Duration,
    /// There and back; absent where nothing came.
    pub(crate) round_trip: Option<Duration>,
}

/// Sends one by ICMP alone, and waits for so long.
///
/// # Errors
/// The system lets this program send none; why.
pub(crate) async fn ping(address: IpAddr, patience: Duration) -> Result<Ping, String> {
    let options =
        EchoOptions { count: 1, interval: Duration::ZERO, patience, ..EchoOptions::default() };
    let mut why = None;
    for method in [Method::Icmp, Method::IcmpRaw] {
        let start = Instant::now();
        match open(SocketAddr::new(address, 0), method) {
            Ok((socket, kind)) => {
                let setup = start.elapsed();
                let echoes = send(&socket, kind, (method, None), &options).await;
                return Ok(Ping { setup, round_trip: echoes.round_trips.first().copied() });
            }
            Err(error) => _ = why.get_or_insert(format!("{}: {error}", method.name())),
        }
    }
    Err(why.unwrap_or_default())
}

async fn send(
    socket: &UdpSocket,
    kind: Kind,
    (method, why): (Method, Option<String>),
    options: &EchoOptions,
) -> Echoes {
    let nonce = rand::random();
    let start = Instant::now();
    let mut tally = Tally::new(options.count);
    let mut next = Deadline::now();
    let mut sent = 0;
    let mut buffer = [0; 2_048];
    while sent < options.count || !tally.is_complete() {
        let limit = if sent < options.count { next } else { next + options.patience };
        let receiving = socket
            .async_io(tokio::io::Interest::READABLE, || stamp::receive(socket, &mut buffer, start));
        match time::timeout_at(limit, receiving).await {
            Ok(Ok((length, at))) => {
                if let Some(number) = packet::read(kind, &buffer[..length], nonce) {
                    tally.came(number, at);
                }
            }
            // Nobody listens, or there is no way: told again for the next packet, if it is so.
            Ok(Err(_)) => {}
            Err(_) if sent < options.count => {
                let at = Instant::now();
                // What this machine could not send was lost on no path.
                if socket.send(&packet::write(kind, sent, nonce)).await.is_ok() {
                    tally.sent(sent, at);
                }
                sent += 1;
                next += options.interval;
            }
            Err(_) => break,
        }
    }
    tally.told(method, why)
}

async fn connections(address: SocketAddr, options: &EchoOptions, why: Option<String>) -> Echoes {
    let mut tally = Tally::new(options.count);
    let mut ticks = time::interval(options.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    for number in 0..options.count {
        ticks.tick().await;
        let at = Instant::now();
        tally.sent(number, at);
        let connected = connect::connect(address, Deadline::now() + options.patience).await;
        if let Ok(connected) = connected {
            tally.came(number, at + connected.time);
        }
    }
    tally.told(Method::Tcp, why)
}
