//! For whom: the fewest units that explain the bad cells.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::evidence::is_look_up;
use crate::diagnosis::Label;
use crate::stage::ErrorStage;

/// What cells have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScopeKind {
    /// Everything.
    Global,
    /// A target.
    Target,
    /// One address of a target.
    Address,
    /// A provider.
    Isp,
    /// A site.
    Site,
    /// A resolver.
    Resolver,
    /// A client.
    Client,
    /// One client's measurements of one target.
    Cell,
}

impl ScopeKind {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Target => "target",
            Self::Address => "address",
            Self::Isp => "isp",
            Self::Site => "site",
            Self::Resolver => "resolver",
            Self::Client => "client",
            Self::Cell => "cell",
        }
    }

    /// What a hypothesis of this kind has to explain beyond the evidence.
    pub(super) fn penalty(self) -> f64 {
        match self {
            Self::Global | Self::Resolver => 6.0,
            Self::Isp => 5.5,
            Self::Target | Self::Address | Self::Site | Self::Client => 5.0,
            Self::Cell => 2.5,
        }
    }

    /// Whether a fault of such a unit can give this kind of evidence: a resolver's is in look-ups alone.
    pub(super) fn is_met_by(self, kind: usize) -> bool {
        self != Self::Resolver || is_look_up(kind)
    }

    /// Which of two units of the same cells is blamed: the one that such a fault is usually of.
    pub(super) fn fits(self, label: Label) -> u8 {
        let first = match label {
            Label::DnsBound | Label::Outage(ErrorStage::Dns) => Self::Resolver,
            Label::HandshakeBound
            | Label::ServerBound
            | Label::Certificate
            | Label::Outage(ErrorStage::Tls | ErrorStage::Http) => Self::Target,
            Label::ThroughputBound | Label::Bufferbloat => Self::Client,
            _ => Self::Site,
        };
        u8::from(self == first)
    }
}

/// A unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// What kind.
    pub kind: ScopeKind,
    /// Its name; empty for everything.
    pub id: Arc<str>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ScopeKind::Global => f.write_str("everything"),
            kind => write!(f, "{} {}", kind.as_str(), self.id),
        }
    }
}
