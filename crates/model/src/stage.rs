//! The stages of a measurement, the stages an event can fail in, and the quantities a window
//! keeps a distribution of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stage of a measurement, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The look-up of the name.
    Dns,
    /// SYN to established.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// Request sent to first byte of the response.
    Http,
    /// The transfer of the fixed object, on a connection of its own.
    Throughput,
}

/// The stage an event says it failed in, in the contract's order, which is the order in which
/// they can happen: what failed at one of them had completed those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorStage {
    /// The look-up failed.
    Dns,
    /// The connection was not established.
    Tcp,
    /// The handshake failed.
    Tls,
    /// No usable response.
    Http,
    /// The transfer failed; the timings before it stand.
    Throughput,
    /// The transfer ran out of time; the timings before it stand.
    ThroughputTimeout,
    /// The response could not be understood.
    Parse,
}

impl ErrorStage {
    /// Every stage, in the contract's order.
    pub const ALL: [Self; 7] = [
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Http,
        Self::Throughput,
        Self::ThroughputTimeout,
        Self::Parse,
    ];

    /// The contract's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Throughput => "throughput",
            Self::ThroughputTimeout => "throughput_timeout",
            Self::Parse => "parse",
        }
    }

    /// From the contract's name in any letter case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether the failure is of the throughput stage alone, so that all timings count.
    pub fn is_throughput(self) -> bool {
        matches!(self, Self::Throughput | Self::ThroughputTimeout)
    }
}

/// A quantity of which a window keeps a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Look-up, microseconds.
    Dns,
    /// SYN to established, microseconds.
    Tcp,
    /// Handshake, microseconds.
    Tls,
    /// Request sent to first byte, microseconds.
    Ttfb,
    /// The whole measurement, microseconds; measured, never a sum of percentiles.
    Total,
    /// Download goodput, bits a second.
    Throughput,
}

impl Metric {
    /// Every metric, in the order in which windows store them.
    pub const ALL: [Self; 6] =
        [Self::Dns, Self::Tcp, Self::Tls, Self::Ttfb, Self::Total, Self::Throughput];

    /// The name used in columns and JSON, without the unit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ttfb => "ttfb",
            Self::Total => "total",
            Self::Throughput => "throughput",
        }
    }
}

impl fmt::Display for ErrorStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_stages_are_named_in_any_case() {
        for stage in ErrorStage::ALL {
            assert_eq!(ErrorStage::from_name(&stage.as_str().to_uppercase()), Some(stage));
        }
        assert_eq!(ErrorStage::from_name("quic"), None);
    }
}
