//! Which interface carries the traffic, and what the system says it is.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is known of a link. By default nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) kind: &'static str,
    pub(super) vpn: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self { kind: UNKNOWN, vpn: false }
    }
}

const UNKNOWN: &str = "unknown";

/// What is known of the interface that owns an address. Asking the system takes longer than many a
/// measurement, so an answer stands for [`KNOWN_FOR`].
pub(super) fn of_source(source: IpAddr) -> Link {
    static KNOWN: Mutex<Vec<(IpAddr, Instant, Link)>> = Mutex::new(Vec::new());
    let now = Instant::now();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(_, asked, _)| now.saturating_duration_since(*asked) < KNOWN_FOR);
    if let Some((.., link)) = known.iter().find(|(ip, ..)| *ip == source) {
        return *link;
    }
    let link = owner(source).map(|name| describe(Path::new("/sys/class/net"), &name));
    let link = link.unwrap_or_default();
    known.push((source, now, link));
    link
}

/// An address hardly ever moves to another interface.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// Addresses for documentation, which have no route of their own.
pub(super) const ANYWHERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// Whether the kernel has a route to an address. Nothing is sent.
pub(super) fn is_routed(remote: IpAddr) -> bool {
    source_towards(remote).is_some()
}

/// The name of the interface that has an address.
pub(super) fn owner(source: IpAddr) -> Option<String> {
    let owners = nix::ifaddrs::getifaddrs().ok()?;
    let owns = |address: &nix::sys::socket::SockaddrStorage| {
        address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip())) == Some(source)
            || address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())) == Some(source)
    };
    owners
        .into_iter()
        .find(|owner| owner.address.as_ref().is_some_and(owns))
        .map(|owner| owner.interface_name)
}

/// The address the kernel would send from to another, policy routes included (many VPNs are one):
/// that of a connected datagram socket. Nothing is sent. Without an address, to anywhere.
pub(super) fn source(remote: Option<IpAddr>) -> Option<IpAddr> {
    let candidates = remote.as_ref().map_or(&ANYWHERE[..], std::slice::from_ref);
    candidates.iter().find_map(|ip| source_towards(*ip))
}

fn source_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    // Any port will do; nothing is sent to it.
    socket.connect(SocketAddr::new(remote, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Hardware types of Linux (`if_arp.h`).
mod hardware {
    pub(super) const ETHERNET: u32 = 1;
    pub(super) const PPP: u32 = 512;
    pub(super) const TUNNEL: u32 = 768;
    pub(super) const TUNNEL6: u32 = 769;
    pub(super) const IPGRE: u32 = 778;
    pub(super) const IP6GRE: u32 = 823;
    /// No link layer: tun, WireGuard and their like.
    pub(super) const NONE: u32 = 65_534;
}

/// What the files of one interface under `/sys/class/net` say.
pub(super) fn describe(class_net: &Path, name: &str) -> Link {
    let dir = class_net.join(name);
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let hardware = read("type").trim().parse().unwrap_or(0);
    let uevent = read("uevent");
    let device = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or("");
    let has = |file: &str| dir.join(file).exists();
    let radio = has("wireless") || has("phy80211");
    classify(name, hardware, device, radio, has("tun_flags"))
}

fn classify(name: &str, hardware: u32, device: &str, radio: bool, tun: bool) -> Link {
    let link = |kind| Link { kind, vpn: false };
    if device == "wwan" || ["wwan", "rmnet", "ccmni"].iter().any(|p| name.starts_with(p)) {
        return link("cellular");
    }
    if radio || device == "wlan" {
        return link("wifi");
    }
    let tunnel = matches!(
        hardware,
        hardware::PPP
            | hardware::TUNNEL
            | hardware::TUNNEL6
            | hardware::IPGRE
            | hardware::IP6GRE
            | hardware::NONE
    );
    if tun || tunnel || device == "wireguard" {
        // What is under the tunnel is not told.
        return Link { kind: UNKNOWN, vpn: true };
    }
    match (hardware, device) {
        (hardware::ETHERNET, "" | "vlan") => link("ethernet"),
        // Bridges, bonds and such have ethernet's frames, but what is under them is not told.
        _ => link(UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VPN: Link = Link { kind: UNKNOWN, vpn: true };

    fn link(kind: &'static str) -> Link {
        Link { kind, vpn: false }
    }

    #[test]
    fn links_are_what_the_system_says_they_are() {
        for (name, hardware, device, radio, tun, expected) in [
            ("eth0", 1, "", false, false, link("ethernet")),
            ("eth0.7", 1, "vlan", false, false, link("ethernet")),
            ("br0", 1, "bridge", false, false, link(UNKNOWN)),
            ("wlp3s0", 1, "wlan", true, false, link("wifi")),
            ("wwan0", 65_534, "wwan", false, false, link("cellular")),
            ("wwp0s20", 1, "wwan", false, false, link("cellular")),
            ("lo", 772, "", false, false, link(UNKNOWN)),
            ("wg0", 65_534, "wireguard", false, false, VPN),
            ("tun0", 65_534, "", false, true, VPN),
            ("tap0", 1, "", false, true, VPN),
            ("ppp0", 512, "ppp", false, false, VPN),
            ("gone", 0, "", false, false, link(UNKNOWN)),
        ] {
            assert_eq!(classify(name, hardware, device, radio, tun), expected, "{name}");
        }
    }

    #[test]
    fn the_files_of_an_interface_are_read() {
        let net = tempfile::tempdir().unwrap();
        let make = |name: &str, kind: &str, uevent: &str| {
            let dir = net.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("type"), kind).unwrap();
            fs::write(dir.join("uevent"), uevent).unwrap();
            dir
        };
        make("enp1s0", "1\n", "INTERFACE=enp1s0\nIFINDEX=2\n");
        fs::create_dir(make("wlan0", "1\n", "DEVTYPE=wlan\n").join("phy80211")).unwrap();
        make("wg0", "65534\n", "DEVTYPE=wireguard\nINTERFACE=wg0\n");
        let kind = |name| describe(net.path(), name);
        assert_eq!(kind("enp1s0"), link("ethernet"));
        assert_eq!(kind("wlan0"), link("wifi"));
        assert_eq!(kind("wg0"), VPN);
        assert_eq!(kind("not-there"), Link::default());
    }

    #[test]
    fn loopback_is_found_and_is_no_network() {
        let loopback = Ipv4Addr::LOCALHOST.into();
        assert_eq!(source(Some(loopback)), Some(loopback));
        assert_eq!(owner(loopback).as_deref(), Some("lo"));
        // Asked for the first time and from what is known.
        assert_eq!([of_source(loopback), of_source(loopback)], [Link::default(); 2]);
        assert_eq!(owner(Ipv4Addr::new(192, 0, 2, 1).into()), None);
    }
}
