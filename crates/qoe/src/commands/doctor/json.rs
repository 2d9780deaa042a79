//! What was found, for scripts.

use serde_json::{Value, json};
use server::bus::inspect::{Report, StreamReport, Sync};
use server::store::inspect::{Embedded, Report as StoreReport, Shared};
use server::store::schema;

use super::{Findings, Unreachable};

/// One object of schema qoe.doctor/1. What was not asked for is null; what could not be looked at
/// is an object with `at` and `error` alone.
pub(super) fn of(findings: &Findings) -> Value {
    json!({
        "schema": "qoe.doctor/1",
        "well": findings.is_well(),
        "bus": findings.bus.as_ref().map(|found| told(found.as_ref().map(of_bus))),
        "store": findings.store.as_ref().map(|found| told(found.as_ref().map(of_store))),
        "horizon": findings.horizon.as_ref().map(|horizon| json!({
            "events_seconds": horizon.spool.as_secs(),
            "stream_seconds": horizon.stream.map(|age| age.as_secs()),
            "dead_letters_seconds": horizon.dead_letters.map(|age| age.as_secs()),
            "ids_seconds": horizon.ids.as_secs(),
            "long_enough": horizon.check().is_ok(),
        })),
        "receivers": findings.receivers,
        "topology_unseen": findings.unseen,
        "alerts": findings.untold(),
        "unreachable": findings.unreachable(),
        "risks": findings.risks(),
        "notes": findings.notes(),
    })
}

fn told(found: Result<Value, &Unreachable>) -> Value {
    found.unwrap_or_else(|unreachable| json!({"at": unreachable.at, "error": unreachable.why}))
}

fn of_bus(bus: &Report) -> Value {
    let (sync, every) = match bus.sync {
        Sync::Always => (Some("always"), None),
        Sync::Every(every) => (Some("interval"), Some(every.as_secs_f64())),
        Sync::Unknown => (None, None),
    };
    json!({
        "at": bus.at,
        "version": bus.version,
        "cluster": bus.cluster,
        "sync": sync,
        "sync_interval_seconds": every,
        "max_payload_bytes": bus.max_payload,
        "streams": bus.streams.iter().map(of_stream).collect::<Vec<_>>(),
        "ack_floor": bus.backlog.map(|backlog| backlog.ack_floor),
        "lag_messages": bus.backlog.map(|backlog| backlog.lag),
        "at_work_messages": bus.backlog.map(|backlog| backlog.at_work),
        "dead_letters": bus.streams[1].found.as_ref().map(|found| found.state.messages),
    })
}

fn of_stream(stream: &StreamReport) -> Value {
    let Some(found) = &stream.found else {
        return json!({"name": stream.name, "missing": true});
    };
    json!({
        "name": stream.name,
        "missing": false,
        "discard": found.discard,
        "retention": found.retention,
        "storage": found.storage,
        "replicas": found.replicas,
        "max_age_seconds": found.max_age.map(|age| age.as_secs()),
        "max_bytes": found.state.max_bytes,
        "bytes": found.state.bytes,
        "messages": found.state.messages,
        "first_sequence": found.state.first_sequence,
        "last_sequence": found.state.last_sequence,
    })
}

fn of_store(store: &StoreReport) -> Value {
    match store {
        StoreReport::Shared(shared) => of_shared(shared),
        StoreReport::Embedded(embedded) => of_embedded(embedded),
    }
}

fn of_shared(shared: &Shared) -> Value {
    json!({
        "kind": "postgresql",
        "at": shared.at,
        "version": shared.version,
        "fsync": shared.fsync,
        "synchronous_commit": shared.synchronous_commit,
        "full_page_writes": shared.full_page_writes,
        "synchronous_standby_names": shared.standbys,
        "read_only": shared.read_only,
        "connections": shared.connections.0,
        "max_connections": shared.connections.1,
        "schema_version": shared.schema,
        "schema_version_needed": schema::LATEST,
    })
}

fn of_embedded(embedded: &Embedded) -> Value {
    json!({
        "kind": "sqlite",
        "at": embedded.path.display().to_string(),
        "version": embedded.version,
        "journal_mode": embedded.journal_mode,
        "synchronous": embedded.synchronous,
        "bytes": embedded.bytes,
        "wal_bytes": embedded.wal_bytes,
        "schema_version": embedded.schema,
        "schema_version_needed": schema::LATEST,
    })
}
