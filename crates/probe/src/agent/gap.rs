//! What was lost: how much and from when to when, until the ingest knows it. Pure.
//!
//! The next event that is made after a loss carries it to the ingest, and with the event's own id
//! it is counted once. An event that is lost itself leaves what it carried to the next one.

use model::wire::WireGap;

use super::queue::Line;

/// Events that were lost for want of room, or because their place on the disk could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    /// How many.
    pub count: u64,
    /// The time of the oldest, where it is known.
    pub first_ts_ms: Option<i64>,
    /// The time of the newest, where it is known.
    pub last_ts_ms: Option<i64>,
}

impl Gap {
    /// One event, of this time.
    pub(super) fn one(ts_ms: Option<i64>) -> Self {
        Self { count: 1, first_ts_ms: ts_ms, last_ts_ms: ts_ms }
    }

    /// So many events of which nothing is known.
    pub(super) fn unknown(count: u64) -> Self {
        Self { count, ..Self::default() }
    }

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            first_ts_ms: self.first_ts_ms.into_iter().chain(other.first_ts_ms).min(),
            last_ts_ms: self.last_ts_ms.into_iter().chain(other.last_ts_ms).max(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// As it travels; nothing where nothing was lost.
    pub(super) fn to_wire(self) -> Option<WireGap> {
        let Self { count, first_ts_ms, last_ts_ms } = self;
        (count > 0).then_some(WireGap { count, first_ts_ms, last_ts_ms })
    }
}

impl From<WireGap> for Gap {
    fn from(WireGap { count, first_ts_ms, last_ts_ms }: WireGap) -> Self {
        Self { count, first_ts_ms, last_ts_ms }
    }
}

/// What was lost and is on no event yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    /// To be carried by the next event.
    pending: Gap,
    /// Of the batch that is on its way: lost only if the ingest does not take it.
    doubtful: Gap,
    /// Where that batch ends.
    under_way: Option<u64>,
    /// Events lost since the start, for the summary.
    lost: u64,
}

impl Losses {
    /// Takes up what an earlier process left.
    pub(super) fn left(pending: Gap) -> Self {
        Self { pending, ..Self::default() }
    }

    /// The event of this number is lost, with what it carried.
    pub(super) fn lose(&mut self, number: u64, line: &Line) {
        let told = line.told();
        let gap = Gap::one(told.ts_ms).and(told.gap.map(Gap::from).unwrap_or_default());
        match self.under_way {
            Some(upto) if number < upto => self.doubtful = self.doubtful.and(gap),
            _ => self.pending = self.pending.and(gap),
        }
        self.count(1);
    }

    /// So many events are lost of which nothing can be read.
    pub(super) fn lose_unread(&mut self, count: u64) {
        if count > 0 {
            self.pending = self.pending.and(Gap::unknown(count));
            self.count(count);
        }
    }

    /// An event is done with, and what it carried was not taken.
    pub(super) fn hand_back(&mut self, gap: Gap) {
        self.pending = self.pending.and(gap);
    }

    /// A batch that ends before this number is on its way; the one before is given up.
    pub(super) fn sending(&mut self, upto: u64) {
        self.settle_doubt(true);
        self.under_way = Some(upto);
    }

    /// It was taken, or refused for good.
    pub(super) fn settled(&mut self) {
        self.settle_doubt(false);
    }

    fn settle_doubt(&mut self, lost: bool) {
        let doubtful = std::mem::take(&mut self.doubtful);
        if lost {
            self.pending = self.pending.and(doubtful);
        }
        self.under_way = None;
    }

    /// What the next event carries; then it is on that event.
    pub(super) fn take(&mut self) -> Gap {
        std::mem::take(&mut self.pending)
    }

    /// Whether the next event has something to carry.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// All that would have to be told if the process ended now.
    pub(super) fn untold(&self) -> Gap {
        self.pending.and(self.doubtful)
    }

    /// Events lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn count(&mut self, more: u64) {
        let before = self.lost;
        self.lost += more;
        // Told at the first and then seldom, or a long outage fills the log.
        if before == 0 || before / 1_000 != self.lost / 1_000 {
            tracing::warn!(events = self.lost, "events are lost, the oldest first");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: i64, gap: &str) -> Line {
        Line(format!(r#"{{"ts_ms":{n}{gap}}}"#).into())
    }

    fn gap(count: u64, first: i64, last: i64) -> Gap {
        Gap { count, first_ts_ms: Some(first), last_ts_ms: Some(last) }
    }

    #[test]
    fn a_lost_event_leaves_its_gap_to_the_next() {
        let mut losses = Losses::default();
        losses.lose(5, &line(50, r#","gap":{"count":4,"first_ts_ms":10,"last_ts_ms":40}"#));
        losses.lose(6, &line(60, ""));
        assert_eq!((losses.take(), losses.lost()), (gap(6, 10, 60), 2));
        assert!(losses.take().is_empty());
        losses.lose_unread(3);
        losses.hand_back(gap(2, 7, 8));
        assert_eq!((losses.take(), losses.lost()), (gap(5, 7, 8), 5));
    }

    #[test]
    fn what_is_under_way_is_lost_only_where_it_does_not_arrive() {
        for (arrives, expected) in [(true, gap(1, 20, 20)), (false, gap(2, 10, 20))] {
            let mut losses = Losses::default();
            losses.sending(2);
            losses.lose(1, &line(10, ""));
            losses.lose(2, &line(20, ""));
            assert_eq!(losses.untold(), gap(2, 10, 20));
            match arrives {
                true => losses.settled(),
                false => losses.sending(9),
            }
            assert_eq!(losses.take(), expected, "{arrives}");
        }
    }
}
