//! TCP: SYN to established, timed around the system call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::ErrorStage;
use socket2::{Domain, Protocol, Type};
use tokio::net::TcpStream;
use tokio::time::{self, Instant as Deadline};

use super::socket::Socket;
use super::{stamp, tcp_info};
use crate::failure::{Failure, kind, of_io};
use crate::identity::is_routed;
use crate::measurement::{Attempt, TcpInfo};

/// More addresses of one name are not tried.
const MAX_ADDRESSES: usize = 6;

/// An attempt that has brought nothing within this lets the next begin beside it (RFC 8305).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection and what it took to get it.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: Socket,
    pub(crate) address: SocketAddr,
    /// Of the attempt that succeeded; earlier ones show in the total only.
    pub(crate) time: Duration,
    /// The kernel's view of it.
    pub(crate) info: Option<TcpInfo>,
}

/// What trying the addresses of a name brought.
pub(crate) struct Tried {
    pub(crate) outcome: Result<Connected, Failure>,
    /// In the order in which they began.
    pub(crate) attempts: Vec<Attempt>,
}

/// Tries addresses in order until one connects: each a little after the one before, or at once where
/// that failed, as programs do that people use (RFC 8305, Happy Eyeballs). One that answers in time
/// is never competed with.
pub(crate) async fn connect_any(addresses: &[SocketAddr], deadline: Deadline) -> Tried {
    let mut waiting = addresses.iter().copied().take(MAX_ADDRESSES);
    let many = addresses.len().min(MAX_ADDRESSES);
    let began = Instant::now();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut running = FuturesUnordered::new();
    let mut last = Failure::new(ErrorStage::Tcp, kind::TCP_FAILED, "no address");
    let mut next = waiting.next();
    loop {
        if let Some(address) = next.take() {
            let nth = attempts.len();
            attempts.push(Attempt {
                address,
                started: began.elapsed(),
                time: Duration::ZERO,
                abandoned: true,
                failure: None,
            });
            running.push(async move { (nth, connect(address, deadline).await) });
        }
        let more = attempts.len() < many;
        let ended = tokio::select! {
            biased;
            Some(ended) = running.next() => Some(ended),
            () = time::sleep(ATTEMPT_DELAY), if more => None,
            else => break,
        };
        match ended {
            Some((nth, Ok(connected))) => {
                let now = began.elapsed();
                for attempt in attempts.iter_mut().filter(|attempt| attempt.abandoned) {
                    attempt.time = now.saturating_sub(attempt.started);
                }
                (attempts[nth].abandoned, attempts[nth].time) = (false, connected.time);
                return Tried { outcome: Ok(connected), attempts };
            }
            Some((nth, Err(failure))) => {
                let attempt = &mut attempts[nth];
                attempt.abandoned = false;
                attempt.time = began.elapsed().saturating_sub(attempt.started);
                attempt.failure = Some(failure.clone());
                last = failure;
            }
            None => {}
        }
        next = waiting.next();
    }
    if attempts.len() > 1 {
        last.detail = format!("{} (the last of {} addresses)", last.detail, attempts.len());
    }
    Tried { outcome: Err(last), attempts }
}

/// One connection to one address.
pub(crate) async fn connect(address: SocketAddr, deadline: Deadline) -> Result<Connected, Failure> {
    let connecting = async {
        let socket = prepare(address)?;
        let start = Instant::now();
        let established = begin(&socket, address)?.then(Instant::now);
        let stream = TcpStream::from_std(socket.into())?;
        let opened = match established {
            Some(opened) => opened,
            None => {
                stream.writable().await?;
                let opened = Instant::now();
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                opened
            }
        };
        let info = tcp_info::of(&stream);
        let time = handshake(opened.saturating_duration_since(start), info.as_ref());
        Ok(Connected { stream: Socket::new(stream, opened), address, time, info })
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

/// SYN to established. The kernel has timed the packets themselves; our clock has its own waking up
/// in it. Where a SYN was sent again the kernel leaves the sample out, and waiting is what it was.
fn handshake(clock: Duration, info: Option<&TcpInfo>) -> Duration {
    let kernel = info.filter(|info| info.retransmits == 0).and_then(|info| info.rtt);
    kernel.map_or(clock, |kernel| kernel.min(clock))
}

/// Orders the addresses of a name: IPv6 before IPv4 where this machine has a route to it, as
/// RFC 6724 has it, then the families in turn (RFC 8305), and what has no route last; within that as
/// the resolver gave them.
pub(crate) fn order(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let all = addresses.iter().map(|ip| SocketAddr::new(*ip, port));
    if addresses.len() < 2 || !addresses.iter().any(IpAddr::is_ipv6) {
        return all.collect();
    }
    let (routed, rest): (Vec<_>, Vec<_>) = all.partition(|address| is_routed(address.ip()));
    let (six, four): (Vec<_>, Vec<_>) = routed.into_iter().partition(SocketAddr::is_ipv6);
    let mut ordered = in_turn(six, four);
    ordered.extend(rest);
    ordered
}

fn in_turn<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

fn prepare(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_tcp_nodelay(true)?;
    stamp::enable(&socket);
    Ok(socket)
}

/// Sends the SYN. True where the connection stands already when the call returns, which on
/// loopback is the rule: waiting on the reactor would then charge a wake-up to the network.
fn begin(socket: &socket2::Socket, address: SocketAddr) -> io::Result<bool> {
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
    async fn a_refused_address_falls_back_to_the_next_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let tried = connect_any(&[closed, good], soon()).await;
        let connected = tried.outcome.unwrap();
        assert_eq!(connected.address, good);
        let [first, second] = tried.attempts.as_slice() else { panic!("{:?}", tried.attempts) };
        assert_eq!(first.failure.as_ref().unwrap().kind, kind::TCP_REFUSED);
        assert!(second.connected() && second.time == connected.time);
        assert!(second.started < ATTEMPT_DELAY, "{second:?}");

        let tried = connect_any(&[closed], soon()).await;
        let failure = tried.outcome.unwrap_err();
        assert_eq!((failure.stage, failure.kind), (ErrorStage::Tcp, kind::TCP_REFUSED));
        assert_eq!(tried.attempts.len(), 1);
    }

    #[tokio::test]
    async fn a_silent_address_is_overtaken_and_not_taken_for_a_failure() {
        // A listener with a full queue answers no SYN.
        let full = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let filling = std::net::TcpStream::connect(silent).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let tried = connect_any(&[silent, good], soon()).await;
        assert_eq!(tried.outcome.unwrap().address, good);
        let [first, second] = tried.attempts.as_slice() else { panic!("{:?}", tried.attempts) };
        assert!(first.abandoned && first.failure.is_none() && first.time >= ATTEMPT_DELAY);
        assert!(second.started >= ATTEMPT_DELAY && second.time < second.started);
        drop(filling);
    }

    #[test]
    fn the_kernels_figure_stands_unless_a_syn_was_sent_again() {
        let ms = Duration::from_millis;
        let info = |rtt, retransmits| TcpInfo { rtt, retransmits, ..TcpInfo::default() };
        assert_eq!(handshake(ms(9), Some(&info(Some(ms(7)), 0))), ms(7));
        assert_eq!(handshake(ms(1009), Some(&info(Some(ms(7)), 1))), ms(1009));
        assert_eq!(handshake(ms(9), Some(&info(None, 0))), ms(9));
        assert_eq!(handshake(ms(9), None), ms(9));
    }

    #[test]
    fn families_take_turns() {
        assert_eq!(in_turn(vec![1, 3], vec![2, 4, 5]), [1, 2, 3, 4, 5]);
        assert_eq!(in_turn(vec![], vec![2]), [2]);
    }

    #[test]
    fn without_ipv6_among_them_the_resolvers_order_stands() {
        let given: Vec<IpAddr> = vec![[192, 0, 2, 2].into(), [192, 0, 2, 1].into()];
        assert_eq!(order(&given, 80)[0], ([192, 0, 2, 2], 80).into());
        let both: Vec<IpAddr> = vec![[127, 0, 0, 1].into(), "::1".parse().unwrap()];
        let first = order(&both, 80)[0];
        assert_eq!(first.is_ipv6(), is_routed("::1".parse().unwrap()));
    }
}
