//! Things that come for a while, again and again, at random.

use crate::simulate::random::{Random, Stream};

/// One for each slot of time: it begins anywhere in its slot.
#[derive(Clone, Debug)]
pub(super) struct Pulses {
    stream: Stream,
    slot_ms: i64,
    /// Shortest and longest, milliseconds; shorter than a slot.
    lasts_ms: (f64, f64),
    /// The slot that is now, once there is one.
    slot: Option<i64>,
    /// Of the slot before, and of this one.
    pulses: [Pulse; 2],
}

/// One of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pulse {
    from_ms: i64,
    pub(super) to_ms: i64,
    /// 0 to 1.
    pub(super) strength: f64,
}

impl Pulses {
    /// So many an hour; `None` for none.
    pub(super) fn new(names: &[&str], per_hour: f64, lasts_ms: (f64, f64)) -> Option<Self> {
        if per_hour <= 0.0 {
            return None;
        }
        // Whole minutes, so that a minute is in one slot.
        let minutes = super::whole(60.0 / per_hour).max(1);
        let slot_ms = minutes * 60_000;
        let most = lasts_ms.1.min(slot_ms as f64);
        Some(Self {
            stream: Stream::of(names),
            slot_ms,
            lasts_ms: (lasts_ms.0.min(most), most),
            slot: None,
            pulses: [Pulse::default(); 2],
        })
    }

    /// Goes to a minute.
    pub(super) fn advance(&mut self, random: &mut Random, minute_ms: i64) {
        let slot = minute_ms.div_euclid(self.slot_ms);
        if self.slot != Some(slot) {
            self.slot = Some(slot);
            self.pulses = [self.draw(random, slot - 1), self.draw(random, slot)];
        }
    }

    fn draw(&self, random: &mut Random, slot: i64) -> Pulse {
        let own = random.at(self.stream, slot.unsigned_abs());
        let from_ms = slot * self.slot_ms + super::whole(own.unit() * self.slot_ms as f64);
        let (least, most) = self.lasts_ms;
        let lasts_ms = least * libm::pow(most / least, own.unit());
        Pulse { from_ms, to_ms: from_ms + super::whole(lasts_ms), strength: own.unit() }
    }

    /// The one that is there; of two the newer.
    pub(super) fn at(&self, ts_ms: i64) -> Option<Pulse> {
        self.pulses.into_iter().rev().find(|p| p.from_ms <= ts_ms && ts_ms < p.to_ms)
    }

    /// The one that came last.
    pub(super) fn latest(&self, ts_ms: i64) -> Pulse {
        self.pulses[usize::from(self.pulses[1].from_ms <= ts_ms)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_a_slot_of_the_given_length() {
        let mut random = Random::new(1);
        let mut pulses = Pulses::new(&["x"], 2.0, (10_000.0, 60_000.0)).unwrap();
        let mut seconds_on = 0;
        for minute in 0..6_000 {
            pulses.advance(&mut random, minute * 60_000);
            seconds_on +=
                (0..60).filter(|s| pulses.at(minute * 60_000 + s * 1_000).is_some()).count();
        }
        // 200 of them of 28 s in the mean: 50 s / ln 6.
        assert!((5_000..6_200).contains(&seconds_on), "{seconds_on}");
        assert!(Pulses::new(&["x"], 0.0, (1.0, 2.0)).is_none());
    }
}
