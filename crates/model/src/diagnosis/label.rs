//! What a diagnosis can say, and its name on the wire and in tables.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::stage::{ErrorStage, Stage};

/// Where the fault of a window lies. In text and JSON: `dns-bound`, `handshake-bound`,
/// `server-bound`, `throughput-bound`, `path-delay`, `path/loss-bound`, `bufferbloat`, `certificate`,
/// `outage:<error stage>`, `probe-bound`, `insufficient_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Label {
    /// The look-up is slow.
    DnsBound,
    /// The connect or the TLS handshake is slow.
    HandshakeBound,
    /// The wait for the first byte is slow, beyond what the way there takes.
    ServerBound,
    /// The transfer is slow while the latencies are as usual.
    ThroughputBound,
    /// The way to the target takes longer, for all that travels it.
    PathDelay,
    /// The way to the target loses packets.
    PathLossBound,
    /// The line answers late while it is loaded, and as usual when it is not.
    Bufferbloat,
    /// The target's certificate is not accepted.
    Certificate,
    /// Nothing gets through, or half of it does not; the stage that fails most.
    Outage(ErrorStage),
    /// The probe itself was in trouble.
    ProbeBound,
    /// Too few measurements to judge by.
    InsufficientData,
}

/// A text that is no label.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown diagnosis label {0:?}")]
pub struct UnknownLabel(String);

const OUTAGE: &str = "outage:";

impl Label {
    /// The stage the label points at; none where there is too little to say.
    pub fn stage(self) -> Option<Stage> {
        use ErrorStage as E;
        Some(match self {
            Self::DnsBound | Self::Outage(E::Dns) => Stage::Dns,
            Self::HandshakeBound | Self::Certificate | Self::Outage(E::Tls) => Stage::Tls,
            Self::PathDelay | Self::PathLossBound | Self::Outage(E::Tcp) => Stage::Tcp,
            Self::ServerBound | Self::Outage(E::Http | E::Parse) => Stage::Http,
            Self::ThroughputBound
            | Self::Bufferbloat
            | Self::Outage(E::Throughput | E::ThroughputTimeout) => Stage::Throughput,
            Self::ProbeBound | Self::InsufficientData => return None,
        })
    }

    /// All that say that something is wrong with what was measured.
    pub fn faults() -> impl Iterator<Item = Self> {
        let slow = [
            Self::DnsBound,
            Self::HandshakeBound,
            Self::ServerBound,
            Self::ThroughputBound,
            Self::PathDelay,
            Self::PathLossBound,
            Self::Bufferbloat,
            Self::Certificate,
        ];
        slow.into_iter().chain(ErrorStage::ALL.into_iter().map(Self::Outage))
    }

    /// Whether it says that something is wrong with what was measured.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::InsufficientData | Self::ProbeBound)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DnsBound => "dns-bound",
            Self::HandshakeBound => "handshake-bound",
            Self::ServerBound => "server-bound",
            Self::ThroughputBound => "throughput-bound",
            Self::PathDelay => "path-delay",
            Self::PathLossBound => "path/loss-bound",
            Self::Bufferbloat => "bufferbloat",
            Self::Certificate => "certificate",
            Self::ProbeBound => "probe-bound",
            Self::Outage(stage) => return f.pad(&format!("{OUTAGE}{stage}")),
            Self::InsufficientData => "insufficient_data",
        })
    }
}

impl FromStr for Label {
    type Err = UnknownLabel;

    fn from_str(text: &str) -> Result<Self, UnknownLabel> {
        let unknown = || UnknownLabel(text.to_owned());
        Ok(match text {
            "dns-bound" => Self::DnsBound,
            "handshake-bound" => Self::HandshakeBound,
            "server-bound" => Self::ServerBound,
            "throughput-bound" => Self::ThroughputBound,
            "path-delay" => Self::PathDelay,
            "path/loss-bound" => Self::PathLossBound,
            "bufferbloat" => Self::Bufferbloat,
            "certificate" => Self::Certificate,
            "probe-bound" => Self::ProbeBound,
            "insufficient_data" => Self::InsufficientData,
            _ => {
                let stage = text.strip_prefix(OUTAGE).ok_or_else(unknown)?;
                let named = |s: &ErrorStage| s.as_str() == stage;
                Self::Outage(ErrorStage::ALL.into_iter().find(named).ok_or_else(unknown)?)
            }
        })
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.to_string()
    }
}

impl TryFrom<String> for Label {
    type Error = UnknownLabel;

    fn try_from(text: String) -> Result<Self, UnknownLabel> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_written() {
        let plain = [
            (Label::DnsBound, "dns-bound"),
            (Label::HandshakeBound, "handshake-bound"),
            (Label::ServerBound, "server-bound"),
            (Label::ThroughputBound, "throughput-bound"),
            (Label::PathDelay, "path-delay"),
            (Label::PathLossBound, "path/loss-bound"),
            (Label::Bufferbloat, "bufferbloat"),
            (Label::Certificate, "certificate"),
            (Label::ProbeBound, "probe-bound"),
            (Label::InsufficientData, "insufficient_data"),
            (Label::Outage(ErrorStage::ThroughputTimeout), "outage:throughput_timeout"),
        ];
        let outages = ErrorStage::ALL.map(|s| (Label::Outage(s), format!("outage:{s}")));
        for (label, text) in plain.map(|(l, t)| (l, t.to_owned())).into_iter().chain(outages) {
            assert_eq!(label.to_string(), text);
            assert_eq!(text.parse(), Ok(label));
            let json = serde_json::to_string(&label).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Label>(&json).unwrap(), label);
            assert_eq!(Label::faults().any(|fault| fault == label), label.is_fault());
        }
        assert_eq!(format!("{:>12}", Label::DnsBound), "   dns-bound");
    }

    #[test]
    fn other_texts_are_no_labels() {
        for text in ["", "DNS-bound", "outage", "outage:", "outage:DNS", "outage:quic"] {
            assert_eq!(text.parse::<Label>(), Err(UnknownLabel(text.to_owned())));
        }
    }
}
