//! The classic four: mean and deviation over the last ten windows, in both readings.

use std::collections::VecDeque;

use super::figures::quantile;
use crate::diagnosis::Label;
use crate::sketch::Quantile;
use crate::stage::Metric;
use crate::window::Window;

/// Windows the baseline is over, and the fewest it takes.
const WINDOWS: usize = 10;
const READY: usize = 5;
/// Successes a window must have in the engine's reading, to be judged and to count as usual.
const SUCCESSES: u64 = 5;

/// Which of the two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As the engine has it: TCP and TLS together, silent under five successes a window.
    Engine,
    /// As the text has it: TCP or TLS alone, a window of any size, and throughput only while
    /// the latencies are as usual.
    Text,
}

/// The rules over one cell.
#[derive(Clone, Debug)]
pub struct Classic {
    reading: Reading,
    past: VecDeque<Figures>,
}

/// The p95 of the four stages and the p50 of the throughput.
#[derive(Clone, Copy, Debug)]
struct Figures([Option<f64>; 5]);

const DNS: usize = 0;
const TCP: usize = 1;
const TLS: usize = 2;
const TTFB: usize = 3;
const RATE: usize = 4;

/// Mean and population deviation.
#[derive(Clone, Copy, Debug)]
struct Usual {
    mean: f64,
    sd: f64,
}

impl Classic {
    /// Without a past.
    pub fn new(reading: Reading) -> Self {
        Self { reading, past: VecDeque::with_capacity(WINDOWS + 1) }
    }

    /// What the next window is called. It then is one of the last ten, whatever it was called.
    pub fn next(&mut self, window: &Window) -> Option<Label> {
        let needed = match self.reading {
            Reading::Engine => SUCCESSES,
            Reading::Text => 1,
        };
        if window.counts().success < needed {
            return None;
        }
        let p95 = |metric| quantile(window, metric, Quantile::P95);
        let now = Figures([
            p95(Metric::Dns),
            p95(Metric::Tcp),
            p95(Metric::Tls),
            p95(Metric::Ttfb),
            quantile(window, Metric::Throughput, Quantile::P50),
        ]);
        let label = (self.past.len() >= READY).then(|| self.label(&now)).flatten();
        self.past.push_back(now);
        if self.past.len() > WINDOWS {
            self.past.pop_front();
        }
        label
    }

    fn usual(&self, i: usize) -> Option<Usual> {
        let values = || self.past.iter().filter_map(|figures| figures.0[i]);
        let n = values().count();
        if n == 0 {
            return None;
        }
        let mean = values().sum::<f64>() / n as f64;
        let variance = values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64;
        Some(Usual { mean, sd: variance.sqrt() })
    }

    /// By precedence: the look-up, the handshake, the server, the throughput.
    fn label(&self, now: &Figures) -> Option<Label> {
        let each = |i: usize| Some((now.0[i]?, self.usual(i)?));
        let stages = [DNS, TCP, TLS, TTFB];
        let whole: f64 = stages.iter().filter_map(|i| now.0[*i]).sum();
        let dns = each(DNS).is_some_and(|(v, usual)| v >= 0.6 * whole && v >= 1.5 * usual.mean);
        let handshakes = self.handshakes(now);
        let handshake = handshakes
            .iter()
            .any(|(v, usual)| *v > usual.mean + 2.0 * usual.sd || *v >= 2.0 * usual.mean);
        let connects_as_usual = handshakes.iter().all(|(v, usual)| *v <= usual.mean + usual.sd);
        let slow = |i| each(i).is_some_and(|(v, usual)| v > usual.mean + 2.0 * usual.sd);
        let latencies_as_usual =
            self.reading == Reading::Engine || !(handshake || slow(DNS) || slow(TTFB));
        let rate = each(RATE).is_some_and(|(v, usual)| v <= 0.7 * usual.mean);
        match () {
            () if dns => Some(Label::DnsBound),
            () if handshake => Some(Label::HandshakeBound),
            () if slow(TTFB) && connects_as_usual => Some(Label::ServerBound),
            () if rate && latencies_as_usual => Some(Label::ThroughputBound),
            () => None,
        }
    }

    /// TCP and TLS with what is usual: together, or each alone.
    fn handshakes(&self, now: &Figures) -> Vec<(f64, Usual)> {
        let each = |i: usize| Some((now.0[i]?, self.usual(i)?));
        let both = [each(TCP), each(TLS)].into_iter().flatten();
        match self.reading {
            Reading::Text => both.collect(),
            Reading::Engine => both
                .reduce(|(v, a), (w, b)| {
                    (v + w, Usual { mean: a.mean + b.mean, sd: a.sd.hypot(b.sd) })
                })
                .into_iter()
                .collect(),
        }
    }
}
