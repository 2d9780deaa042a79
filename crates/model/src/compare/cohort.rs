//! What is compared: windows by the minute, and all of them together.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::units::Minute;
use crate::window::Window;

/// The most minutes of a cohort, a week: its windows are held in memory.
pub const MOST_MINUTES: usize = 7 * 24 * 60;

/// A set of measurements.
#[derive(Clone, Debug, Default)]
pub struct Cohort {
    minutes: BTreeMap<Minute, Window>,
    merged: Window,
}

/// A cohort spans more minutes than can be compared.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a cohort of more than {MOST_MINUTES} minutes can't be compared; take at most a week")]
pub struct TooLong;

impl Cohort {
    /// Adds a window of one minute. Those of several clients and targets come together in it.
    ///
    /// # Errors
    /// Where it would be one minute more than [`MOST_MINUTES`]. The cohort then is as it was.
    pub fn add(&mut self, at: Minute, window: &Window) -> Result<(), TooLong> {
        if self.minutes.len() >= MOST_MINUTES && !self.minutes.contains_key(&at) {
            return Err(TooLong);
        }
        self.minutes.entry(at).or_default().merge(window);
        self.merged.merge(window);
        Ok(())
    }

    /// Everything together.
    pub fn merged(&self) -> &Window {
        &self.merged
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.minutes.is_empty()
    }

    /// The windows by time.
    pub(super) fn minutes(&self) -> impl Iterator<Item = &Window> {
        self.minutes.values()
    }
}
