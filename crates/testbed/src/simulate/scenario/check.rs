//! What may be wrong with a scenario that a person wrote.

use std::collections::HashSet;

use super::{CellProfile, Client, Climate, Place, Scenario};

/// Why a scenario can't be simulated as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// More events a minute than its milliseconds can hold apart, or none.
    #[error("per_minute is {0}, not 1 to 6000")]
    PerMinute(u32),
    /// A time that no calendar reaches.
    #[error("start_ms or its end is out of range")]
    Time,
    /// A client that is named twice.
    #[error("client {0:?} is named twice")]
    ClientTwice(String),
    /// A target that is named twice.
    #[error("target {0:?} is named twice")]
    TargetTwice(String),
    /// A target that no probe could measure.
    #[error("target {0:?} is not an absolute http or https URL")]
    Target(String),
    /// A number of the climate that makes no sense.
    #[error("climate: {0} is out of range")]
    Climate(&'static str),
    /// A number of what is untidy that makes no sense.
    #[error("untidy: {0} is out of range")]
    Untidy(&'static str),
    /// A profile for nobody.
    #[error("profile {0}: no cell has its client and target")]
    ProfileForNobody(usize),
    /// A profile with a negative or absurd number.
    #[error("profile {0}: {1} is out of range")]
    Profile(usize, &'static str),
    /// A fault for nobody.
    #[error("fault {0} ({1}): its scope holds no cell")]
    FaultForNobody(usize, &'static str),
    /// A fault with a share or a delay that makes no sense.
    #[error("fault {0} ({1}): a magnitude is out of range")]
    Magnitude(usize, &'static str),
    /// A fault outside of the scenario's time.
    #[error("fault {0} ({1}): lasts from minute {2} to {3}, the scenario {4} minutes")]
    FaultTime(usize, &'static str, u64, u64, u32),
}

impl Scenario {
    /// Says what is wrong with a scenario: names that nobody has, numbers out of range. What is
    /// not checked is simulated as far as it makes sense: a fault for nobody touches nobody.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ScenarioError> {
        if !(1..=6_000).contains(&self.per_minute) {
            return Err(ScenarioError::PerMinute(self.per_minute));
        }
        // A UUIDv7 holds 48 bits of milliseconds.
        if self.start_ms <= 0 || self.end_ms() >= 1 << 48 {
            return Err(ScenarioError::Time);
        }
        if let Some(id) = twice(self.clients.iter().map(|client| client.id.as_str())) {
            return Err(ScenarioError::ClientTwice(id.to_owned()));
        }
        if let Some(url) = twice(self.targets.iter().map(String::as_str)) {
            return Err(ScenarioError::TargetTwice(url.to_owned()));
        }
        if let Some(url) = self.targets.iter().find(|url| Place::of(url).is_none()) {
            return Err(ScenarioError::Target(url.clone()));
        }
        self.climate.check().map_err(ScenarioError::Climate)?;
        self.untidy.check().map_err(ScenarioError::Untidy)?;
        self.check_profiles()?;
        self.check_faults()
    }

    fn check_profiles(&self) -> Result<(), ScenarioError> {
        for (i, profile) in self.profiles.iter().enumerate() {
            let fits = |client: &Client| {
                self.targets.iter().any(|target| profile.holds(&client.id, target))
            };
            if !self.clients.iter().any(fits) {
                return Err(ScenarioError::ProfileForNobody(i));
            }
            profile.check().map_err(|field| ScenarioError::Profile(i, field))?;
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), ScenarioError> {
        for (i, fault) in self.faults.iter().enumerate() {
            let name = fault.kind.name();
            let end = u64::from(fault.from_minute) + u64::from(fault.minutes);
            if fault.minutes == 0 || end > u64::from(self.minutes) {
                let from = u64::from(fault.from_minute);
                return Err(ScenarioError::FaultTime(i, name, from, end, self.minutes));
            }
            if !fault.kind.is_sane() {
                return Err(ScenarioError::Magnitude(i, name));
            }
            if self.cells(fault).is_empty() {
                return Err(ScenarioError::FaultForNobody(i, name));
            }
        }
        Ok(())
    }
}

impl Climate {
    fn check(&self) -> Result<(), &'static str> {
        let fields = [
            ("evening_peak", self.evening_peak, 0.0..=10.0),
            ("noise", self.noise, 0.0..=100.0),
            ("drift_per_hour", self.drift_per_hour, -0.5..=1.0),
        ];
        let wrong = fields.into_iter().find(|(_, value, range)| !range.contains(value));
        wrong.map_or(Ok(()), |(name, ..)| Err(name))
    }
}

impl CellProfile {
    fn check(&self) -> Result<(), &'static str> {
        let ms = 0.0..=60_000.0;
        let fields = [
            ("dns_ms", self.dns_ms.unwrap_or(0.0), ms.clone()),
            ("tcp_ms", self.tcp_ms, ms.clone()),
            ("tls_ms", self.tls_ms.unwrap_or(0.0), ms.clone()),
            ("ttfb_ms", self.ttfb_ms, ms),
            ("throughput_kbps", self.throughput_kbps.unwrap_or(1.0), 0.001..=1e9),
            ("jitter", self.jitter, 0.0..=2.0),
        ];
        let wrong = fields.into_iter().find(|(_, value, range)| !range.contains(value));
        wrong.map_or(Ok(()), |(name, ..)| Err(name))
    }
}

fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}
