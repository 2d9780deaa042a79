//! Incidents and moments for tests.

use std::sync::Arc;

use jiff::Timestamp;
use model::ErrorStage;
use model::diagnosis::Label;

use super::config::{Config, Kind, Policy, Receiver};
use crate::store::{Cell, IncidentBody, IncidentRow, Severity};

/// 2023-11-14T22:13:00Z.
pub(super) const T0: i64 = 1_699_999_980_000;
pub(super) const MINUTE: i64 = 60_000;

/// A moment, as people write it.
pub(super) fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

/// An outage of a target that began at `T0` and goes on, which two clients have.
pub(super) fn incident(id: &str) -> IncidentRow {
    let cell = |client: &str| Cell {
        client_id: client.to_owned(),
        target: "https://shop.example/".to_owned(),
    };
    IncidentRow {
        id: id.to_owned(),
        label: Label::Outage(ErrorStage::Tcp),
        scope_type: "target".to_owned(),
        scope_id: "https://shop.example/".to_owned(),
        severity: Severity::Critical,
        onset_ts: T0,
        opened_ts: T0 + MINUTE,
        told_ts: T0 + 3 * MINUTE,
        last_bad_ts: T0 + MINUTE,
        end_ts: None,
        body: IncidentBody {
            text: "12 of 12 connects failed in the last 2 minutes.".to_owned(),
            secondary: vec![Label::DnsBound],
            cells: vec![cell("c1"), cell("c2")],
            state: model::detect::IncidentState::Open,
            confidence: 1.0,
            slow_by: None,
            flaps: 0,
            accepted_ts: None,
            merged_into: None,
            withdrawn: false,
            evidence: Default::default(),
            rule_version: 1,
        },
    }
}

/// One receiver of each kind, none of which is there; rules as they are without a word.
pub(super) fn config() -> Config {
    Config {
        incident_url: None,
        policy: Policy::default(),
        receivers: vec![Arc::new(receiver("ops", Kind::Webhook))],
        maintenance: Vec::new(),
    }
}

/// A receiver that is nowhere.
pub(super) fn receiver(name: &str, kind: Kind) -> Receiver {
    Receiver {
        name: name.to_owned(),
        kind,
        url: "https://alerts.example/hook".parse().unwrap(),
        secret: None,
        token: None,
        ca_file: None,
        min_severity: Severity::Minor,
        labels: Vec::new(),
        scopes: Vec::new(),
        allow_private: false,
    }
}
