//! Windows made by hand.

use uuid::Uuid;

use crate::event::{ClientId, Event, SchemaVersion, Target, Timings};
use crate::stage::Metric;
use crate::units::{BitsPerSecond, Micros};
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
            version: SchemaVersion::V1_1,
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
