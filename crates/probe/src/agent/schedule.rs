//! When to measure: a fixed grid for each target, so that the time a measurement takes does not
//! shift those after it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The first measurement comes soon after the start, at a random moment within this time, so
/// that probes that start together do not measure together.
const START_WITHIN: Duration = Duration::from_secs(3);

/// The ticks of one target: one soon after the start, the others on a grid with a random phase.
#[derive(Debug)]
pub(super) struct Grid {
    interval: Duration,
    next: Instant,
    after_first: Option<Instant>,
}

impl Grid {
    /// A grid from now on; `start` and `phase` are random numbers of 0 to 1.
    pub(super) fn new(now: Instant, interval: Duration, start: f64, phase: f64) -> Self {
        let first = now + START_WITHIN.min(interval / 2).mul_f64(start);
        let phase = now + interval + interval.mul_f64(phase);
        Self { interval, next: first, after_first: Some(phase) }
    }

    /// When to measure next.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Moves on to the first tick after `now`; the number of those that were missed. They are
    /// counted, not made up for: measurements on top of each other would measure each other.
    pub(super) fn advance(&mut self, now: Instant) -> u64 {
        match self.after_first.take() {
            Some(second) => self.next = second,
            None => self.next += self.interval,
        }
        let mut missed = 0;
        while self.next <= now {
            self.next += self.interval;
            missed += 1;
        }
        missed
    }
}

/// Does something at each tick for ever, and tells of those that were missed as soon as it is known.
pub(super) async fn on_grid<F: Future<Output = ()>>(
    mut grid: Grid,
    mut step: impl FnMut() -> F,
    tell_missed: impl Fn(u64),
) {
    loop {
        sleep_until(grid.next()).await;
        step().await;
        let missed = grid.advance(Instant::now());
        if missed > 0 {
            tell_missed(missed);
        }
    }
}

/// Whether a transfer is due, at most every so often.
#[derive(Debug)]
pub(super) struct Pace {
    every: Option<Duration>,
    last: Option<Instant>,
}

impl Pace {
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, last: None }
    }

    /// Whether one is due at `now`; then `now` counts as the last.
    pub(super) fn due(&mut self, now: Instant) -> bool {
        let Some(every) = self.every else { return false };
        let due = self.last.is_none_or(|last| now.duration_since(last) >= every);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What one target did, in milliseconds since the start.
    #[derive(Default)]
    struct Diary {
        began: RefCell<Vec<u128>>,
        missed: Cell<u64>,
    }

    /// Runs targets side by side, each of which takes as long as is said, until the time is over.
    async fn run(takes: &[Duration], meanwhile: impl Future<Output = ()>) -> Vec<Rc<Diary>> {
        let start = Instant::now();
        let diaries: Vec<_> = takes.iter().map(|_| Rc::<Diary>::default()).collect();
        let all = LocalSet::new();
        for (takes, diary) in takes.iter().copied().zip(&diaries) {
            let (diary, told) = (Rc::clone(diary), Rc::clone(diary));
            let step = move || {
                diary.began.borrow_mut().push(start.elapsed().as_millis());
                tokio::time::sleep(takes)
            };
            // The first at 1.5 s, the second at 13 s, the others every 10 s.
            let grid = Grid::new(start, 10 * SECOND, 0.5, 0.3);
            let missed = move |missed| told.missed.set(told.missed.get() + missed);
            all.spawn_local(on_grid(grid, step, missed));
        }
        all.run_until(meanwhile).await;
        diaries
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_target_misses_its_own_ticks_and_delays_no_other() {
        let takes = [25 * SECOND, SECOND / 50, Duration::ZERO];
        let diaries = run(&takes, tokio::time::sleep(100 * SECOND)).await;
        let grid = [1_500, 13_000, 23_000, 33_000, 43_000, 53_000, 63_000, 73_000, 83_000, 93_000];
        for fast in &diaries[1..] {
            assert_eq!(*fast.began.borrow(), grid);
            assert_eq!(fast.missed.get(), 0);
        }
        // From 1.5 to 26.5 s, so 13 and 23 fell meanwhile; it goes on at 33, never in between.
        assert_eq!(*diaries[0].began.borrow(), [1_500, 33_000, 63_000, 93_000]);
        assert_eq!(diaries[0].missed.get(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_the_clock_is_one_measurement_and_no_burst() {
        let sleep = async {
            tokio::time::sleep(30 * SECOND).await;
            tokio::time::advance(8 * 3_600 * SECOND).await;
            tokio::time::sleep(30 * SECOND).await;
        };
        let takes = [SECOND / 50; 3];
        for diary in run(&takes, sleep).await {
            let hours = 8 * 3_600_000;
            let began = diary.began.borrow();
            // Up to 30 s; at once after 8 hours; then as if nothing had been.
            let expected = [
                1_500,
                13_000,
                23_000,
                hours + 30_000,
                hours + 33_000,
                hours + 43_000,
                hours + 53_000,
            ];
            assert_eq!(*began, expected);
            let ticks = (hours + 53_000 - 3_000) / 10_000 + 1;
            assert_eq!(began.len() as u128 + u128::from(diary.missed.get()), ticks);
        }
    }

    #[tokio::test]
    async fn ticks_stay_on_the_grid_and_missed_ones_are_counted() {
        let now = Instant::now();
        let mut grid = Grid::new(now, 10 * SECOND, 0.5, 0.3);
        assert_eq!(grid.next(), now + Duration::from_millis(1_500));
        assert_eq!(grid.advance(now + 2 * SECOND), 0);
        assert_eq!(grid.next(), now + 13 * SECOND);
        assert_eq!(grid.advance(now + 14 * SECOND), 0);
        assert_eq!(grid.next(), now + 23 * SECOND);
        assert_eq!(grid.advance(now + 43 * SECOND), 2, "33 and 43 were missed");
        assert_eq!(grid.next(), now + 53 * SECOND);
    }

    /// Where the clock runs on while a machine sleeps.
    #[tokio::test]
    async fn after_hours_away_there_is_one_measurement_and_the_grid_goes_on() {
        let now = Instant::now();
        let mut grid = Grid::new(now, 10 * SECOND, 0.0, 0.5);
        grid.advance(now);
        let (before, woken) = (grid.next(), now + 8 * 3_600 * SECOND);
        let missed = grid.advance(woken);
        assert!(grid.next() > woken && grid.next() <= woken + 10 * SECOND);
        let ticks = u32::try_from(missed + 1).unwrap();
        assert_eq!(grid.next(), before + ticks * 10 * SECOND, "on the same grid, none made up for");
        assert_eq!(grid.advance(woken), 0);
    }

    #[tokio::test]
    async fn transfers_keep_their_own_pace() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(60 * SECOND));
        assert!(pace.due(now));
        assert!(!pace.due(now + 59 * SECOND));
        assert!(pace.due(now + 60 * SECOND));
        assert!(!Pace::new(None).due(now));
        let mut always = Pace::new(Some(Duration::ZERO));
        assert!(always.due(now) && always.due(now));
    }
}
