//! A band around the median of a day, the wider of two deviations and half the median, and
//! around what was usual at this time a day and a week ago.

use super::figures::quantile;
use crate::diagnosis::Label;
use crate::sketch::Quantile;
use crate::stage::Metric;
use crate::units::Minute;
use crate::window::Window;

const DAY: usize = 1_440;
const WEEK: usize = 7 * DAY;
/// Minutes on each side of the same time a day or a week ago.
const AROUND: usize = 30;
/// What is kept, minutes.
const KEPT: usize = WEEK + AROUND + 1;
/// Windows it takes.
const READY: usize = 30;
/// The day's median is taken anew after so many windows.
const EVERY: usize = 5;
/// Half of the median is within the band, at least.
const MARGIN: f64 = 0.5;
/// Deviations from the median that are within the band.
const DEVIATIONS: f64 = 2.0;

const METRICS: [Metric; 5] =
    [Metric::Dns, Metric::Tcp, Metric::Tls, Metric::Ttfb, Metric::Throughput];

/// The band over one cell.
#[derive(Clone, Debug, Default)]
pub struct Band {
    /// The minute of the first place of `past`.
    first: i64,
    /// Medians by minute; NaN never, absent for a minute without.
    past: [Vec<Option<f32>>; 5],
    /// Windows until the day's medians are taken again.
    until: usize,
    /// Median of a day and the margin around it.
    day: [Option<(f64, f64)>; 5],
}

impl Band {
    /// What the next window is called: the first stage that leaves its band upwards, else the
    /// throughput where it leaves it downwards. It then is one of the past, whatever it was called.
    pub fn next(&mut self, start: Minute, window: &Window) -> Option<Label> {
        if self.past[0].is_empty() {
            self.first = start.0;
        }
        let at = usize::try_from(start.0.saturating_sub(self.first)).ok()?;
        if at < self.past[0].len() {
            // Out of order, or twice.
            return None;
        }
        let at = self.make_room(at);
        if self.until == 0 {
            self.until = EVERY;
            self.day = std::array::from_fn(|i| self.day_of(i));
        }
        self.until -= 1;
        let now = METRICS.map(|metric| quantile(window, metric, Quantile::P50));
        let label = self.label(at, &now);
        for (past, value) in self.past.iter_mut().zip(now) {
            past.resize(at, None);
            #[expect(clippy::cast_possible_truncation, reason = "seven digits are plenty")]
            past.push(value.map(|v| v as f32));
        }
        label
    }

    /// Drops what is too old to be looked at, a day at a time; returns the place anew.
    fn make_room(&mut self, at: usize) -> usize {
        if at < KEPT + DAY {
            return at;
        }
        let drop = at - KEPT;
        for past in &mut self.past {
            past.drain(..drop.min(past.len()));
        }
        self.first = self.first.saturating_add(i64::try_from(drop).unwrap_or(i64::MAX));
        KEPT
    }

    /// The median of the last day and its margin; `None` while there is too little.
    fn day_of(&self, i: usize) -> Option<(f64, f64)> {
        let past = &self.past[i];
        let newest = past[past.len().saturating_sub(DAY)..].iter().flatten();
        let mut values: Vec<f64> = newest.map(|v| f64::from(*v)).collect();
        if values.len() < READY {
            return None;
        }
        let median = middle(&mut values)?;
        values.iter_mut().for_each(|v| *v = (*v - median).abs());
        let deviation = middle(&mut values)?;
        Some((median, (DEVIATIONS * deviation).max(MARGIN * median)))
    }

    fn label(&self, at: usize, now: &[Option<f64>; 5]) -> Option<Label> {
        let out = |i: usize, above: bool| {
            let (Some(v), Some((median, margin))) = (now[i], self.day[i]) else { return false };
            let beyond = |median: f64, margin: f64| match above {
                true => v > median + margin,
                false => v < median - margin,
            };
            let ago = |minutes: usize| {
                self.around(i, at, minutes).is_none_or(|usual| beyond(usual, MARGIN * usual))
            };
            beyond(median, margin) && ago(DAY) && ago(WEEK)
        };
        match () {
            () if out(0, true) => Some(Label::DnsBound),
            () if out(1, true) || out(2, true) => Some(Label::HandshakeBound),
            () if out(3, true) => Some(Label::ServerBound),
            () if out(4, false) => Some(Label::ThroughputBound),
            () => None,
        }
    }

    /// The median around the same time so many minutes ago; `None` where there is none yet.
    fn around(&self, i: usize, at: usize, ago: usize) -> Option<f64> {
        let past = &self.past[i];
        let then = at.checked_sub(ago)?;
        let span = then.saturating_sub(AROUND)..(then + AROUND + 1).min(past.len());
        let mut values: Vec<f64> =
            past.get(span)?.iter().flatten().map(|v| f64::from(*v)).collect();
        (values.len() >= AROUND / 2).then(|| middle(&mut values)).flatten()
    }
}

/// The upper median.
fn middle(values: &mut [f64]) -> Option<f64> {
    let n = values.len();
    (n > 0).then(|| *values.select_nth_unstable_by(n / 2, f64::total_cmp).1)
}
