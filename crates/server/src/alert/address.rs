//! Which addresses a notice may be sent to: a file of alerts must not be a way to reach what only this
//! machine can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It belongs to a network of its own.
    #[error(
        "{0} is {1}; say `allow_private = true` for this receiver if it is meant to stand within \
         your own network"
    )]
    Private(IpAddr, &'static str),
    /// Nobody receives alerts there.
    #[error("{0} is {1}, which is never sent to")]
    Never(IpAddr, &'static str),
}

/// Where clouds answer their machines with keys.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Within a range that is allowed to those who stand in it.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
];

/// Whether an address may be sent to; it is asked of the very one that is connected to.
///
/// # Errors
/// What it is, and the way out where there is one.
pub fn check(address: IpAddr, allow_private: bool) -> Result<(), Refused> {
    // An address within another is that address.
    let inner = match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => embedded(six).map_or(address, IpAddr::V4),
    };
    if METADATA.contains(&inner) {
        return Err(Refused::Never(address, "where a cloud tells its machines their keys"));
    }
    let (what, never) = match inner {
        IpAddr::V4(four) => kind_of_four(four),
        IpAddr::V6(six) => kind_of_six(six),
    };
    match (what, never) {
        (None, _) => Ok(()),
        (Some(what), true) => Err(Refused::Never(address, what)),
        (Some(_), false) if allow_private => Ok(()),
        (Some(what), false) => Err(Refused::Private(address, what)),
    }
}

/// What is special about it, and whether it is so for everybody.
fn kind_of_four(four: Ipv4Addr) -> (Option<&'static str>, bool) {
    let [a, b, c, _] = four.octets();
    match (a, b, c) {
        (0, ..) => (Some("no address of anybody"), true),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => (Some("a private address"), false),
        (100, 64..=127, _) => (Some("an address within a provider's network"), false),
        (127, ..) => (Some("this machine itself"), false),
        (169, 254, _) => (Some("a link-local address"), false),
        (192, 0, 0) => (Some("a reserved address"), false),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => (Some("an address of examples"), false),
        (198, 18..=19, _) => (Some("an address for benchmarks"), false),
        (224..=239, ..) => (Some("a multicast address"), true),
        (240..=255, ..) => (Some("a reserved address"), true),
        _ => (None, false),
    }
}

fn kind_of_six(six: Ipv6Addr) -> (Option<&'static str>, bool) {
    let first = six.segments()[0];
    match first {
        _ if six.is_unspecified() => (Some("no address of anybody"), true),
        _ if six.is_loopback() => (Some("this machine itself"), false),
        _ if six.is_multicast() => (Some("a multicast address"), true),
        0xfc00..=0xfdff => (Some("a private address"), false),
        0xfe80..=0xfebf => (Some("a link-local address"), false),
        0xfec0..=0xfeff => (Some("a site-local address"), false),
        0x2001 if six.segments()[1] == 0xdb8 => (Some("an address of examples"), false),
        // Only this part of the whole has been given out.
        0x2000..=0x3fff => (None, false),
        _ => (Some("a reserved address"), false),
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, translated (NAT64) or 6to4.
fn embedded(six: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match six.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(of(high, low))
        }
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_sent_to() {
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"]
        {
            assert_eq!(check(text.parse().unwrap(), false), Ok(()), "{text}");
        }
    }

    #[test]
    fn ones_own_network_is_sent_to_only_where_that_is_said() {
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "fe80::1",
            "fd12:3456::1",
            "fc00::1",
            "fec0::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "64:ff9b:1::1",
        ] {
            let address = text.parse().unwrap();
            let refused = check(address, false).unwrap_err();
            assert!(matches!(refused, Refused::Private(..)), "{text}: {refused}");
            assert!(refused.to_string().contains("allow_private = true"), "{refused}");
            assert_eq!(check(address, true), Ok(()), "{text}");
        }
    }

    #[test]
    fn metadata_and_what_is_nobodys_is_never_sent_to() {
        for text in [
            "169.254.169.254",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "::ffff:0.0.0.0",
        ] {
            let refused = check(text.parse().unwrap(), true);
            assert!(matches!(refused, Err(Refused::Never(..))), "{text}: {refused:?}");
        }
    }
}
