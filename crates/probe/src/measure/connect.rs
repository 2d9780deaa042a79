//! TCP: SYN to established, timed around the system call.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use model::ErrorStage;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{self, Instant as Deadline};

use crate::failure::{Failure, kind, of_io};

/// More addresses of one name are not tried.
const MAX_ADDRESSES: usize = 6;

/// A connection and what it took to get it.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) address: SocketAddr,
    /// Of the attempt that succeeded; earlier ones show in the total only.
    pub(crate) time: Duration,
}

/// Tries addresses in order until one connects. Each gets an equal share of the time that is
/// left, so one that does not answer leaves time for the next. (Trying both families at once,
/// as browsers do, is not done: an attempt would compete with the one that is timed.)
pub(crate) async fn connect_any(
    addresses: &[SocketAddr],
    deadline: Deadline,
) -> Result<Connected, (Failure, Option<SocketAddr>)> {
    let tried = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    let mut last = (Failure::new(ErrorStage::Tcp, kind::TCP_FAILED, "no address"), None);
    for (i, &address) in tried.iter().enumerate() {
        let now = Deadline::now();
        let left = u32::try_from(tried.len() - i).unwrap_or(1);
        let share = deadline.saturating_duration_since(now) / left;
        match connect(address, now + share).await {
            Ok(connected) => return Ok(connected),
            Err(failure) => last = (failure, Some(address)),
        }
    }
    if tried.len() > 1 {
        last.0.detail = format!("{} (the last of {} addresses)", last.0.detail, tried.len());
    }
    Err(last)
}

/// One connection to one address.
pub(crate) async fn connect(address: SocketAddr, deadline: Deadline) -> Result<Connected, Failure> {
    let connecting = async {
        let socket = prepare(address)?;
        let start = Instant::now();
        let established = begin(&socket, address)?.then(|| start.elapsed());
        let stream = TcpStream::from_std(socket.into())?;
        let time = match established {
            Some(time) => time,
            None => {
                stream.writable().await?;
                let time = start.elapsed();
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                time
            }
        };
        Ok(Connected { stream, address, time })
    };
    match time::timeout_at(deadline, connecting).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => Err(of_io(ErrorStage::Tcp, &error, &format!("connect to {address}"))),
        Err(_) => Err(Failure::new(
            ErrorStage::Tcp,
            kind::TCP_TIMED_OUT,
            format!("no answer from {address}"),
        )),
    }
}

/// Orders the addresses of a name: IPv6 before IPv4 where this machine has a route to it, as
/// RFC 6724 has it, and what has no route last; within that as the resolver gave them.
pub(crate) fn order(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let mut ordered: Vec<SocketAddr> =
        addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
    if ordered.iter().any(SocketAddr::is_ipv6) && ordered.len() > 1 {
        ordered.sort_by_cached_key(|address| match (has_route(*address), address) {
            (true, SocketAddr::V6(_)) => 0,
            (true, SocketAddr::V4(_)) => 1,
            (false, _) => 2,
        });
    }
    ordered
}

/// Connecting a datagram socket sends nothing, but fails where there is no route.
fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

fn prepare(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Sends the SYN. True where the connection stands already when the call returns, which on
/// loopback is the rule: waiting on the reactor would then charge a wake-up to the network.
fn begin(socket: &Socket, address: SocketAddr) -> io::Result<bool> {
    match socket.connect(&address.into()) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(nix::libc::EINPROGRESS) => {
            Ok(socket.peer_addr().is_ok())
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Deadline {
        Deadline::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn a_refused_address_falls_back_to_the_next() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let connected = connect_any(&[closed, good], soon()).await.unwrap();
        assert_eq!(connected.address, good);
        let (failure, address) = connect_any(&[closed], soon()).await.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (ErrorStage::Tcp, kind::TCP_REFUSED));
        assert_eq!(address, Some(closed));
    }

    #[test]
    fn without_ipv6_among_them_the_resolvers_order_stands() {
        let given: Vec<IpAddr> = vec![[192, 0, 2, 2].into(), [192, 0, 2, 1].into()];
        assert_eq!(order(&given, 80)[0], ([192, 0, 2, 2], 80).into());
        let both: Vec<IpAddr> = vec![[127, 0, 0, 1].into(), "::1".parse().unwrap()];
        let first = order(&both, 80)[0];
        assert_eq!(first.is_ipv6(), has_route(([0, 0, 0, 0, 0, 0, 0, 1], 80).into()));
    }
}
