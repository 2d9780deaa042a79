//! Many measurements of one target: the distribution of each stage, and how many failed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Measurement;
use model::sketch::{Quantile, Sketch};

use crate::render::sparkline::{sparkline, squeeze};
use crate::render::table::{Align, table};
use crate::render::{Ink, Style, units};

/// Columns of the curve of totals.
const CURVE: usize = 60;

/// The stages, in the order in which they happen: for a person, and as the event calls them.
const STAGES: [(&str, &str); 6] = [
    ("DNS", "dns"),
    ("TCP", "tcp"),
    ("TLS", "tls"),
    ("wait", "http_ttfb"),
    ("body", "transfer"),
    ("total", "total"),
];

/// What many measurements of one target showed. The quantiles are those of the platform's own
/// sketch: exact up to 64 measurements, within 1 % above.
pub(crate) struct Series {
    /// Microseconds, one sketch for each of [`STAGES`].
    stages: [Sketch; 6],
    /// Bits a second.
    throughput: Sketch,
    /// The totals in order of time; `None` is a failed measurement.
    totals: Vec<Option<f64>>,
    /// Failures by their type.
    failures: BTreeMap<&'static str, u64>,
}

impl Series {
    /// Gathers measurements.
    pub(crate) fn of(runs: &[Measurement]) -> Self {
        let mut series = Self {
            stages: std::array::from_fn(|_| Sketch::new()),
            throughput: Sketch::new(),
            totals: Vec::with_capacity(runs.len()),
            failures: BTreeMap::new(),
        };
        for m in runs {
            let stages = [m.dns, m.tcp, m.tls, m.ttfb, m.transfer, m.total];
            for (sketch, took) in series.stages.iter_mut().zip(stages) {
                if let Some(took) = took {
                    sketch.insert(micros(took));
                }
            }
            if let Some(throughput) = &m.throughput {
                series.throughput.insert(throughput.bits_per_second);
            }
            series.totals.push(m.total.map(|total| total.as_secs_f64() * 1e3));
            if let Some(failure) = m.any_failure() {
                *series.failures.entry(failure.kind).or_default() += 1;
            }
        }
        series
    }

    /// Measurements.
    pub(crate) fn count(&self) -> u64 {
        self.totals.len() as u64
    }

    /// Measurements that failed in any stage.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Each stage that was measured at all, by the name the event has for it.
    pub(crate) fn measured(&self) -> impl Iterator<Item = (&'static str, &Sketch)> {
        self.named().map(|((_, name), sketch)| (name, sketch))
    }

    fn named(&self) -> impl Iterator<Item = ((&'static str, &'static str), &Sketch)> {
        STAGES.into_iter().zip(&self.stages).filter(|(_, sketch)| sketch.count() > 0)
    }

    /// Loss, the table of stages, and the totals as a curve.
    pub(crate) fn text(&self, target: &str, style: Style) -> String {
        let heading = [
            ("", Align::Left),
            ("stage", Align::Left),
            ("n", Align::Right),
            ("min", Align::Right),
            ("median", Align::Right),
            ("p95", Align::Right),
            ("max", Align::Right),
        ];
        let row = |name: &str, sketch: &Sketch, show: &dyn Fn(u64) -> String| {
            let value = |v: Option<u64>| v.map_or_else(|| units::ABSENT.to_owned(), show);
            vec![
                String::new(),
                name.to_owned(),
                sketch.count().to_string(),
                value(sketch.min()),
                value(sketch.quantile(Quantile::P50)),
                value(sketch.quantile(Quantile::P95)),
                value(sketch.max()),
            ]
        };
        let time = |us: u64| units::duration(Duration::from_micros(us));
        let mut rows: Vec<_> = self.named().map(|((name, _), s)| row(name, s, &time)).collect();
        if self.throughput.count() > 0 {
            #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
            let rate = |bps: u64| units::rate(bps as f64 / 1e3);
            rows.push(row("throughput", &self.throughput, &rate));
        }

        let mut out = format!("{}   {}\n\n", style.paint(Ink::Strong, target), self.loss(style));
        if !rows.is_empty() {
            out.push_str(&table(&heading, &rows));
            let curve = sparkline(&squeeze(&self.totals, CURVE), style);
            out.push_str(&format!("\n  total over time  {}\n", curve.trim_end()));
        }
        out
    }

    /// `20 measurements, none failed`, or how many of what.
    fn loss(&self, style: Style) -> String {
        let count = units::count(self.count(), "measurement");
        if self.failed() == 0 {
            return format!("{count}, {}", style.paint(Ink::Good, "none failed"));
        }
        let kinds: Vec<_> = self.failures.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
        let share = self.failed() as f64 / self.count() as f64 * 100.0;
        let failed = format!("{} failed ({share:.0} %: {})", self.failed(), kinds.join(", "));
        format!("{count}, {}", style.paint(Ink::Bad, failed))
    }
}

/// To the nearest, as in the event.
fn micros(took: Duration) -> u64 {
    u64::try_from((took.as_nanos() + 500) / 1_000).unwrap_or(u64::MAX)
}
