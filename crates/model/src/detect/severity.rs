//! How bad an incident is.

use serde::{Deserialize, Serialize};

use super::scope::ScopeKind;
use crate::diagnosis::Label;

/// How bad, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Felt by those who look for it.
    Minor,
    /// Felt by everyone it is for.
    Major,
    /// Many can't use it at all.
    Critical,
}

impl Severity {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

/// From the share of measurements that fail and how many times the usual the rest takes: an outage of
/// half for more than one client is critical; three times the usual is major, one and a half minor.
pub fn severity(label: Label, scope: ScopeKind, failing: f64, ratio: f64) -> Severity {
    let many = !matches!(scope, ScopeKind::Client | ScopeKind::Cell);
    let outage = matches!(label, Label::Outage(_) | Label::Certificate);
    if outage && failing >= 0.5 {
        return if many { Severity::Critical } else { Severity::Major };
    }
    match ratio {
        _ if failing >= 0.25 => Severity::Major,
        ratio if ratio >= 3.0 => Severity::Major,
        ratio if ratio >= 1.5 || failing >= 0.1 => Severity::Minor,
        _ => Severity::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::ErrorStage;

    #[test]
    fn who_cannot_use_it_at_all_comes_first_then_how_slow_it_is() {
        let of = |label, scope, failing, ratio| severity(label, scope, failing, ratio);
        let outage = Label::Outage(ErrorStage::Tcp);
        assert_eq!(of(outage, ScopeKind::Site, 0.5, 1.0), Severity::Critical);
        assert_eq!(of(outage, ScopeKind::Cell, 1.0, 1.0), Severity::Major);
        assert_eq!(of(outage, ScopeKind::Site, 0.3, 1.0), Severity::Major);
        assert_eq!(of(Label::PathDelay, ScopeKind::Site, 0.0, 3.0), Severity::Major);
        assert_eq!(of(Label::PathDelay, ScopeKind::Site, 0.0, 1.5), Severity::Minor);
        assert_eq!(of(Label::PathDelay, ScopeKind::Site, 0.0, 1.3), Severity::Info);
        assert!(Severity::Critical > Severity::Major && Severity::Minor > Severity::Info);
    }
}
