//! Figures that somebody else keeps, read when they are asked for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// One figure without labels. It is left out while it is not known.
pub struct Told {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: Box<dyn Fn() -> Option<f64> + Send + Sync>,
}

impl Told {
    /// What goes up and down.
    pub fn gauge(
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Box<Self> {
        Box::new(Self { name, help, kind: MetricType::Gauge, read: Box::new(read) })
    }

    /// What only grows; its samples end in `_total`, its name does not.
    pub fn counter(
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> Box<Self> {
        Box::new(Self { name, help, kind: MetricType::Counter, read: Box::new(read) })
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(value) = (self.read)() else { return Ok(()) };
        let one = encoder.encode_descriptor(self.name, self.help, None, self.kind)?;
        match self.kind {
            MetricType::Counter => ConstCounter::new(value).encode(one),
            _ => ConstGauge::new(value).encode(one),
        }
    }
}
