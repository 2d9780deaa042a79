//! What is wrong with a unit: the label, from how much each signal changed.

use super::cell::Cell;
use super::evidence::{Kinds, effect, fails, level, only, tail};
use super::observe::{FAILINGS, Failing, SIGNALS, Signal};
use super::scope::ScopeKind;
use super::slow::SlowBy;
use super::unit::Unit;
use crate::diagnosis::Label;
use crate::stage::ErrorStage;

const DNS: usize = Signal::Dns as usize;
const TCP: usize = Signal::Tcp as usize;
const TLS: usize = Signal::Tls as usize;
const TTFB: usize = Signal::Ttfb as usize;
pub(super) const RATE: usize = Signal::Throughput as usize;
const LOADED: usize = Signal::Loaded as usize;

/// The least change that matters: microseconds, by signal; of throughput the share alone counts.
pub(super) const FLOOR: [f64; SIGNALS] = [15e3, 10e3, 15e3, 30e3, 0.0, 40e3];
/// The least ratio, and how many times the usual wander it has to be.
pub(super) const RATIO: f64 = 1.25;
const WANDERS: f64 = 3.5;
const RATIO_LOADED: f64 = 2.0;

/// Cells that an effect is taken from at most: more make it no truer.
const MOST_CELLS: usize = 64;

/// By how much a signal changed: medians over the cells of a unit, each sample against its own
/// cell's usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Effect {
    pub(super) ratio: f64,
    /// Microseconds, or bits a second.
    pub(super) excess: f64,
    /// The same of the lower quartile.
    pub(super) low_ratio: f64,
    pub(super) low_excess: f64,
    pub(super) n: usize,
    wander: f64,
}

impl Effect {
    /// Of some cells since a minute.
    pub(super) fn of<'a>(
        cells: impl Iterator<Item = &'a Cell>,
        since: i64,
        signal: usize,
    ) -> Option<Self> {
        Self::between(cells, since, i64::MAX, signal)
    }

    /// Of some cells from one minute to another.
    pub(super) fn between<'a>(
        cells: impl Iterator<Item = &'a Cell>,
        since: i64,
        last: i64,
        signal: usize,
    ) -> Option<Self> {
        let (mut ratios, mut excesses, mut wanders) = (Vec::new(), Vec::new(), Vec::new());
        let mut lows = (Vec::new(), Vec::new());
        for cell in cells.take(MOST_CELLS) {
            let usual = &cell.usual[signal];
            if !usual.is_known(signal) {
                continue;
            }
            let all_day = usual.all_day();
            let (middle, low) = (all_day.quantile(0.5), all_day.quantile(0.25));
            let mut is_measured = false;
            for minute in cell.since(since).filter(|minute| minute.at <= last) {
                let samples = minute.seen.samples(signal);
                if samples.is_empty() {
                    continue;
                }
                is_measured = true;
                let factor = usual.at(signal, minute.at).factor();
                for &bucket in samples {
                    let (ratio, excess) = effect(bucket, middle * factor);
                    ratios.push(ratio);
                    excesses.push(excess);
                    let (ratio, excess) = effect(bucket, low * factor);
                    lows.0.push(ratio);
                    lows.1.push(excess);
                }
            }
            if is_measured {
                wanders.push(usual.wander());
            }
        }
        let quantile = |values: &mut Vec<f64>, q: f64| {
            values.sort_by(f64::total_cmp);
            let last = values.len().checked_sub(1)?;
            Some(values[((last as f64) * q) as usize])
        };
        Some(Self {
            n: ratios.len(),
            ratio: quantile(&mut ratios, 0.5)?,
            excess: quantile(&mut excesses, 0.5)?,
            low_ratio: quantile(&mut lows.0, 0.25)?,
            low_excess: quantile(&mut lows.1, 0.25)?,
            wander: quantile(&mut wanders, 0.5)?,
        })
    }

    /// Whether it is twice another one.
    pub(super) fn is_twice(&self, other: &Self, signal: usize) -> bool {
        let by = |of: &Self| if signal == RATE { -of.excess } else { of.excess };
        by(self) >= 2.0 * by(other).max(0.0)
    }

    /// Whether it is large enough to matter.
    pub(super) fn matters(&self, signal: usize, part: f64) -> bool {
        let wander = libm::exp(WANDERS * self.wander);
        if signal == RATE {
            return self.ratio <= 1.0 - (1.0 - (1.0 / RATIO - 0.05).min(1.0 / wander)) * part;
        }
        let least = if signal == LOADED { RATIO_LOADED } else { RATIO.max(wander) };
        self.ratio >= 1.0 + (least - 1.0) * part && self.excess >= FLOOR[signal] * part
    }
}

/// What is wrong.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) label: Label,
    /// The evidence it accounts for.
    pub(super) explains: Kinds,
    /// What it adds, microseconds, by stage: look-up, connect, handshake, first byte.
    pub(super) excess: [f64; 4],
    /// How many times the usual the signal is that changed most.
    pub(super) ratio: f64,
    pub(super) slow_by: Option<SlowBy>,
}

/// What the kinds of evidence that are on in a unit come from.
pub(super) fn name(unit: &Unit, cells: &[Cell], bad: &[usize], now: i64) -> Option<Cause> {
    let on = |kind: usize| unit.tracks[kind].on;
    let levels = |signal: usize| on(level(signal));
    let tails = |signal: usize| on(tail(signal));
    let since = |kinds: &[usize]| {
        let first = kinds.iter().filter(|&&kind| on(kind)).filter_map(|&k| unit.tracks[k].since());
        first.min().unwrap_or(now).max(now - 9)
    };
    let all: Vec<usize> = (0..unit.tracks.len()).collect();
    let from = since(&all);
    let effects: [Option<Effect>; SIGNALS] = std::array::from_fn(|signal| {
        Effect::of(bad.iter().map(|&cell| &cells[cell]), from, signal)
    });
    let excess = |signal: usize| effects[signal].map_or(0.0, |e| e.excess.max(0.0));
    let added = [excess(DNS), excess(TCP), excess(TLS), excess(TTFB)];
    let ratio = worst_ratio(&effects);
    let slow_by = |label: Label| slow_by(label, unit, &effects, bad, cells, from);
    let cause = |label: Label, explains: Kinds| {
        Some(Cause { label, explains, excess: added, ratio, slow_by: slow_by(label) })
    };

    // What fails, the earliest stage first.
    let certificate = fails(Failing::Certificate as usize);
    if on(certificate) {
        return cause(Label::Certificate, only(certificate) | only(fails(Failing::Tls as usize)));
    }
    let tcp_fails = fails(Failing::Tcp as usize);
    let path = only(level(TCP)) | only(level(TLS)) | only(level(TTFB)) | only(level(RATE));
    let path_tails = only(tail(TCP)) | only(tail(TLS)) | only(tail(TTFB));
    for failing in 0..FAILINGS {
        let kind = fails(failing);
        // Connects that time out where others come a second late are lost packets.
        if !on(kind) || (kind == tcp_fails && tails(TCP)) {
            continue;
        }
        let stage = [
            ErrorStage::Dns,
            ErrorStage::Tcp,
            ErrorStage::Tls,
            ErrorStage::Tls,
            ErrorStage::Http,
            ErrorStage::Throughput,
        ][failing];
        return cause(Label::Outage(stage), only(kind));
    }

    // Lost packets: some connects come a second late while the others stay as they were.
    let untouched = |signal: usize| {
        let from = since(&[tail(signal)]);
        let effect = Effect::of(bad.iter().map(|&cell| &cells[cell]), from, signal);
        effect.is_none_or(|e| e.low_ratio < 1.15 || e.low_excess < 8e3)
    };
    let lossy = only(tcp_fails) | path | path_tails;
    if tails(TCP) && untouched(TCP) {
        return cause(Label::PathLossBound, lossy);
    }
    // Nobody but a target is slow to shake hands now and then with everybody.
    let is_target = matches!(unit.scope.kind, ScopeKind::Target | ScopeKind::Address);
    if tails(TLS) && !levels(TLS) && untouched(TLS) && !is_target {
        let loses = resent(cells, bad, since(&[tail(TLS)]));
        return if loses { cause(Label::PathLossBound, lossy) } else { None };
    }
    if levels(RATE) && !levels(TCP) && loses(cells, bad, from) {
        return cause(Label::PathLossBound, lossy);
    }

    // A longer way is met by every round trip.
    let (tcp, tls, ttfb) = (excess(TCP), excess(TLS), excess(TTFB));
    let slower = effects[TCP].is_some_and(|effect| effect.matters(TCP, 1.0));
    let common = slower && tcp >= 0.45 * tls.max(ttfb);
    let longer = levels(TCP) || tails(TCP) || (common && (levels(TLS) || levels(TTFB)));
    let has_tls = effects[TLS].is_some();
    if longer && ttfb >= 0.4 * tcp && (!has_tls || tls >= 0.5 * tcp) {
        return cause(Label::PathDelay, path | path_tails | only(level(LOADED)));
    }

    // What is left of each stage when the longer way is taken off.
    let way = if levels(TCP) && ttfb >= 0.4 * tcp { tcp } else { 0.0 };
    let dns = if levels(DNS) || tails(DNS) { excess(DNS).max(1.0) } else { 0.0 };
    let shake = match (levels(TLS) || tails(TLS), longer) {
        (true, _) => (tls - way).max(tcp).max(1.0),
        (false, true) => tcp.max(1.0),
        _ => 0.0,
    };
    let serve = if levels(TTFB) || tails(TTFB) { (ttfb - way).max(1.0) } else { 0.0 };
    let most = dns.max(shake).max(serve);
    if most > 0.0 {
        let handshake = only(level(TCP)) | only(level(TLS)) | only(tail(TCP)) | only(tail(TLS));
        if most == dns {
            return cause(Label::DnsBound, only(level(DNS)) | only(tail(DNS)));
        }
        if most == shake {
            return cause(Label::HandshakeBound, handshake);
        }
        return cause(Label::ServerBound, only(level(TTFB)) | only(tail(TTFB)));
    }
    if levels(LOADED) {
        // A queue leaves the shortest way as it was; where the way itself is longer, so is what is
        // loaded.
        let newest = Effect::of(bad.iter().map(|&cell| &cells[cell]), since(&[level(LOADED)]), TCP);
        let rose = newest.is_some_and(|e| {
            e.matters(TCP, 0.7) && e.low_excess >= 0.3 * excess(LOADED) && !untouched(TCP)
        });
        if rose {
            return cause(Label::PathDelay, path | path_tails | only(level(LOADED)));
        }
        return cause(Label::Bufferbloat, only(level(LOADED)) | only(level(RATE)));
    }
    if levels(RATE) {
        return cause(Label::ThroughputBound, only(level(RATE)));
    }
    None
}

/// Whether any connect came late by a SYN that was sent again: a path that loses packets loses those too.
fn resent(cells: &[Cell], bad: &[usize], from: i64) -> bool {
    bad.iter().take(MOST_CELLS).any(|&cell| {
        let mut minutes = cells[cell].since(from);
        minutes.any(|minute| minute.evidence.hits[tail(TCP)] > 0)
    })
}

/// How many times the usual, at worst; of throughput how many times less.
fn worst_ratio(effects: &[Option<Effect>; SIGNALS]) -> f64 {
    let of = |signal: usize| {
        let effect = effects[signal]?;
        let matters = effect.matters(signal, 0.5);
        let ratio = if signal == RATE { 1.0 / effect.ratio.max(0.01) } else { effect.ratio };
        matters.then_some(ratio)
    };
    (0..SIGNALS).filter_map(of).fold(1.0, f64::max)
}

/// Why a transfer is slow: what the label says already, then what the kernel said of the transfers, then
/// whom it is slow for.
fn slow_by(
    label: Label,
    unit: &Unit,
    effects: &[Option<Effect>; SIGNALS],
    bad: &[usize],
    cells: &[Cell],
    from: i64,
) -> Option<SlowBy> {
    const QUEUE: f64 = 100e3;
    let is_slow = effects[RATE].is_some_and(|effect| effect.matters(RATE, 0.5));
    match label {
        Label::PathLossBound => return is_slow.then_some(SlowBy::Loss),
        Label::Bufferbloat => return is_slow.then_some(SlowBy::Bufferbloat),
        Label::ThroughputBound => {}
        _ => return None,
    }
    if effects[LOADED].is_some_and(|e| e.excess >= QUEUE && e.ratio >= RATIO_LOADED) {
        return Some(SlowBy::Bufferbloat);
    }
    let (mut told, mut by) = (0, [0; 3]);
    for minute in bad.iter().take(MOST_CELLS).flat_map(|&cell| cells[cell].since(from)) {
        let limits = minute.seen.limits();
        told += limits.told;
        by[0] += limits.resent;
        by[1] += limits.client;
        by[2] += limits.server;
    }
    let kernel = [SlowBy::Loss, SlowBy::ClientWindow, SlowBy::Server];
    if let Some((_, cause)) = by.iter().zip(kernel).find(|(n, _)| told >= 3 && 2 * **n > told) {
        return Some(cause);
    }
    match unit.scope.kind {
        ScopeKind::Target | ScopeKind::Address => Some(SlowBy::Server),
        ScopeKind::Client | ScopeKind::Site | ScopeKind::Isp => Some(SlowBy::RateLimit),
        _ => None,
    }
}

/// Whether connects and handshakes come late by retransmission more often than they do usually, as far
/// as a slow transfer asks for.
fn loses(cells: &[Cell], bad: &[usize], from: i64) -> bool {
    let (mut hits, mut n, mut usual) = (0.0, 0.0, 0.0);
    for &cell in bad.iter().take(MOST_CELLS) {
        for signal in [TCP, TLS] {
            let known = &cells[cell].usual[signal];
            if !known.is_known(signal) {
                continue;
            }
            for minute in cells[cell].since(from) {
                let known = known.at(signal, minute.at);
                let from_bucket = super::evidence::tail_from(&known, 150e3);
                let share = known.above(from_bucket) as f64 / known.samples() as f64;
                let samples = minute.seen.samples(signal);
                let beyond = samples.len() - samples.partition_point(|&b| b <= from_bucket);
                hits += beyond as f64;
                n += samples.len() as f64;
                usual += share.max(0.003) * samples.len() as f64;
            }
        }
    }
    // More than chance gives, and three at least.
    n > 0.0 && hits >= 3.0 && hits >= usual + 2.0 * libm::sqrt(usual)
}
