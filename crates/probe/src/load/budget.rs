//! What a probe may move in a day, over all its targets and through restarts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A day of UTC.
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// What was moved on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Days since the Unix epoch.
    day: i64,
    /// Bytes reserved on it and not given back.
    bytes: u64,
}

impl Spent {
    /// What is left of a day's budget. A clock that went back to an earlier day brings nothing back.
    pub fn left(&self, now_ms: i64, daily: u64) -> u64 {
        if self.is_over(now_ms) { daily } else { daily.saturating_sub(self.bytes) }
    }

    fn is_over(&self, now_ms: i64) -> bool {
        now_ms.div_euclid(DAY_MS) > self.day
    }

    /// With so many bytes more.
    #[must_use]
    pub fn with(self, now_ms: i64, bytes: u64) -> Self {
        let today = now_ms.div_euclid(DAY_MS);
        let before = if self.is_over(now_ms) { 0 } else { self.bytes };
        // A clock that was far ahead once does not keep the budget shut until then.
        let day = if self.day > today + 1 { today } else { today.max(self.day) };
        Self { day, bytes: before.saturating_add(bytes) }
    }

    /// With so many bytes of what was spent at this moment less; of another day nothing comes back.
    #[must_use]
    pub fn without(self, spent_ms: i64, bytes: u64) -> Self {
        if self.is_over(spent_ms) || spent_ms.div_euclid(DAY_MS) < self.day {
            return self;
        }
        Self { bytes: self.bytes.saturating_sub(bytes), ..self }
    }
}

/// The budget, with what was spent of it on disk.
#[derive(Debug)]
pub struct Budget {
    daily: u64,
    path: Option<PathBuf>,
    spent: Spent,
}

impl Budget {
    /// A budget of so many bytes a day; what was spent stands in a file of this folder. Without a
    /// folder it is known until the process ends. A file that can't be read counts as a day spent: a
    /// budget that errs does not cost the user money.
    pub fn open(dir: Option<&Path>, daily: u64, now_ms: i64) -> Self {
        let path = dir.map(|dir| dir.join("spent.json"));
        let spent = match path.as_ref().map(fs::read_to_string) {
            None => Spent::default(),
            Some(Err(e)) if e.kind() == io::ErrorKind::NotFound => Spent::default(),
            Some(read) => read
                .ok()
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_else(|| Spent::default().with(now_ms, u64::MAX)),
        };
        Self { daily, path, spent }
    }

    /// Bytes that are left of today's.
    pub fn left(&self, now_ms: i64) -> u64 {
        self.spent.left(now_ms, self.daily)
    }

    /// Sets bytes aside for a test, before it moves any: all of them, or none where there are not so
    /// many, or where that could not be written down.
    pub fn reserve(&mut self, now_ms: i64, bytes: u64) -> bool {
        if self.left(now_ms) < bytes {
            return false;
        }
        let spent = self.spent.with(now_ms, bytes);
        if let Err(error) = self.keep(spent) {
            tracing::warn!("cannot note what is spent of the day's bytes: {error}");
            return false;
        }
        self.spent = spent;
        true
    }

    /// Gives back what a test did not use of what was reserved at this moment. Where it can't be
    /// written down it is not given back.
    pub fn give_back(&mut self, reserved_ms: i64, bytes: u64) {
        let spent = self.spent.without(reserved_ms, bytes);
        if self.keep(spent).is_ok() {
            self.spent = spent;
        }
    }

    fn keep(&self, spent: Spent) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let draft = path.with_extension("new");
        fs::write(&draft, serde_json::to_vec(&spent)?)?;
        fs::rename(draft, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_days_bytes_outlive_the_process_and_end_with_the_day() {
        let dir = tempfile::tempdir().unwrap();
        let now = 5 * DAY_MS + 7;
        let mut budget = Budget::open(Some(dir.path()), 100, now);
        assert!(budget.reserve(now, 80) && !budget.reserve(now, 30));
        budget.give_back(now, 20);
        let mut again = Budget::open(Some(dir.path()), 100, now);
        assert_eq!(again.left(now), 40);
        assert_eq!(again.left(now - DAY_MS), 40, "a clock that goes back brings nothing back");
        assert!(again.reserve(now + DAY_MS, 100) && !again.reserve(now + DAY_MS, 1));
        again.give_back(now, 50);
        assert_eq!(again.left(now + DAY_MS), 0, "of yesterday nothing comes back");
        fs::write(dir.path().join("spent.json"), "torn").unwrap();
        assert_eq!(Budget::open(Some(dir.path()), 100, now).left(now), 0);
        assert_eq!(Budget::open(Some(dir.path()), 100, now).left(now + DAY_MS), 100);
    }

    #[test]
    fn what_cannot_be_noted_is_not_spent() {
        let mut budget = Budget::open(Some(Path::new("/proc/nowhere")), 100, 0);
        assert!(!budget.reserve(0, 1));
    }

    proptest! {
        #[test]
        fn a_day_never_has_more_than_its_budget(
            steps in prop::collection::vec((0_i64..DAY_MS / 4, 0_u64..60, 0_u64..60), 1..60),
        ) {
            let mut budget = Budget::open(None, 100, 0);
            let mut now = 0;
            let mut moved = std::collections::BTreeMap::<i64, u64>::new();
            for (later, wanted, used) in steps {
                now += later;
                if budget.reserve(now, wanted) {
                    let used = used.min(wanted);
                    budget.give_back(now, wanted - used);
                    *moved.entry(now.div_euclid(DAY_MS)).or_default() += used;
                }
            }
            prop_assert!(moved.values().all(|bytes| *bytes <= 100));
        }
    }
}
