//! Incidents as they go, and what is told of them.

use std::sync::Arc;

use model::ErrorStage;

use super::*;
use crate::alert::config::{Config, Kind, LabelFilter};
use crate::alert::group::Waiting;
use crate::alert::maintenance::{Maintenance, Scope, When};
use crate::alert::testing::{MINUTE, T0, config, incident, receiver};
use crate::store::Severity;

/// What is told, kept as the table keeps it.
struct Story {
    config: Config,
    incidents: Vec<IncidentRow>,
    told: Vec<AlertRow>,
    now_ms: i64,
}

impl Story {
    fn new() -> Self {
        let mut config = config();
        config.policy.group_window_ms = 0;
        Self { config, incidents: Vec::new(), told: Vec::new(), now_ms: T0 }
    }

    fn with(incidents: impl IntoIterator<Item = IncidentRow>) -> Self {
        Self { incidents: incidents.into_iter().collect(), ..Self::new() }
    }

    fn due(&self) -> Vec<Notice> {
        let mut told: Vec<Told> = Vec::new();
        for row in &self.told {
            let heard = row.state != AlertState::GivenUp;
            let same = |told: &&mut Told| {
                (&told.last.incident_id, &told.last.receiver) == (&row.incident_id, &row.receiver)
            };
            match told.iter_mut().find(same) {
                Some(told) => {
                    told.last = row.clone();
                    told.heard |= heard;
                }
                None => told.push(Told { last: row.clone(), heard }),
            }
        }
        let Self { config, incidents, now_ms, .. } = self;
        due(&Input { config, incidents, complete: true, told: &told, now_ms: *now_ms })
    }

    /// Plans at minute `at` after `T0`, keeps what is due, and says it.
    fn at(&mut self, at: i64) -> Vec<(String, AlertEvent)> {
        self.now_ms = T0 + at * MINUTE;
        let rows = Waiting::default().messages(self.due(), 0, self.now_ms);
        let said = rows.iter().map(|row| (row.incident_id.clone(), row.event)).collect();
        self.told.extend(rows);
        assert_eq!(self.due(), [], "nobody is told twice");
        said
    }

    /// The same, of the one incident there is.
    fn told_at(&mut self, at: i64) -> Option<AlertEvent> {
        let told = self.at(at);
        assert!(told.len() <= 1, "{told:?}");
        told.first().map(|(_, event)| *event)
    }
}

fn slow(id: &str) -> IncidentRow {
    let mut slow = incident(id);
    (slow.label, slow.severity, slow.last_bad_ts) = (Label::DnsBound, Severity::Major, T0);
    slow
}

use AlertEvent::{Changed, Ended, Opened, Reminder};

#[test]
fn an_outage_is_told_at_once_and_its_end_when_it_has_been_over() {
    let mut story = Story::with([incident("i")]);
    assert_eq!(story.told_at(1), Some(Opened));
    assert_eq!(story.told_at(2), None);
    story.incidents[0].end_ts = Some(T0 + 5 * MINUTE);
    assert_eq!((story.told_at(6), story.told_at(7), story.told_at(8)), (None, Some(Ended), None));
    let last = story.told.last().unwrap();
    assert_eq!((last.seq, last.body.end_ts), (1, Some(T0 + 5 * MINUTE)));
}

#[test]
fn what_is_slow_is_told_when_it_has_lasted() {
    let mut story = Story::with([slow("i")]);
    // Three minutes that showed it, however long ago they were.
    assert_eq!((story.told_at(3), story.told_at(30)), (None, None));
    story.incidents[0].last_bad_ts = T0 + 2 * MINUTE;
    assert_eq!(story.told_at(31), Some(Opened));
}

#[test]
fn what_was_over_before_it_was_told_is_not_told() {
    let mut story = Story::with([slow("i")]);
    assert_eq!(story.told_at(1), None);
    story.incidents[0].end_ts = Some(T0 + 2 * MINUTE);
    assert_eq!((story.told_at(3), story.told_at(60)), (None, None));
}

#[test]
fn what_gets_worse_is_told_at_once_and_once() {
    let mut story = Story::with([incident("i")]);
    story.incidents[0].severity = Severity::Minor;
    assert_eq!(story.told_at(1), Some(Opened));
    story.incidents[0].severity = Severity::Critical;
    assert_eq!(story.told_at(2), Some(Changed));
    let before = story.told[1].body.before.as_ref().unwrap();
    assert_eq!(before.severity, Severity::Minor);
    // Down and up again is nothing new.
    for severity in [Severity::Major, Severity::Critical] {
        story.incidents[0].severity = severity;
        assert_eq!(story.told_at(30), None, "{severity:?}");
    }
}

#[test]
fn another_label_or_scope_is_told_when_it_has_settled() {
    let mut story = Story::with([incident("i")]);
    assert_eq!(story.told_at(1), Some(Opened));
    story.incidents[0].label = Label::Outage(ErrorStage::Dns);
    assert_eq!(story.told_at(5), None);
    (story.incidents[0].scope_type, story.incidents[0].scope_id) =
        ("site".to_owned(), "berlin".to_owned());
    assert_eq!((story.told_at(6), story.told_at(7)), (Some(Changed), None));
    let body = &story.told[1].body;
    let before = &body.before.as_ref().unwrap().what;
    assert_eq!(
        (before.label, before.scope_type.as_str()),
        (Label::Outage(ErrorStage::Tcp), "target")
    );
    assert_eq!(
        (body.what.label, body.what.scope_id.as_str()),
        (Label::Outage(ErrorStage::Dns), "berlin")
    );
}

#[test]
fn it_is_told_again_only_where_that_is_wanted() {
    let mut story = Story::with([incident("i")]);
    story.told_at(1);
    assert_eq!(story.told_at(10_000), None);
    story.config.policy.remind_every_ms = Some(60 * MINUTE);
    assert_eq!(story.told_at(10_001), Some(Reminder));
    assert_eq!((story.told_at(10_060), story.told_at(10_061)), (None, Some(Reminder)));
}

#[test]
fn each_receiver_is_told_what_it_wants() {
    let mut story = Story::with([incident("out"), slow("slow")]);
    story.incidents[1].last_bad_ts = T0 + 9 * MINUTE;
    let mut only_bad = receiver("bad", Kind::Ntfy);
    only_bad.min_severity = Severity::Critical;
    let mut only_slow = receiver("slow", Kind::Slack);
    only_slow.labels = vec![LabelFilter::One(Label::DnsBound)];
    let mut only_out = receiver("out", Kind::Slack);
    only_out.labels = vec![LabelFilter::Outages];
    let mut only_sites = receiver("sites", Kind::Slack);
    only_sites.scopes = vec!["site".to_owned()];
    story.config.receivers =
        [only_bad, only_slow, only_out, only_sites].into_iter().map(Arc::new).collect();
    story.now_ms = T0 + 10 * MINUTE;
    let told: Vec<_> = story.due().into_iter().map(|one| (one.receiver, one.incident_id)).collect();
    let expected = [("bad", "out"), ("slow", "slow"), ("out", "out")];
    assert_eq!(told, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

fn window(from: i64, until: i64) -> Maintenance {
    let when = When::Once { from_ms: T0 + from * MINUTE, until_ms: T0 + until * MINUTE };
    Maintenance { name: "m".to_owned(), when, scope: Scope::default() }
}

#[test]
fn in_maintenance_nothing_is_told_and_what_outlasts_it_is_told_then() {
    let mut story = Story::with([incident("short"), incident("long")]);
    story.config.maintenance = vec![window(0, 60)];
    assert_eq!((story.at(1), story.at(59)), (vec![], vec![]));
    story.incidents[0].end_ts = Some(T0 + 50 * MINUTE);
    assert_eq!(story.at(60), [("long".to_owned(), Opened)]);
}

#[test]
fn what_was_told_before_maintenance_is_told_to_be_over_in_it() {
    let mut story = Story::with([incident("i")]);
    story.config.maintenance = vec![window(5, 60)];
    assert_eq!(story.told_at(1), Some(Opened));
    story.incidents[0].label = Label::Certificate;
    assert_eq!(story.told_at(20), None);
    story.incidents[0].end_ts = Some(T0 + 20 * MINUTE);
    assert_eq!(story.told_at(25), Some(Ended));
}

/// One that comes and goes every five minutes for three hours.
#[test]
fn what_flaps_is_one_notice_in_half_an_hour() {
    let mut story = Story::new();
    let mut times = Vec::new();
    for minute in 0..180 {
        let nth = minute / 10;
        if minute % 10 == 0 {
            let mut next = incident(&format!("i{nth:02}"));
            next.onset_ts = T0 + minute * MINUTE;
            story.incidents.push(next);
        }
        if minute % 10 == 5 {
            story.incidents.last_mut().unwrap().end_ts = Some(T0 + minute * MINUTE);
        }
        if !story.at(minute).is_empty() {
            times.push(minute);
        }
    }
    assert_eq!(times[..3], [0, 7, 10], "the first of each kind, and the first that comes back");
    assert!(times[2..].windows(2).all(|pair| pair[1] - pair[0] >= 30), "{times:?}");
    let flaps: Vec<u32> = story.told.iter().map(|row| row.body.flaps).collect();
    assert!(flaps.is_sorted() && flaps.last() >= Some(&2), "{flaps:?}");
}

#[test]
fn another_of_the_same_that_goes_on_beside_it_is_told() {
    let mut story = Story::with([incident("a")]);
    assert_eq!(story.told_at(1), Some(Opened));
    story.incidents.push(incident("b"));
    assert_eq!(story.told_at(2), Some(Opened));
}

#[test]
fn one_that_is_opened_again_is_told_again() {
    let mut story = Story::with([incident("i")]);
    story.told_at(0);
    story.incidents[0].end_ts = Some(T0);
    assert_eq!(story.told_at(2), Some(Ended));
    story.incidents[0].end_ts = None;
    assert_eq!(story.told_at(3), Some(Opened));
    assert_eq!((story.told[2].seq, story.told[2].body.flaps), (2, 1));
}

#[test]
fn what_nobody_got_an_opening_of_is_neither_told_again_nor_ended() {
    let mut story = Story::with([incident("i")]);
    story.told_at(1);
    story.told[0].state = AlertState::GivenUp;
    assert_eq!(story.told_at(60), None);
    story.incidents[0].end_ts = Some(T0 + 60 * MINUTE);
    assert_eq!(story.told_at(90), None);
}

#[test]
fn what_was_told_and_is_gone_is_over() {
    let mut story = Story::with([incident("i")]);
    story.told_at(1);
    story.incidents.clear();
    assert_eq!((story.told_at(2), story.told_at(3)), (Some(Ended), None));
    // Where not all incidents could be read that says nothing.
    let (config, told) = (config(), [Told { last: story.told[0].clone(), heard: true }]);
    let of = |complete| {
        due(&Input { config: &config, incidents: &[], complete, told: &told, now_ms: T0 }).len()
    };
    assert_eq!((of(false), of(true)), (0, 1));
}

#[test]
fn what_a_notice_holds_is_bounded() {
    let mut long = incident("i");
    long.body.text = "ü".repeat(5_000);
    long.body.cells = vec![long.body.cells[0].clone(); 5_000];
    let mut story = Story::with([long]);
    story.told_at(1);
    let body = &story.told[0].body;
    assert_eq!((body.text.chars().count(), body.cells.len(), body.cell_count), (1_000, 10, 5_000));
}
