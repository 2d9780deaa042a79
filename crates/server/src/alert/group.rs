//! What is due at about the same time for one receiver goes into one message.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::plan::Notice;
use crate::store::{AlertEvent, AlertRow, Severity};

/// Notices that one message holds at most.
const MOST: usize = 50;

/// Since when something has been due for each receiver. It is in memory alone: after a restart they
/// wait anew, and nothing is lost, for what is due is due again.
#[derive(Debug, Default)]
pub struct Waiting {
    since_ms: BTreeMap<String, i64>,
}

impl Waiting {
    /// The messages whose first notice has waited for `window_ms`, with all that came to it, as they
    /// are kept.
    pub fn messages(&mut self, due: Vec<Notice>, window_ms: i64, now_ms: i64) -> Vec<AlertRow> {
        let mut by_receiver: BTreeMap<String, Vec<Notice>> = BTreeMap::new();
        for notice in due {
            by_receiver.entry(notice.receiver.clone()).or_default().push(notice);
        }
        self.since_ms.retain(|receiver, _| by_receiver.contains_key(receiver));
        let mut rows = Vec::new();
        for (receiver, mut notices) in by_receiver {
            let since_ms = *self.since_ms.entry(receiver.clone()).or_insert(now_ms);
            // A clock that was set back must not hold them.
            if (0..window_ms).contains(&(now_ms - since_ms)) {
                continue;
            }
            self.since_ms.remove(&receiver);
            notices
                .sort_by_key(|one| (rank(one.event, one.body.severity), one.incident_id.clone()));
            for part in notices.chunks(MOST) {
                let message = id(part);
                rows.extend(part.iter().map(|one| one.clone().row(&message, now_ms)));
            }
        }
        rows
    }
}

/// What is new and bad comes first.
pub(super) fn rank(event: AlertEvent, severity: Severity) -> (u8, Reverse<Severity>) {
    let event = match event {
        AlertEvent::Opened | AlertEvent::Test => 0,
        AlertEvent::Changed => 1,
        AlertEvent::Reminder => 2,
        AlertEvent::Ended => 3,
    };
    (event, Reverse(severity))
}

/// Made of what is in it, so that two who plan the same make the same message.
fn id(notices: &[Notice]) -> String {
    let mut digest = Sha256::new();
    for Notice { receiver, incident_id, seq, event, .. } in notices {
        digest.update(format!("{incident_id}/{receiver}/{event}/{seq}\n"));
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::plan::{Input, due};
    use crate::alert::testing::{config, incident};

    fn notices(ids: &[&str]) -> Vec<Notice> {
        let incidents: Vec<_> = ids.iter().map(|id| incident(id)).collect();
        let config = config();
        due(&Input { config: &config, incidents: &incidents, complete: true, told: &[], now_ms: 0 })
    }

    #[test]
    fn what_comes_while_the_first_waits_goes_with_it() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.messages(notices(&["a"]), 30, 1_000), []);
        assert_eq!(waiting.messages(notices(&["a", "b"]), 30, 1_029), []);
        let rows = waiting.messages(notices(&["a", "b"]), 30, 1_030);
        let ids: Vec<&str> = rows.iter().map(|row| row.incident_id.as_str()).collect();
        assert_eq!((ids, rows[0].message == rows[1].message), (vec!["a", "b"], true));
        // The next one waits anew.
        assert_eq!(waiting.messages(notices(&["c"]), 30, 1_031), []);
        assert_eq!(waiting.messages(notices(&["c"]), 30, 1_061).len(), 1);
    }

    #[test]
    fn one_that_is_due_no_more_makes_nobody_hurry() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.messages(notices(&["a"]), 30, 1_000), []);
        assert_eq!(waiting.messages(Vec::new(), 30, 1_010), []);
        assert_eq!(waiting.messages(notices(&["b"]), 30, 1_031), []);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.messages(notices(&["a"]), 30, 1_000), []);
        assert_eq!(waiting.messages(notices(&["a"]), 30, 10).len(), 1);
    }

    #[test]
    fn the_same_notices_make_the_same_message_and_others_another() {
        let id_of =
            |ids: &[&str]| Waiting::default().messages(notices(ids), 0, 7)[0].message.clone();
        assert_eq!(id_of(&["a", "b"]), id_of(&["b", "a"]));
        assert_ne!(id_of(&["a", "b"]), id_of(&["a"]));
        assert_eq!(id_of(&["a"]).len(), 16);
    }

    #[test]
    fn a_flood_is_several_messages_the_worst_first() {
        let ids: Vec<String> = (0..120).map(|n| format!("i{n:03}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut flood = notices(&ids);
        flood[77].body.severity = Severity::Critical;
        flood.iter_mut().filter(|one| one.incident_id != "i077").for_each(|one| {
            one.body.severity = Severity::Minor;
        });
        let rows = Waiting::default().messages(flood, 0, 7);
        let messages: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.message).collect();
        assert_eq!((rows.len(), messages.len(), rows[0].incident_id.as_str()), (120, 3, "i077"));
    }
}
