//! A label that must stand for some windows before it is told.

use super::Label;
use crate::units::Minute;

/// Tells a label from the last of so many windows in a row on that have it.
#[derive(Clone, Debug)]
pub struct Hold {
    needed: u32,
    last: Option<(Minute, Option<Label>)>,
    run: u32,
}

impl Hold {
    /// With so many windows needed; the first is one.
    pub fn new(needed: u32) -> Self {
        Self { needed, last: None, run: 0 }
    }

    /// The next window's label, where it has stood long enough.
    pub fn next(&mut self, start: Minute, label: Option<Label>) -> Option<Label> {
        let follows = self.last == Some((Minute(start.0 - 1), label));
        self.run = if follows { self.run.saturating_add(1) } else { 1 };
        self.last = Some((start, label));
        label.filter(|_| self.run >= self.needed)
    }
}
