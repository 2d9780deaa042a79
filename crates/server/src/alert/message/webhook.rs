//! Our own JSON, schema qoe.alert/1: docs/alerts.md describes it. Fields may be added, none change.

use serde_json::{Value, json};

use super::{link, moment, severity, summary};
use crate::store::{AlertEvent, AlertRow};

pub(super) fn body(id: &str, rows: &[AlertRow], incident_url: Option<&str>) -> Value {
    json!({
        "schema": "qoe.alert/1",
        "id": id,
        "test": rows.iter().any(|row| row.event == AlertEvent::Test),
        "receiver": rows.first().map(|row| &row.receiver),
        "created": rows.first().map(|row| moment(row.created_ts)),
        "summary": summary(rows),
        "notices": rows.iter().map(|row| notice(row, incident_url)).collect::<Vec<_>>(),
    })
}

fn notice(row: &AlertRow, incident_url: Option<&str>) -> Value {
    let body = &row.body;
    json!({
        "key": row.key(),
        "event": row.event,
        "incident": row.incident_id,
        "label": body.what.label,
        "scope": {"type": body.what.scope_type, "id": body.what.scope_id},
        "severity": severity(body.severity),
        "since": moment(body.onset_ts),
        "until": body.end_ts.map(moment),
        "text": body.text,
        "secondary": body.secondary,
        "cells": body.cells,
        "cell_count": body.cell_count,
        "before": body.before.as_ref().map(|before| json!({
            "label": before.what.label,
            "scope": {"type": before.what.scope_type, "id": before.what.scope_id},
            "severity": severity(before.severity),
        })),
        "flaps": body.flaps,
        "url": link(incident_url, row),
    })
}
