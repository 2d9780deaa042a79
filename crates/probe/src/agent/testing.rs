//! Events for tests of the queue.

use model::wire::WireEvent;
use serde_json::json;

/// An event of this time.
pub(super) fn event(ts_ms: i64) -> WireEvent {
    serde_json::from_value(json!({
        "event_id": uuid::Uuid::from_u128(1 + u128::from(ts_ms.unsigned_abs())),
        "client_id": "c",
        "ts_ms": ts_ms,
        "schema_version": "1.1",
        "target": "https://t.example/",
        "network_context": {"interface_type": "wifi", "vpn_enabled": false},
        "timings": {},
    }))
    .unwrap()
}
