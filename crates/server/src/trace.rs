//! The traces of measurements, as OTLP: what the probe timed, the request it came in, the bus and the
//! store, all of one measurement in one trace.
//!
//! Which traces are kept is decided by the probe (`traceparent`), and where a span belongs follows from
//! the event: the number of each span is made of the event's id and what the span is of. So nothing has to
//! travel with a message, and what is done twice is one span. Where traces go nowhere, nothing is made.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use model::{Event, Trace};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};
use sha2::{Digest, Sha256};
use uuid::Uuid;

mod export;
mod measurement;

pub use export::{BadEndpoint, Endpoint};

/// Where spans go; nowhere by default. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

/// What of an event its spans are made from.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    trace: Trace,
    event: Uuid,
}

/// What the platform does with an event, each a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The request that brought it.
    Receive,
    /// Onto the bus.
    Publish,
    /// From the bus.
    Process,
    /// Into its window, after the ingest or the bus.
    Count {
        /// It came over the bus.
        bus: bool,
    },
}

impl Tracer {
    /// To a collector, as a role of this name. Inside a tokio runtime.
    ///
    /// # Errors
    /// Where what sends can't be made.
    pub fn to(endpoint: &Endpoint, role: &'static str) -> anyhow::Result<Self> {
        let mut processor = BatchSpanProcessor::builder(endpoint.exporter()?).build();
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", format!("qoe-{role}")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        processor.set_resource(&resource.build());
        let scope = InstrumentationScope::builder("qoe").build();
        Ok(Self(Some(Arc::new(Inner { processor, scope }))))
    }

    /// Those of some events whose traces are kept.
    pub(crate) fn traced<'a>(&self, events: impl Iterator<Item = &'a Event>) -> Vec<Traced> {
        if self.0.is_none() {
            return Vec::new();
        }
        let of = |event: &Event| {
            let trace = event.beside.as_deref()?.trace?;
            Some(Traced { trace, event: event.id })
        };
        events.filter_map(of).collect()
    }

    /// Tells what the probe timed of those events whose traces are kept.
    pub(crate) fn measured<'a>(&self, events: impl Iterator<Item = &'a Event>) {
        let Some(inner) = &self.0 else { return };
        for event in events {
            let Some(trace) = event.beside.as_deref().and_then(|beside| beside.trace) else {
                continue;
            };
            measurement::spans(event, trace).into_iter().for_each(|span| inner.end(span));
        }
    }

    /// Tells of a step that ends now.
    pub(crate) fn stepped(
        &self,
        traced: &[Traced],
        step: Step,
        took: Duration,
        attributes: &[KeyValue],
    ) {
        let Some(inner) = &self.0 else { return };
        let end = SystemTime::now();
        for Traced { trace, event } in traced {
            let parent = step.parent().map_or(trace.span, |parent| number(*event, parent.key()));
            let trace_id = format_args!("{:032x}", trace.id);
            let took_ms = took.as_secs_f64() * 1e3;
            tracing::debug!(%trace_id, event_id = %event, took_ms, "{}", step.name());
            inner.end(Span {
                trace: *trace,
                number: number(*event, step.key()),
                parent: Some(parent),
                kind: step.kind(),
                name: step.name(),
                start: end.checked_sub(took).unwrap_or(end),
                end,
                attributes: attributes.to_vec(),
                status: Status::Unset,
            });
        }
    }

    /// Sends what waits, and nothing after it. Blocks for some seconds at most.
    pub fn finish(&self) {
        const PATIENCE: Duration = Duration::from_secs(3);
        if let Some(inner) = &self.0
            && let Err(error) = inner.processor.shutdown_with_timeout(PATIENCE)
        {
            tracing::warn!(%error, "some traces were not sent");
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

impl Step {
    fn parent(self) -> Option<Self> {
        match self {
            Self::Receive => None,
            Self::Publish | Self::Count { bus: false } => Some(Self::Receive),
            Self::Process => Some(Self::Publish),
            Self::Count { bus: true } => Some(Self::Process),
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Publish => "publish",
            Self::Process => "process",
            Self::Count { .. } => "count",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Receive => "POST /v1/events",
            Self::Publish => "send events",
            Self::Process => "process events",
            Self::Count { .. } => "count events",
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            Self::Receive => SpanKind::Server,
            Self::Publish => SpanKind::Producer,
            Self::Process => SpanKind::Consumer,
            Self::Count { .. } => SpanKind::Client,
        }
    }
}

/// A span that has ended.
struct Span {
    trace: Trace,
    number: u64,
    parent: Option<u64>,
    kind: SpanKind,
    name: &'static str,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    status: Status,
}

/// The number of a span of an event, never 0.
fn number(event: Uuid, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(event.as_bytes());
    hash.update(key.as_bytes());
    let first: [u8; 8] = hash.finalize()[..8].try_into().expect("there are 32");
    u64::from_be_bytes(first).max(1)
}

impl Inner {
    fn end(&self, span: Span) {
        let Span { trace, number, parent, kind, name, start, end, attributes, status } = span;
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(trace.id.to_be_bytes()),
                SpanId::from_bytes(number.to_be_bytes()),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: parent
                .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.to_be_bytes())),
            parent_span_is_remote: true,
            span_kind: kind,
            name: name.into(),
            start_time: start,
            end_time: end,
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}
