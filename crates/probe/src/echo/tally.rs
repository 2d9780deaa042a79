//! Which packets came back, and what that says. Pure.

use std::time::{Duration, Instant};

use super::Method;
use crate::spread;

/// What a series of echoes showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Echoes {
    /// By what packets were sent back.
    pub method: Method,
    /// Why by no better method.
    pub why_not_better: Option<String>,
    /// How many were sent.
    pub sent: u16,
    /// Round trips of those that came back, in the order in which they were sent.
    pub round_trips: Vec<Duration>,
    /// Answers that came again.
    pub duplicates: u32,
    /// Answers that came after one to a later packet.
    pub reordered: u32,
}

impl Echoes {
    /// The share that did not come back, 0 to 1; absent where none could be sent.
    pub fn loss(&self) -> Option<f64> {
        let came = u16::try_from(self.round_trips.len()).unwrap_or(self.sent);
        let lost = f64::from(self.sent.saturating_sub(came));
        (self.sent > 0).then(|| lost / f64::from(self.sent))
    }

    /// The mean difference of consecutive round trips; absent with fewer than two.
    pub fn jitter(&self) -> Option<Duration> {
        spread::jitter(&self.round_trips)
    }

    /// The middle round trip.
    pub fn median(&self) -> Option<Duration> {
        spread::median(&self.round_trips)
    }
}

#[derive(Debug)]
pub(super) struct Tally {
    packets: Vec<(Option<Instant>, Option<Duration>)>,
    latest: Option<u16>,
    duplicates: u32,
    reordered: u32,
}

impl Tally {
    pub(super) fn new(count: u16) -> Self {
        let packets = vec![(None, None); usize::from(count)];
        Self { packets, latest: None, duplicates: 0, reordered: 0 }
    }

    pub(super) fn sent(&mut self, number: u16, at: Instant) {
        if let Some((sent, _)) = self.packets.get_mut(usize::from(number)) {
            *sent = Some(at);
        }
    }

    /// An answer came. One to a packet that was not sent is nobody's.
    pub(super) fn came(&mut self, number: u16, at: Instant) {
        let Some((Some(sent), answer)) = self.packets.get_mut(usize::from(number)) else { return };
        if answer.is_some() {
            self.duplicates += 1;
            return;
        }
        *answer = Some(at.saturating_duration_since(*sent));
        if self.latest.is_some_and(|latest| number < latest) {
            self.reordered += 1;
        }
        self.latest = self.latest.max(Some(number));
    }

    pub(super) fn is_complete(&self) -> bool {
        self.packets.iter().all(|(sent, answer)| sent.is_none() || answer.is_some())
    }

    pub(super) fn told(self, method: Method, why_not_better: Option<String>) -> Echoes {
        let sent = self.packets.iter().filter(|(sent, _)| sent.is_some()).count();
        Echoes {
            method,
            why_not_better,
            sent: u16::try_from(sent).unwrap_or(u16::MAX),
            round_trips: self.packets.into_iter().filter_map(|(_, answer)| answer).collect(),
            duplicates: self.duplicates,
            reordered: self.reordered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_jitter_duplicates_and_order_are_told() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut tally = Tally::new(5);
        for number in 0..5 {
            tally.sent(number, start + ms(10 * u64::from(number)));
        }
        tally.came(0, start + ms(8));
        tally.came(2, start + ms(32));
        tally.came(1, start + ms(36));
        tally.came(1, start + ms(37));
        tally.came(9, start + ms(38));
        assert!(!tally.is_complete(), "3 and 4 did not come");
        let echoes = tally.told(Method::Udp, None);
        assert_eq!(echoes.round_trips, [ms(8), ms(26), ms(12)]);
        assert_eq!((echoes.sent, echoes.duplicates, echoes.reordered), (5, 1, 1));
        assert!((echoes.loss().unwrap() - 0.4).abs() < 1e-9);
        assert_eq!((echoes.jitter(), echoes.median()), (Some(ms(16)), Some(ms(12))));
    }

    #[test]
    fn nothing_has_neither_jitter_nor_middle() {
        let mut tally = Tally::new(2);
        tally.came(0, Instant::now());
        tally.sent(0, Instant::now());
        let echoes = tally.told(Method::Tcp, Some("no".to_owned()));
        assert_eq!((echoes.sent, echoes.jitter(), echoes.median()), (1, None, None));
        assert!((echoes.loss().unwrap() - 1.0).abs() < 1e-9);
    }
}
