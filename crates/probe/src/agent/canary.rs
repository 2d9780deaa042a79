//! What the probe looks at to know whether it is well itself. It asks nothing of anybody while
//! measurements go well; where one fails, all targets share what one look found.

use std::fs;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::{self, Instant};
use url::Host;

use super::trouble::{Elapsed, Seen, Trouble, troubles};
use crate::Measurement;
use crate::identity;
use crate::measure::resolve::Resolver;

/// How long what was found is good for.
const FRESH: Duration = Duration::from_secs(1);
/// How long a name server has to say anything.
const RESOLVER: Duration = Duration::from_secs(1);
/// How long a gateway has to answer or refuse.
const GATEWAY: Duration = Duration::from_millis(300);
/// How often it is looked whether the program gets to run, while it measures.
const TICK: Duration = Duration::from_millis(100);
/// A port at which nobody listens on a gateway; a refusal is an answer.
const PORT: u16 = 53;

/// Watches the probe itself, for all its targets.
#[derive(Debug)]
pub(super) struct Canary {
    resolver: Resolver,
    named: Option<SocketAddr>,
    network: Mutex<Option<(Instant, Network)>>,
    answers: Mutex<Option<(Instant, bool)>>,
}

/// What the network of this machine looks like.
#[derive(Clone, Copy, Debug)]
struct Network {
    routed: bool,
    gateway: Option<bool>,
    loopback: Option<bool>,
}

impl Canary {
    /// For measurements that ask this name server, or the system's.
    pub(super) fn new(named: Option<SocketAddr>) -> Self {
        let resolver = Resolver::new(named);
        Self { resolver, named, network: Mutex::default(), answers: Mutex::default() }
    }

    /// Begins to watch over one measurement and what goes with it.
    pub(super) fn vigil(&self) -> Vigil<'_> {
        Vigil { canary: self, began: Clocks::now() }
    }

    /// Looks at what may be behind a failure.
    async fn look(&self, m: &Measurement) -> Seen {
        let Some(failure) = &m.failure else { return Seen::default() };
        let unanswered = failure.stage == model::ErrorStage::Dns && m.dns_server.is_none();
        let remote = m.remote_addr.map(|address| address.ip());
        // Where nothing was connected to yet, the name server is what is to be reached.
        let towards = remote.or(self.named.map(|server| server.ip()));
        let beyond = towards.is_none_or(|ip| !ip.is_loopback());
        let network = self.network().await;
        let routed = match towards {
            Some(ip) => identity::is_routed(ip),
            None => network.routed,
        };
        let uplink = if routed { network.gateway } else { Some(false) };
        let resolver = if unanswered { Some(self.resolver_answers().await) } else { None };
        let loopback = network.loopback;
        Seen { failed: true, beyond, unanswered, uplink, loopback, resolver, ..Seen::default() }
    }

    async fn network(&self) -> Network {
        let mut kept = self.network.lock().await;
        match *kept {
            Some((at, network)) if at.elapsed() < FRESH => network,
            _ => {
                let (gateway, loopback) = tokio::join!(gateway(), loopback());
                let routed = identity::has_a_route();
                let network = Network { routed, gateway, loopback };
                *kept = Some((Instant::now(), network));
                network
            }
        }
    }

    /// Whether the name server says anything of the root, which each of them knows.
    async fn resolver_answers(&self) -> bool {
        let mut kept = self.answers.lock().await;
        match *kept {
            Some((at, answers)) if at.elapsed() < FRESH => answers,
            _ => {
                let plan = self.resolver.plan(&Host::Domain("."));
                let answers = plan.run(Instant::now() + RESOLVER).await.server.is_some();
                *kept = Some((Instant::now(), answers));
                answers
            }
        }
    }
}

/// The watch over one measurement.
pub(super) struct Vigil<'a> {
    canary: &'a Canary,
    began: Clocks,
}

impl Vigil<'_> {
    /// Has something measured, and says by how much the program was late at most meanwhile.
    pub(super) async fn beside<T>(&self, measuring: impl Future<Output = T>) -> (T, Duration) {
        beside_ticks(measuring).await
    }

    /// What was wrong with the probe, from the beginning until now.
    pub(super) async fn troubles(self, all: &[Measurement], stall: Duration) -> Vec<Trouble> {
        let elapsed = self.began.elapsed();
        let looked = match all.iter().find(|m| m.failure.is_some()) {
            Some(failed) => self.canary.look(failed).await,
            None => Seen::default(),
        };
        let shortest = all.iter().flat_map(spans).min().unwrap_or_default();
        troubles(&Seen { stall, shortest, elapsed, ..looked })
    }
}

/// The times that a measurement tells, and that a stall lengthens: echoes have the kernel's stamps.
fn spans(m: &Measurement) -> impl Iterator<Item = Duration> {
    std::iter::once(m.elapsed).chain(m.throughput.map(|throughput| throughput.duration))
}

/// Runs something, and says by how much the program was late at most.
async fn beside_ticks<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let mut latest = Duration::ZERO;
    let mut due = Instant::now() + TICK;
    tokio::pin!(work);
    loop {
        tokio::select! {
            // Where both are ready, it matters how late it is.
            biased;
            () = time::sleep_until(due) => {
                latest = latest.max(due.elapsed());
                due = Instant::now() + TICK;
            }
            done = &mut work => return (done, latest),
        }
    }
}

/// The clocks at one moment.
struct Clocks {
    awake: Option<Duration>,
    real: Option<Duration>,
    wall_ms: i64,
}

impl Clocks {
    fn now() -> Self {
        let read = |clock| clock_gettime(clock).ok().map(Duration::from);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            awake: read(ClockId::CLOCK_MONOTONIC),
            real: read(ClockId::CLOCK_BOOTTIME),
            wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn elapsed(&self) -> Elapsed {
        let now = Self::now();
        let since =
            |now: Option<Duration>, then: Option<Duration>| Some(now?.saturating_sub(then?));
        Elapsed {
            awake: since(now.awake, self.awake).unwrap_or_default(),
            real: since(now.real, self.real),
            wall_ms: now.wall_ms.saturating_sub(self.wall_ms),
        }
    }
}

/// Whether this machine reaches itself over TCP.
async fn loopback() -> Option<bool> {
    let reach = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        TcpStream::connect(listener.local_addr()?).await
    };
    match time::timeout(GATEWAY, reach).await {
        Ok(reached) => Some(reached.is_ok()),
        Err(_) => None,
    }
}

/// Whether the way out is there: the interface of the default route is up, and its gateway
/// answers or at least has an address on the link. `None` where that can't be told. The tables are
/// this process' own: a service that sees processes alone (`ProcSubset=pid`) has no `/proc/net`.
async fn gateway() -> Option<bool> {
    let routes = fs::read_to_string("/proc/self/net/route").ok()?;
    let (interface, gateway) = default_route(&routes)?;
    let state = fs::read_to_string(format!("/sys/class/net/{interface}/operstate"));
    if matches!(state.as_deref().map(str::trim), Ok("down" | "lowerlayerdown" | "notpresent")) {
        return Some(false);
    }
    // A default route without a gateway leads onto the link itself.
    let gateway = gateway?;
    let connecting = TcpStream::connect((IpAddr::from(gateway), PORT));
    match time::timeout(GATEWAY, connecting).await {
        Ok(outcome) => answered(outcome.map(drop)),
        Err(_) => {
            let table = fs::read_to_string("/proc/self/net/arp").ok()?;
            // A neighbour that is known may still be gone; one that can't be found is.
            neighbour(&table, gateway).filter(|known| !known)
        }
    }
}

/// What the end of a connect says of the other side's being there.
fn answered(outcome: io::Result<()>) -> Option<bool> {
    match outcome.map_err(|error| error.kind()) {
        Ok(()) | Err(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => Some(true),
        Err(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => Some(false),
        Err(_) => None,
    }
}

/// The interface of the default route of `/proc/net/route`, and its gateway.
fn default_route(table: &str) -> Option<(&str, Option<Ipv4Addr>)> {
    const UP: u32 = 1;
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, _, mask, ..] = columns[..] else {
            return None;
        };
        let number = |text| u32::from_str_radix(text, 16).ok();
        let everywhere = number(destination)? == 0 && number(mask)? == 0;
        if !everywhere || number(flags)? & UP == 0 {
            return None;
        }
        // As it lies in memory.
        let gateway = Ipv4Addr::from(number(gateway)?.to_ne_bytes());
        Some((interface, (!gateway.is_unspecified()).then_some(gateway)))
    })
}

/// Whether `/proc/net/arp` has an address on the link for a neighbour.
fn neighbour(table: &str, of: Ipv4Addr) -> Option<bool> {
    const COMPLETE: u32 = 2;
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, ..] = columns[..] else { return None };
        let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
        (address.parse() == Ok(of)).then_some(flags & COMPLETE != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_is_found_among_others() {
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let link = "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        let down = "eth1 00000000 010200C0 0002 0 0 0 00000000 0 0 0\n";
        let out = "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n";
        let tunnel = "tun0 00000000 00000000 0001 0 0 0 00000000 0 0 0\n";
        let found = |lines: &[&str]| {
            let table = [&[head], lines].concat().concat();
            default_route(&table).map(|(interface, gateway)| (interface.to_owned(), gateway))
        };
        assert_eq!(found(&[link, down, out]), Some(("eth0".to_owned(), Some(GATE))));
        assert_eq!(found(&[tunnel]), Some(("tun0".to_owned(), None)));
        assert_eq!(found(&[link, down, "half a line\n"]), None);
    }

    #[test]
    fn a_neighbour_is_there_gone_or_not_known() {
        let table = |flags: &str| {
            format!(
                "IP address HW type Flags HW address Mask Device\n\
                 192.0.2.9 0x1 0x2 02:fc:00:00:00:09 * eth0\n\
                 192.0.2.1 0x1 {flags} 02:fc:00:00:00:05 * eth0\n"
            )
        };
        assert_eq!(neighbour(&table("0x2"), GATE), Some(true));
        assert_eq!(neighbour(&table("0x0"), GATE), Some(false));
        assert_eq!(neighbour(&table("x"), GATE), None);
        assert_eq!(neighbour("", GATE), None);
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let of = |kind: ErrorKind| answered(Err(kind.into()));
        assert_eq!((answered(Ok(())), of(ErrorKind::ConnectionRefused)), (Some(true), Some(true)));
        assert_eq!(of(ErrorKind::HostUnreachable), Some(false));
        assert_eq!(of(ErrorKind::PermissionDenied), None);
    }

    #[tokio::test]
    async fn a_program_that_does_not_get_to_run_knows() {
        let blocked = async {
            // Lets the ticks begin, then holds the thread.
            tokio::task::yield_now().await;
            std::thread::sleep(TICK * 5);
            time::sleep(TICK / 2).await;
        };
        let ((), late) = beside_ticks(blocked).await;
        assert!(late >= TICK * 3, "{late:?}");
    }
}
