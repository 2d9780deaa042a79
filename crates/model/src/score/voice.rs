//! What a call over the line would sound like: an estimate by ITU-T G.107 with its defaults.
//!
//! `R = 93.2 - Idd - Ie_eff`, `Ie_eff = Ie + (95 - Ie) P / (P / BurstR + Bpl)` with G.711 and
//! concealment (Ie 0, Bpl 25.1) and random loss (BurstR 1). Nobody spoke: the one-way delay is taken
//! to be half the round trip, so every number here is an estimate and is to be shown as one.

use serde::Serialize;

/// An estimate of a call's quality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Voice {
    /// The rating factor, at most 93.2.
    pub r: f64,
    /// The mean opinion score it stands for, 1 to 4.5.
    pub mos: f64,
    /// Always true: no call was measured.
    pub estimate: bool,
}

/// R without any impairment, with the standard's defaults.
const BEST: f64 = 93.2;
/// How well G.711 with concealment bears random loss.
const BPL: f64 = 25.1;
/// Coding and the receiver's buffer, ms.
const CODEC_MS: f64 = 30.0;

/// The one-way delay in ms from what a probe sees: `rtt / 2 + 2 jitter + 30`.
pub fn one_way_ms(rtt_ms: f64, jitter_ms: f64) -> f64 {
    rtt_ms / 2.0 + 2.0 * jitter_ms + CODEC_MS
}

impl Voice {
    /// From the one-way delay in ms and the loss in percent. `None` for what is no delay or share.
    pub fn of(one_way_ms: f64, loss_percent: f64) -> Option<Self> {
        let possible = one_way_ms >= 0.0 && (0.0..=100.0).contains(&loss_percent);
        let r = BEST - delay(one_way_ms) - 95.0 * loss_percent / (loss_percent + BPL);
        possible.then(|| Self { r, mos: mos(r), estimate: true })
    }
}

/// Idd: nothing up to 100 ms.
fn delay(one_way_ms: f64) -> f64 {
    if one_way_ms <= 100.0 {
        return 0.0;
    }
    let x = (one_way_ms / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// The mean opinion score of a rating: `1 + 0.035 R + R (R - 60)(100 - R) 7e-6`, 1 to 4.5.
pub fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6
    }
}
