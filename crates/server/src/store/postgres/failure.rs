//! What can go wrong between us and PostgreSQL, and what it means for the work at hand.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{WasNull, WrongType};

use crate::store::Class;

/// Why PostgreSQL did not do what it was asked. Shown without the statement's values, which are
/// other people's data.
#[derive(Debug)]
pub enum Failure {
    /// It answered with an error, or the connection to it failed.
    Client(tokio_postgres::Error),
    /// It did not answer in time. What was asked may yet be done.
    TimedOut(Duration),
}

impl Failure {
    /// What the caller should do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::TimedOut(_) => Class::Again,
            Self::Client(error) => match error.code() {
                Some(code) => class_of(code),
                // A column that is not of the type we know is another program's schema.
                None if is_of_types(error) => Class::Halt,
                // The line, not the work.
                None => Class::Again,
            },
        }
    }

    /// The SQLSTATE, where the server gave one.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Client(error) => error.code(),
            Self::TimedOut(_) => None,
        }
    }

    /// Whether the transaction lost against another one and may be tried again at once.
    pub(super) fn lost_a_race(&self) -> bool {
        let races = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        self.code().is_some_and(|code| races.contains(code))
    }

    /// Whether others held what was wanted, for too long or in another order.
    pub(super) fn met_a_lock(&self) -> bool {
        self.lost_a_race() || self.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether a row's day has no partition.
    pub(super) fn lacks_a_partition(&self) -> bool {
        self.code() == Some(&SqlState::CHECK_VIOLATION)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Client(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            Self::TimedOut(patience) => {
                return write!(f, "no answer within {} s", patience.as_secs());
            }
            Self::Client(error) => error,
        };
        match error.as_db_error() {
            // Without its detail, which quotes the row.
            Some(told) => write!(f, "{} (SQLSTATE {})", told.message(), told.code().code()),
            None => match error.source() {
                Some(source) => write!(f, "{error}: {source}"),
                None => write!(f, "{error}"),
            },
        }
    }
}

impl Error for Failure {}

fn is_of_types(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.is::<WrongType>() || source.is::<WasNull>())
}

/// By the class of the SQLSTATE (its first two characters), with what is different in it.
fn class_of(code: &SqlState) -> Class {
    match (code.code().get(..2), code) {
        // No partition for a row: one that retention took away is made again.
        (_, &SqlState::CHECK_VIOLATION) => Class::Again,
        // Data exceptions, integrity, limits of a row: the same row fails every time.
        (Some("22" | "23" | "54"), _) => Class::Poison,
        // Tables that are not as this program knows them, no right to them, no such database,
        // damage: nothing that a row is to blame for, and nothing that goes away by itself.
        (Some("42" | "28" | "3D" | "3F" | "XX"), _) => Class::Halt,
        // Everything else passes: connections, resources, locks, shutdowns, a standby.
        _ => Class::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_of_the_class_that_says_what_to_do() {
        let of = |state: &str| class_of(&SqlState::from_code(state));
        for state in [
            "40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "08006", "08007",
            "53100", "53200", "53300", "58030", "25006", "25P03", "26000", "0A000", "23514",
        ] {
            assert_eq!(of(state), Class::Again, "{state}");
        }
        for state in ["22021", "22003", "22P02", "23502", "23505", "54000"] {
            assert_eq!(of(state), Class::Poison, "{state}");
        }
        for state in ["42P01", "42703", "42501", "28P01", "28000", "3D000", "XX001"] {
            assert_eq!(of(state), Class::Halt, "{state}");
        }
    }
}
