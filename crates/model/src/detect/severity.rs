//! How bad an incident is.

use std::fmt;
use std::str::FromStr;

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
    const ALL: [Self; 4] = [Self::Info, Self::Minor, Self::Major, Self::Critical];

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

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|severity| severity.as_str() == name);
        known.ok_or_else(|| UnknownSeverity(name.to_owned()))
    }
}

/// A name that is no severity's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no severity: info, minor, major and critical are")]
pub struct UnknownSeverity(String);

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
