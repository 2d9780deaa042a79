//! Grades for a line under load: how much the queue adds (bufferbloat), and how much is lost.
//! The tables are DSLReports' (FAQ 17930).

use std::fmt;

use serde::Serialize;

use super::reached;

/// A school's grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "a grade is its letter")]
pub enum Grade {
    #[serde(rename = "A+")]
    APlus,
    A,
    B,
    C,
    D,
    F,
}

/// From the best on, in the order of the bounds.
const GRADES: [Grade; 6] = [Grade::APlus, Grade::A, Grade::B, Grade::C, Grade::D, Grade::F];

/// What load adds to the round trip, ms: each grade ends below its bound.
const ADDED_MS: [f64; 5] = [5.0, 30.0, 60.0, 200.0, 400.0];
/// Lost packets, percent: each grade includes its bound.
const LOST_PERCENT: [f64; 5] = [1.0, 2.5, 3.0, 5.0, 12.0];

/// The grade of what load adds to the round trip in ms, where both ways were loaded the mean of the
/// two ([`mean_increase`]). `None` for what is no number.
pub fn bufferbloat(added_ms: f64) -> Option<Grade> {
    if added_ms.is_nan() { None } else { GRADES.get(reached(added_ms, &ADDED_MS)).copied() }
}

/// The mean of what load adds downwards and upwards, or that of the way that was loaded.
pub fn mean_increase(down_ms: Option<f64>, up_ms: Option<f64>) -> Option<f64> {
    match (down_ms, up_ms) {
        (Some(down), Some(up)) => Some(f64::midpoint(down, up)),
        (one, other) => one.or(other),
    }
}

/// The grade of lost packets, in percent. `None` for what is no share.
pub fn loss(percent: f64) -> Option<Grade> {
    if !(0.0..=100.0).contains(&percent) {
        return None;
    }
    GRADES.get(LOST_PERCENT.iter().take_while(|&&bound| percent > bound).count()).copied()
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::APlus => "A+",
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::F => "F",
        })
    }
}
