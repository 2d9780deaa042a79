//! Which windows a judgement rests on: the newest alone where it holds enough, else merged
//! with those before it.

use std::borrow::Cow;

use super::baseline::Medians;
use super::{CellWindow, Label};
use crate::sketch::Quantile;
use crate::stage::Metric;
use crate::window::Window;

/// Samples a median is taken of at least.
pub(super) const ENOUGH: u64 = 5;
/// The most windows that are merged: older ones are no longer "now".
const MAX_WINDOWS: usize = 15;
/// Windows further apart than this, in minutes, do not belong together.
pub(super) const MAX_GAP_MIN: i64 = 15;

/// The newest window and those before it that may be merged with it, ascending: close enough
/// in time, and on the other side of no more than one fault's beginning, so that two faults
/// are not mixed.
pub(super) fn within_reach<'a>(
    windows: &'a [CellWindow],
    faults: &[Option<Label>],
    newest: usize,
) -> &'a [CellWindow] {
    let mut first = newest;
    let mut seen = None;
    while first > 0 && newest - first + 1 < MAX_WINDOWS {
        let before = first - 1;
        let other_fault = seen.is_some() && faults[before].is_some() && faults[before] != seen;
        if gap_min(&windows[before], &windows[first]) > MAX_GAP_MIN || other_fault {
            break;
        }
        seen = seen.or(faults[before]);
        first = before;
    }
    &windows[first..=newest]
}

/// Minutes from the start of one window to the start of the next.
pub(super) fn gap_min(before: &CellWindow, after: &CellWindow) -> i64 {
    after.start.0.saturating_sub(before.start.0)
}

/// Trailing windows, merged.
pub(super) struct Pool<'a> {
    /// Those that were merged, ascending.
    pub(super) windows: &'a [CellWindow],
    /// What they hold together.
    pub(super) merged: Cow<'a, Window>,
}

impl<'a> Pool<'a> {
    /// The shortest tail that holds [`ENOUGH`] by `size`, or all where it never does.
    pub(super) fn of(reach: &'a [CellWindow], size: impl Fn(&Window) -> u64) -> Self {
        let mut held = 0;
        let enough = |w: &CellWindow| {
            held += size(&w.window);
            held >= ENOUGH
        };
        let first = reach.iter().rposition(enough).unwrap_or(0);
        Self::all(&reach[first..])
    }

    /// All of these windows.
    pub(super) fn all(windows: &'a [CellWindow]) -> Self {
        let merged = match windows {
            [one] => Cow::Borrowed(&one.window),
            many => {
                let mut merged = Window::default();
                many.iter().for_each(|w| merged.merge(&w.window));
                Cow::Owned(merged)
            }
        };
        Self { windows, merged }
    }

    /// The median of each metric that has enough samples.
    pub(super) fn medians(&self) -> Medians {
        Metric::ALL.map(|metric| {
            let sketch = self.merged.sketch(metric);
            sketch.quantile(Quantile::P50).filter(|_| sketch.count() >= ENOUGH)
        })
    }

    /// Minutes from the first window's start to the last one's end.
    pub(super) fn minutes(&self) -> i64 {
        match self.windows {
            [] => 0,
            [first, .., last] => gap_min(first, last) + 1,
            [_] => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::testing::{Samples, cell};

    fn one_a_minute(n: usize) -> Vec<CellWindow> {
        cell((0..n).map(|_| Samples::ms(20)))
    }

    #[test]
    fn the_newest_window_stands_alone_where_it_holds_enough() {
        let windows = cell([Samples::ms(900).times(9), Samples::ms(20).times(5)]);
        let pool = Pool::of(&windows, |w| w.sums().n);
        assert_eq!((pool.windows.len(), pool.merged.sums().n), (1, 5));
        assert_eq!(pool.medians()[0], Some(20_000));
    }

    #[test]
    fn small_windows_are_merged_until_they_hold_enough() {
        let windows = one_a_minute(8);
        let pool = Pool::of(&windows, |w| w.sums().n);
        assert_eq!((pool.windows.len(), pool.merged.sums().n, pool.minutes()), (5, 5, 5));
        let few = Pool::of(&windows[..3], |w| w.sums().n);
        assert_eq!((few.windows.len(), few.medians()), (3, [None; 6]));
    }

    #[test]
    fn reach_ends_at_fifteen_windows_at_a_gap_and_at_a_second_fault() {
        let mut windows = one_a_minute(20);
        let mut faults = vec![None; 20];
        assert_eq!(within_reach(&windows, &faults, 19).len(), 15);
        faults[15] = Some(Label::DnsBound);
        faults[16] = Some(Label::DnsBound);
        assert_eq!(within_reach(&windows, &faults, 19).len(), 15);
        faults[12] = Some(Label::ServerBound);
        assert_eq!(within_reach(&windows, &faults, 19).len(), 7);
        for w in &mut windows[18..] {
            w.start = w.start.plus(15);
        }
        assert_eq!(within_reach(&windows, &faults, 19).len(), 2);
    }
}
