//! The shape of an event on its way in, and of what is answered. The rules themselves are in
//! `model::decode`.
#![expect(dead_code, reason = "shapes, of which there is no value")]

use std::collections::BTreeMap;

use model::decode::Limits;
use serde_json::Value;
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, Schema, SchemaType, Type,
};

/// The body of a request: one event, or an array of events.
pub(crate) struct Events;

impl PartialSchema for Events {
    fn schema() -> RefOr<Schema> {
        let event = || {
            OneOfBuilder::new()
                .item(Ref::from_schema_name("EventV1_0"))
                .item(Ref::from_schema_name("EventV1_1"))
        };
        let array = ArrayBuilder::new()
            .items(event())
            .min_items(Some(1))
            .max_items(Some(Limits::default().max_events));
        OneOfBuilder::new().item(event()).item(array).into()
    }
}

impl ToSchema for Events {}

/// A measurement, version 1.0: a timing of 0 says that there was no such stage. At most 16 KiB, 16
/// levels deep. Unknown fields are ignored; a field that is given twice is refused.
#[derive(ToSchema)]
pub(crate) struct EventV1_0 {
    #[schema(inline)]
    schema_version: V1_0,
    #[serde(flatten)]
    event: Event,
    #[schema(nullable)]
    timings: Option<Timings>,
    #[serde(flatten)]
    needed: TimedOrFailed1_0,
}

/// A measurement, version 1.1: `null` or absent is "not measured", and 0 is a measured zero. At most
/// 16 KiB, 16 levels deep. Unknown fields are ignored; a field that is given twice is refused.
#[derive(ToSchema)]
pub(crate) struct EventV1_1 {
    #[schema(inline)]
    schema_version: V1_1,
    #[serde(flatten)]
    event: Event,
    timings: Option<Timings>,
    #[serde(flatten)]
    needed: TimedOrFailed1_1,
    #[serde(flatten)]
    beside: Beside,
}

#[derive(ToSchema)]
enum V1_0 {
    #[schema(rename = "1.0")]
    V,
}

#[derive(ToSchema)]
enum V1_1 {
    #[schema(rename = "1.1")]
    V,
}

/// What an event of 1.0 needs to have.
struct TimedOrFailed1_0;

/// What an event of 1.1 needs to have.
struct TimedOrFailed1_1;

impl PartialSchema for TimedOrFailed1_0 {
    fn schema() -> RefOr<Schema> {
        timed_or_failed(&["dns_ms", "tcp_ms", "tls_ms", "http_ttfb_ms"])
    }
}

impl ToSchema for TimedOrFailed1_0 {}

impl PartialSchema for TimedOrFailed1_1 {
    fn schema() -> RefOr<Schema> {
        timed_or_failed(&["tcp_ms", "http_ttfb_ms"])
    }
}

impl ToSchema for TimedOrFailed1_1 {}

fn timed_or_failed(names: &[&str]) -> RefOr<Schema> {
    let object = || ObjectBuilder::new().schema_type(Type::Object);
    let of = |kind| ObjectBuilder::new().schema_type(kind);
    let timings = names.iter().fold(object(), |timings, name| {
        timings.property(*name, of(Type::Number).minimum(Some(0))).required(*name)
    });
    let timed = object().property("timings", timings).required("timings");
    let failed = object().property("error_stage", of(Type::String)).required("error_stage");
    AnyOfBuilder::new()
        .item(timed)
        .item(failed)
        .description(Some(format!("`timings` with {}, unless it failed.", names.join(", "))))
        .into()
}

/// What events of every version have.
#[derive(ToSchema)]
struct Event {
    /// Of any version, but not nil; the same id is counted once.
    #[schema(format = "uuid", example = "0198c5d2-3c1e-7a44-9d6f-6f2b1d0c4e11")]
    event_id: String,
    /// Who measured. The token speaks for it. No control characters.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        example = "lab-1"
    )]
    client_id: String,
    /// When the measurement began, milliseconds since the Unix epoch: not more than 7 days ago, nor
    /// more than 5 minutes ahead.
    #[schema(minimum = 1, example = 1_760_000_000_000_i64)]
    ts_ms: i64,
    /// What was measured: an absolute http or https URL, at most 2,048 bytes.
    #[schema(
        format = "uri",
        max_length = 2048,
        pattern = "^https?://[^/]",
        example = "https://shop.example/"
    )]
    target: String,
    network_context: NetworkContext,
    /// Download goodput, kilobits a second. In 1.0 a 0 is "not measured".
    #[schema(minimum = 0)]
    throughput_kbps: Option<f64>,
    /// The stage that failed, in any letter case.
    error_stage: Option<ErrorStage>,
    /// W3C trace context.
    traceparent: Option<String>,
    /// W3C trace context.
    tracestate: Option<String>,
}

/// Where the probe stood.
#[derive(ToSchema)]
struct NetworkContext {
    /// `wifi`, `ethernet`, `cellular`, `unknown`, or another word.
    #[schema(max_length = 64, example = "wifi")]
    interface_type: String,
    vpn_enabled: bool,
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    user_label: Option<String>,
}

/// Milliseconds, each of its own stage. Of an event of 1.0 with an `error_stage`, those of that stage and
/// of later ones are ignored.
#[derive(ToSchema)]
struct Timings {
    /// The look-up.
    #[schema(minimum = 0, example = 4.2)]
    dns_ms: Option<f64>,
    /// SYN to established.
    #[schema(minimum = 0, example = 12.5)]
    tcp_ms: Option<f64>,
    /// The handshake.
    #[schema(minimum = 0, example = 21.0)]
    tls_ms: Option<f64>,
    /// Request sent to first byte.
    #[schema(minimum = 0, example = 48.3)]
    http_ttfb_ms: Option<f64>,
    /// The whole measurement; the sum of the stages where absent. From 1.1 on.
    #[schema(minimum = 0)]
    total_ms: Option<f64>,
    /// First to last byte of the body. From 1.1 on.
    #[schema(minimum = 0)]
    transfer_ms: Option<f64>,
}

/// The stages that a measurement can fail in.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ErrorStage {
    Dns,
    Tcp,
    Tls,
    Http,
    Throughput,
    ThroughputTimeout,
    Parse,
}

/// What version 1.1 adds.
#[derive(ToSchema)]
struct Beside {
    /// Upload goodput, kilobits a second.
    #[schema(minimum = 0)]
    upload_kbps: Option<f64>,
    #[schema(minimum = 100, maximum = 999)]
    http_status: Option<i64>,
    #[schema(pattern = "^(1\\.1|2|3)$")]
    http_version: Option<String>,
    /// 4 or 6.
    #[schema(minimum = 4, maximum = 6, multiple_of = 2)]
    ip_family: Option<i64>,
    remote_addr: Option<String>,
    dns_server: Option<String>,
    tls_version: Option<String>,
    tls_cipher: Option<String>,
    alpn: Option<String>,
    /// Milliseconds since the Unix epoch.
    cert_expires_ms: Option<i64>,
    /// A type of W3C Network Error Logging, such as `tcp.refused`.
    error_type: Option<String>,
    tcp_info: Option<TcpInfo>,
    latency: Option<Latency>,
    #[schema(minimum = 0)]
    attempt: Option<i64>,
    probe_version: Option<String>,
    #[schema(schema_with = labels)]
    labels: Option<BTreeMap<String, String>>,
    /// By how much the probe's clock is ahead, milliseconds.
    clock_offset_ms: Option<i64>,
    /// What was wrong with the probe itself; an event that names anything is set aside.
    #[schema(value_type = Option<Vec<Trouble>>, max_items = 16)]
    probe_trouble: Option<Vec<String>>,
    gap: Option<Gap>,
    /// What both ends saw of the connections that carried a transfer. Kept unread.
    transfers: Option<Value>,
}

#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
struct Trouble(String);

fn labels() -> ObjectBuilder {
    let printable = r"^[^\x00-\x1f\x7f-\x9f]*$";
    let text = |most| {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.max_length(Some(most)).pattern(Some(printable)).build()
    };
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .property_names(Some(text(64)))
        .additional_properties(Some(Schema::Object(text(255))))
        .max_properties(Some(16))
        .description(Some(
            "At most 16 pairs; `site`, `isp` and `resolver` are what incidents are told of.",
        ))
}

/// The kernel's view of the connection.
#[derive(ToSchema)]
struct TcpInfo {
    #[schema(minimum = 0)]
    rtt_ms: Option<f64>,
    #[schema(minimum = 0)]
    min_rtt_ms: Option<f64>,
    #[schema(minimum = 0)]
    rttvar_ms: Option<f64>,
    #[schema(minimum = 0)]
    retrans: Option<f64>,
    #[schema(minimum = 0)]
    delivery_rate_kbps: Option<f64>,
    #[schema(minimum = 0)]
    busy_ms: Option<f64>,
    #[schema(minimum = 0)]
    rwnd_limited_ms: Option<f64>,
    #[schema(minimum = 0)]
    sndbuf_limited_ms: Option<f64>,
}

/// Latency at rest and under load.
#[derive(ToSchema)]
struct Latency {
    #[schema(minimum = 0)]
    idle_ms: Option<f64>,
    #[schema(minimum = 0)]
    loaded_ms: Option<f64>,
    #[schema(minimum = 0)]
    jitter_ms: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    loss_ratio: Option<f64>,
    /// Round trips a minute.
    #[schema(minimum = 0)]
    rpm: Option<f64>,
}

/// What the probe lost before this event.
#[derive(ToSchema)]
struct Gap {
    /// How many measurements.
    #[schema(minimum = 1, maximum = 281_474_976_710_656_i64)]
    count: i64,
    /// The time of the first, milliseconds since the Unix epoch.
    #[schema(minimum = 1)]
    first_ts_ms: Option<i64>,
    /// The time of the last, not before the first.
    #[schema(minimum = 1)]
    last_ts_ms: Option<i64>,
}

/// An event that was not accepted.
#[derive(ToSchema)]
pub(crate) struct Rejection {
    /// Its place in the body, from 0.
    index: u32,
    /// Its id, where it could be read.
    #[schema(required)]
    event_id: Option<String>,
    code: RejectionCode,
    /// The field at fault as a path (`timings.dns_ms`), where it is one field's fault.
    #[schema(required)]
    field: Option<String>,
    /// Why, for people.
    detail: String,
}

/// Why an event was not accepted.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum RejectionCode {
    BadJson,
    UnknownSchemaVersion,
    MissingField,
    InvalidField,
    TooOld,
    InFuture,
    ClientMismatch,
}
