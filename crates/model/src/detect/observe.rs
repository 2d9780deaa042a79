//! What was seen of a cell in a minute.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::stage::{ErrorStage, Metric};
use crate::window::Window;

/// A quantity that is held against its usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The look-up.
    Dns,
    /// The connect.
    Tcp,
    /// The handshake.
    Tls,
    /// The wait for the first byte.
    Ttfb,
    /// What the line carries: less is worse.
    Throughput,
    /// How long the loaded line takes to answer.
    Loaded,
}

impl Signal {
    /// All, in the order of arrays by signal.
    pub const ALL: [Self; SIGNALS] =
        [Self::Dns, Self::Tcp, Self::Tls, Self::Ttfb, Self::Throughput, Self::Loaded];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ttfb => "ttfb",
            Self::Throughput => "throughput",
            Self::Loaded => "loaded",
        }
    }
}

/// How many signals there are.
pub(super) const SIGNALS: usize = 6;

/// A stage that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failing {
    /// The look-up.
    Dns,
    /// The connect.
    Tcp,
    /// The handshake, its certificate aside.
    Tls,
    /// The certificate.
    Certificate,
    /// The response.
    Http,
    /// The transfer.
    Throughput,
}

impl Failing {
    /// All, in the order in which they happen.
    pub const ALL: [Self; FAILINGS] =
        [Self::Dns, Self::Tcp, Self::Tls, Self::Certificate, Self::Http, Self::Throughput];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Http => "http",
            Self::Throughput => "throughput",
        }
    }

    /// What failed, from what an event says.
    pub fn of(stage: ErrorStage, is_certificate: bool) -> Self {
        match stage {
            ErrorStage::Dns => Self::Dns,
            ErrorStage::Tcp => Self::Tcp,
            ErrorStage::Tls if is_certificate => Self::Certificate,
            ErrorStage::Tls => Self::Tls,
            ErrorStage::Http | ErrorStage::Parse => Self::Http,
            ErrorStage::Throughput | ErrorStage::ThroughputTimeout => Self::Throughput,
        }
    }
}

/// How many stages can fail.
pub(super) const FAILINGS: usize = 6;

/// Buckets to the unit of a natural logarithm: a bucket is 2 % wide.
pub(super) const FINE: f64 = 50.0;

/// More samples of a minute than this are thinned out, evenly over their order.
const MOST: usize = 64;

/// A value's place on a logarithmic scale.
pub(super) type Bucket = u16;

/// Microseconds, or bits a second.
pub(super) fn bucket(value: u64) -> Bucket {
    #[expect(clippy::cast_precision_loss, reason = "a bucket is 2 % wide")]
    let place = libm::round(libm::log(value.max(1) as f64) * FINE);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ln of a u64 is 44 at most, and not negative"
    )]
    let bucket = place as u16;
    bucket
}

/// The middle of a bucket.
pub(super) fn value(bucket: Bucket) -> f64 {
    libm::exp(f64::from(bucket) / FINE)
}

/// What the kernels said of transfers: how many told anything, how many lost more than half a percent,
/// waited for the client, and for the server, most of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) told: u16,
    pub(super) resent: u16,
    pub(super) client: u16,
    pub(super) server: u16,
}

/// What held a transfer up, by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldUp {
    /// More than half a percent was sent again.
    pub resent: bool,
    /// The receiver's window was full for more than 30 % of the time.
    pub client: bool,
    /// The sender's buffer was for more than 30 %.
    pub server: bool,
}

/// What was seen of a cell in a minute: the samples of each signal, and what failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Those of all signals, one signal after another, each ascending.
    samples: Vec<Bucket>,
    /// Where each signal's end.
    ends: [u32; SIGNALS],
    /// Measurements that say something of the target.
    total: u32,
    fails: [u32; FAILINGS],
    limits: Limits,
    /// Of a target of several addresses: the same by the address that was reached.
    by_address: Vec<(Arc<str>, Observation)>,
}

impl Observation {
    /// Adds a sample: microseconds, or bits a second.
    pub fn add(&mut self, signal: Signal, value: u64) {
        let bucket = bucket(value);
        let from = self.start(signal as usize);
        let at = from + self.samples(signal as usize).partition_point(|&b| b <= bucket);
        self.samples.insert(at, bucket);
        for end in &mut self.ends[signal as usize..] {
            *end += 1;
        }
    }

    fn start(&self, signal: usize) -> usize {
        signal.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// Counts a measurement, and the stage it failed in.
    pub fn count(&mut self, failed: Option<Failing>) {
        self.total = self.total.saturating_add(1);
        if let Some(failed) = failed {
            let fails = &mut self.fails[failed as usize];
            *fails = fails.saturating_add(1);
        }
    }

    /// What a stored window says.
    pub fn of_window(window: &Window) -> Self {
        // As in [`Signal::ALL`].
        const OF: [Metric; 5] =
            [Metric::Dns, Metric::Tcp, Metric::Tls, Metric::Ttfb, Metric::Throughput];
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        // A name server that says nothing is no fault of the target's, but it is one.
        let silent = window.facts().silent();
        let total = window.counts().total.saturating_add(silent);
        let mut seen = Self { total: small(total), ..Self::default() };
        for stage in ErrorStage::ALL {
            let fails = &mut seen.fails[Failing::of(stage, false) as usize];
            *fails = fails.saturating_add(small(window.counts().of(stage)));
        }
        let dns = &mut seen.fails[Failing::Dns as usize];
        *dns = dns.saturating_add(small(silent));
        let [tls, certificate] = [Failing::Tls as usize, Failing::Certificate as usize];
        seen.fails[certificate] = small(window.facts().certificates()).min(seen.fails[tls]);
        seen.fails[tls] -= seen.fails[certificate];
        let loaded = std::iter::once(window.facts().loaded());
        let sketches = OF.iter().map(|&metric| window.sketch(metric)).chain(loaded);
        for (sketch, end) in sketches.zip(&mut seen.ends) {
            for (value, count) in sketch.iter() {
                let count = usize::try_from(count).unwrap_or(usize::MAX).min(4 * MOST);
                seen.samples.extend(std::iter::repeat_n(bucket(value), count));
            }
            *end = small(seen.samples.len() as u64);
        }
        seen.thin();
        seen.samples.shrink_to_fit();
        seen
    }

    /// Keeps no more samples than are looked at.
    pub fn thin(&mut self) {
        if (0..SIGNALS).all(|signal| self.samples(signal).len() <= MOST) {
            return;
        }
        let mut kept = Vec::new();
        let mut ends = self.ends;
        for (signal, end) in ends.iter_mut().enumerate() {
            let samples = self.samples(signal);
            let n = samples.len();
            match n <= MOST {
                true => kept.extend(samples),
                false => kept.extend((0..MOST).map(|i| samples[(2 * i + 1) * n / (2 * MOST)])),
            }
            *end = kept.len() as u32;
        }
        (self.samples, self.ends) = (kept, ends);
    }

    /// Counts what held a transfer up.
    pub fn held_up(&mut self, by: HeldUp) {
        let limits = &mut self.limits;
        let each = [
            (true, &mut limits.told),
            (by.resent, &mut limits.resent),
            (by.client, &mut limits.client),
            (by.server, &mut limits.server),
        ];
        for (is, n) in each {
            *n = n.saturating_add(u16::from(is));
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Says what was seen of each address.
    pub fn set_addresses(&mut self, by_address: Vec<(Arc<str>, Self)>) {
        self.by_address = by_address;
    }

    pub(super) fn by_address(&self) -> &[(Arc<str>, Self)] {
        &self.by_address
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(super) fn samples(&self, signal: usize) -> &[Bucket] {
        &self.samples[self.start(signal)..self.ends[signal] as usize]
    }

    pub(super) fn failed(&self, failing: usize) -> u32 {
        self.fails[failing]
    }

    /// Measurements that came as far as this stage.
    pub(super) fn tried(&self, failing: usize) -> u32 {
        let before: u32 = self.fails[..failing].iter().sum();
        self.total.saturating_sub(before)
    }
}
