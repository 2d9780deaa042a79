//! Which of the messages that wait is sent next.

use std::collections::BTreeSet;

use super::group::rank;
use crate::store::AlertRow;

/// A message as it waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// Its name.
    pub id: String,
    /// What it tells; what is new and bad first.
    pub rows: Vec<AlertRow>,
}

/// What can be sent now: the first message that is due and tells of no incident that an earlier one
/// tells of. An end must not overtake its beginning; else one that is refused holds no other.
///
/// `rows` are all that wait for one receiver, the oldest first, each message's in a row.
pub fn next(rows: &[AlertRow], now_ms: i64) -> Option<Waiting> {
    let mut earlier: BTreeSet<&str> = BTreeSet::new();
    for message in rows.chunk_by(|a, b| a.message == b.message) {
        let due = message.iter().all(|row| row.due_ts <= now_ms);
        let free = message.iter().all(|row| !earlier.contains(row.incident_id.as_str()));
        if due && free {
            let mut rows = message.to_vec();
            rows.sort_by_key(|row| (rank(row.event, row.body.severity), row.incident_id.clone()));
            return Some(Waiting { id: message[0].message.clone(), rows });
        }
        earlier.extend(message.iter().map(|row| row.incident_id.as_str()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::message::test_notice;

    fn row(message: &str, incident: &str, due_ts: i64) -> AlertRow {
        AlertRow {
            message: message.to_owned(),
            incident_id: incident.to_owned(),
            due_ts,
            ..test_notice("ops", 0)
        }
    }

    fn id(rows: &[AlertRow], now_ms: i64) -> Option<String> {
        next(rows, now_ms).map(|message| message.id)
    }

    #[test]
    fn the_oldest_that_is_due_is_next() {
        let rows = [row("a", "1", 10), row("a", "2", 10), row("b", "3", 5), row("c", "4", 5)];
        assert_eq!(next(&rows, 10).unwrap().rows.len(), 2);
        assert_eq!((id(&rows, 4), id(&rows, 5)), (None, Some("b".to_owned())));
    }

    #[test]
    fn an_end_does_not_overtake_its_beginning() {
        let rows = [row("a", "1", 99), row("b", "1", 0), row("c", "1", 0), row("d", "2", 0)];
        assert_eq!(id(&rows, 10).as_deref(), Some("d"));
        assert_eq!(id(&rows[..3], 10), None);
        assert_eq!(id(&rows[..3], 99).as_deref(), Some("a"));
        assert_eq!(id(&rows[1..3], 10).as_deref(), Some("b"));
    }
}
