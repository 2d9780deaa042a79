//! Sets of cells, which may be a hundred thousand.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Numbers of cells, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cells(Vec<usize>);

impl Cells {
    /// Whether it is one of them.
    pub fn has(&self, cell: usize) -> bool {
        self.0.binary_search(&cell).is_ok()
    }

    /// Whether all of the others are among them.
    pub(super) fn take_in(&self, others: &Self) -> bool {
        others.len() <= self.len() && others.iter().all(|&cell| self.has(cell))
    }

    /// How many are in both.
    pub(super) fn common(&self, other: &Self) -> usize {
        let (few, many) = if self.len() < other.len() { (self, other) } else { (other, self) };
        few.iter().filter(|&&cell| many.has(cell)).count()
    }

    pub(super) fn add(&mut self, cell: usize) {
        // Mostly they come in order.
        if self.last().is_none_or(|&last| last < cell) {
            self.0.push(cell);
        } else if let Err(at) = self.0.binary_search(&cell) {
            self.0.insert(at, cell);
        }
    }

    /// Adds many, at the cost of going through all once.
    pub(super) fn add_all(&mut self, cells: impl IntoIterator<Item = usize>) {
        self.0.extend(cells);
        self.0.sort_unstable();
        self.0.dedup();
    }

    pub(super) fn remove(&mut self, cell: usize) {
        if let Ok(at) = self.0.binary_search(&cell) {
            self.0.remove(at);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Deref for Cells {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl FromIterator<usize> for Cells {
    fn from_iter<I: IntoIterator<Item = usize>>(cells: I) -> Self {
        let mut all = Self::default();
        all.add_all(cells);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_kept_in_order_and_once() {
        let mut cells: Cells = [5, 3, 9, 3].into_iter().collect();
        [9, 4, 12].into_iter().for_each(|cell| cells.add(cell));
        assert_eq!(*cells, [3, 4, 5, 9, 12]);
        cells.remove(5);
        cells.remove(6);
        cells.add_all([1, 12]);
        assert_eq!(*cells, [1, 3, 4, 9, 12]);
        assert!(cells.has(9) && !cells.has(5));
    }

    #[test]
    fn sets_are_held_against_each_other() {
        let all: Cells = (0..10).collect();
        let some: Cells = [2, 4, 11].into_iter().collect();
        assert_eq!((all.common(&some), some.common(&all)), (2, 2));
        assert!(!all.take_in(&some) && all.take_in(&(4..7).collect()));
        assert!(all.take_in(&Cells::default()));
    }
}
