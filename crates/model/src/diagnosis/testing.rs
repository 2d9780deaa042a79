//! Windows made by hand.

use uuid::Uuid;

use super::CellWindow;
use crate::event::{ClientId, Event, Target, Timings};
use crate::stage::{ErrorStage, Metric};
use crate::units::{BitsPerSecond, Micros, Minute};
use crate::window::Window;

/// The measurements of one window.
#[derive(Clone, Debug)]
pub(super) struct Samples(Vec<Event>);

impl Samples {
    /// One measurement of 11, 20, 40 and 90 ms and 94 Mbit/s, times `n`.
    pub(super) fn usual(n: usize) -> Self {
        Self::ms(0)
            .set(Metric::Dns, 11.0)
            .set(Metric::Tcp, 20.0)
            .set(Metric::Tls, 40.0)
            .set(Metric::Ttfb, 90.0)
            .set(Metric::Throughput, 94_000.0)
            .times(n)
    }

    /// One measurement, every stage as long, at 20 Mbit/s.
    pub(super) fn ms(ms: i64) -> Self {
        let us = Some(Micros(ms.unsigned_abs() * 1_000));
        Self(vec![Event {
            id: Uuid::from_u128(1),
            client: ClientId::trusted("c"),
            target: Target::trusted("https://t.example/"),
            ts_ms: 0,
            failure: None,
            timings: Timings { dns: us, tcp: us, tls: us, ttfb: us, total: None },
            throughput: Some(BitsPerSecond(20_000_000)),
            troubled: false,
            gap: None,
            beside: None,
        }])
    }

    /// No measurement.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// All of them of a probe in trouble.
    pub(super) fn aside(mut self) -> Self {
        self.0.iter_mut().for_each(|event| event.troubled = true);
        self
    }

    /// So many of each.
    pub(super) fn times(mut self, n: usize) -> Self {
        let each = std::mem::take(&mut self.0);
        (0..n).for_each(|_| self.0.extend(each.clone()));
        self
    }

    /// With one metric at a value in ms, or kbit/s.
    pub(super) fn set(mut self, metric: Metric, value: f64) -> Self {
        for event in &mut self.0 {
            put(event, metric, Some(value));
        }
        self
    }

    /// With ms, or kbit/s, added to one metric.
    pub(super) fn plus(mut self, metric: Metric, value: f64) -> Self {
        for event in &mut self.0 {
            let now = event.sample(metric).map_or(0.0, |v| v as f64 / 1e3);
            put(event, metric, Some(now + value));
        }
        self
    }

    /// Without one metric.
    pub(super) fn without(mut self, metric: Metric) -> Self {
        for event in &mut self.0 {
            put(event, metric, None);
        }
        self
    }

    /// With every value scaled by a factor drawn for it, for instance by [`Dice`].
    pub(super) fn scaled(mut self, mut factor: impl FnMut(Metric) -> f64) -> Self {
        for event in &mut self.0 {
            for metric in Metric::ALL.into_iter().filter(|&m| m != Metric::Total) {
                if let Some(v) = event.sample(metric) {
                    put(event, metric, Some(v as f64 / 1e3 * factor(metric)));
                }
            }
        }
        self
    }

    /// And so many more that fail at a stage.
    pub(super) fn failing(mut self, stage: ErrorStage, n: usize) -> Self {
        let [mut event] = <[Event; 1]>::try_from(Self::usual(1).0).unwrap();
        event.failure = Some(stage);
        self.0.extend(std::iter::repeat_n(event, n));
        self
    }

    /// With those of another.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn window(&self) -> Window {
        let mut window = Window::default();
        self.0.iter().for_each(|e| window.fold(e));
        window
    }
}

fn put(event: &mut Event, metric: Metric, value: Option<f64>) {
    let us = value.and_then(Micros::from_ms);
    match metric {
        Metric::Dns => event.timings.dns = us,
        Metric::Tcp => event.timings.tcp = us,
        Metric::Tls => event.timings.tls = us,
        Metric::Ttfb => event.timings.ttfb = us,
        Metric::Total => event.timings.total = us,
        Metric::Throughput => event.throughput = value.and_then(BitsPerSecond::from_kbps),
    }
}

/// Windows of consecutive minutes.
pub(super) fn cell(samples: impl IntoIterator<Item = Samples>) -> Vec<CellWindow> {
    let window =
        |(i, s): (usize, Samples)| CellWindow { start: Minute(i as i64), window: s.window() };
    samples.into_iter().enumerate().map(window).collect()
}

/// A seeded source of noise: splitmix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// Evenly in 0..1.
    pub(super) fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A normal deviate, by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.even()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.even()).cos()
    }
}
