//! IPv4 and IPv6, and which of them to measure.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Which families a target is measured over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// Whichever connects first, IPv6 with a head start (RFC 8305): what people get.
    #[default]
    Happy,
    /// One alone.
    Only(Family),
    /// Both, each a measurement of its own, so that one that is broken is not hidden by the other.
    Both,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Families {
    /// The family that one measurement is limited to; of two that are both wanted the first.
    pub(crate) fn first(self) -> Option<Family> {
        match self {
            Self::Happy => None,
            Self::Only(family) => Some(family),
            Self::Both => Some(Family::V6),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl FromStr for Families {
    type Err = String;

    /// As it is written on a command line: `4`, `6`, `both` or `happy`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "4" => Ok(Self::Only(Family::V4)),
            "6" => Ok(Self::Only(Family::V6)),
            "both" => Ok(Self::Both),
            "happy" => Ok(Self::Happy),
            _ => Err(format!("`{text}` is not one of 4, 6, both, happy")),
        }
    }
}
