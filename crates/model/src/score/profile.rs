//! What uses of a line require, for [`super::qoo`].

use super::qoo::Range;

/// A use of a line. Its thresholds are LibreQoS's profiles (qoo_profiles.json): for round trips'
/// 95th percentile in ms, and for loss in percent. They assume a server nearby.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// As it is asked for.
    pub name: &'static str,
    /// The 95th percentile of the round trip, ms.
    pub latency_p95_ms: Range,
    /// Lost packets, percent.
    pub loss_percent: Range,
    /// The least throughput, bits a second; none of the five below demands one.
    pub throughput_bps: Option<u64>,
}

impl Profile {
    /// Pages.
    pub const WEB: Self = Self::new("web", (50.0, 100.0), (0.5, 1.0));
    /// Films.
    pub const STREAMING: Self = Self::new("streaming", (50.0, 100.0), (0.1, 1.0));
    /// Calls with pictures.
    pub const CONFERENCING: Self = Self::new("conferencing", (50.0, 100.0), (0.1, 0.5));
    /// Games.
    pub const GAMING: Self = Self::new("gaming", (50.0, 100.0), (0.5, 1.0));
    /// Copies that nobody waits for.
    pub const BACKUP: Self = Self::new("backup", (100.0, 150.0), (0.1, 1.0));
    /// Every profile.
    pub const ALL: [Self; 5] =
        [Self::WEB, Self::STREAMING, Self::CONFERENCING, Self::GAMING, Self::BACKUP];

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    const fn new(name: &'static str, ms: (f64, f64), percent: (f64, f64)) -> Self {
        Self {
            name,
            latency_p95_ms: Range { perfect: ms.0, unacceptable: ms.1 },
            loss_percent: Range { perfect: percent.0, unacceptable: percent.1 },
            throughput_bps: None,
        }
    }
}
