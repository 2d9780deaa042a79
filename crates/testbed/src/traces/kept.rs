//! The newest traces, each with its spans.

use std::collections::{BTreeMap, VecDeque};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// An hour of a few targets; the oldest goes when there are more.
const MOST_TRACES: usize = 1_000;

/// Of one trace; what is beyond is not kept.
const MOST_SPANS: usize = 200;

/// Of a name or a value.
const LONGEST: usize = 200;

/// The traces in the order in which they began to come.
#[derive(Debug, Default)]
pub(super) struct Kept {
    traces: BTreeMap<u128, Trace>,
    order: VecDeque<u128>,
}

/// Its spans by their ids.
pub(super) type Trace = BTreeMap<u64, Span>;

/// What is drawn of a span. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) parent: Option<u64>,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) failed: bool,
    pub(super) attributes: Vec<(String, String)>,
}

impl Kept {
    /// Keeps what came. A span that comes again is one span; ids that are none are passed over, as the
    /// specification has it.
    pub(super) fn take(&mut self, request: ExportTraceServiceRequest) {
        for of in request.resource_spans {
            let attributes = of.resource.map(|resource| resource.attributes).unwrap_or_default();
            let service = texts(attributes)
                .find(|(name, _)| name == "service.name")
                .map_or_else(|| "unknown_service".to_owned(), |(_, name)| name);
            for span in of.scope_spans.into_iter().flat_map(|of| of.spans) {
                self.take_one(&service, span);
            }
        }
    }

    fn take_one(&mut self, service: &str, span: Sent) {
        let (Ok(trace), Some(id)) = (<[u8; 16]>::try_from(&*span.trace_id), number(&span.span_id))
        else {
            return;
        };
        let trace = u128::from_be_bytes(trace);
        if !self.traces.contains_key(&trace) {
            self.order.push_back(trace);
            if self.order.len() > MOST_TRACES
                && let Some(oldest) = self.order.pop_front()
            {
                self.traces.remove(&oldest);
            }
        }
        let spans = self.traces.entry(trace).or_default();
        if spans.len() >= MOST_SPANS && !spans.contains_key(&id) {
            return;
        }
        spans.insert(
            id,
            Span {
                service: service.to_owned(),
                name: short(&span.name),
                parent: number(&span.parent_span_id),
                start_ns: span.start_time_unix_nano,
                end_ns: span.end_time_unix_nano.max(span.start_time_unix_nano),
                failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
                attributes: texts(span.attributes).collect(),
            },
        );
    }

    /// A trace by its id.
    pub(super) fn trace(&self, id: u128) -> Option<&Trace> {
        self.traces.get(&id)
    }

    /// The newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = (u128, &Trace)> {
        self.order.iter().rev().filter_map(|id| Some((*id, self.traces.get(id)?)))
    }
}

/// A span's id; a parent that is none is absent.
fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes).filter(|id| *id != 0)
}

fn texts(attributes: Vec<KeyValue>) -> impl Iterator<Item = (String, String)> {
    attributes.into_iter().filter_map(|KeyValue { key, value, .. }| {
        let AnyValue { value } = value?;
        let value = match value? {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            Value::DoubleValue(number) => number.to_string(),
            Value::BoolValue(is) => is.to_string(),
            _ => return None,
        };
        Some((short(&key), short(&value)))
    })
}

/// On one line, and not too long: it is shown on a terminal.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    use super::*;

    fn sent(trace: u128, id: u64, name: &str) -> ExportTraceServiceRequest {
        let span = Sent {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            name: name.to_owned(),
            ..Sent::default()
        };
        let of = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
        let resource_spans =
            vec![ResourceSpans { scope_spans: vec![of], ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }
    }

    #[test]
    fn what_comes_again_is_one_span_and_what_has_no_id_is_none() {
        let mut kept = Kept::default();
        kept.take(sent(7, 1, "a"));
        kept.take(sent(7, 1, "b\u{1b}[2J"));
        kept.take(sent(7, 0, "c"));
        let names: Vec<_> = kept.trace(7).unwrap().values().map(|span| &*span.name).collect();
        assert_eq!(names, ["b[2J"]);
    }

    #[test]
    fn the_oldest_trace_goes() {
        let mut kept = Kept::default();
        (1..=MOST_TRACES as u128 + 2).for_each(|id| kept.take(sent(id, 1, "a")));
        assert_eq!(kept.newest().count(), MOST_TRACES);
        assert!(kept.trace(2).is_none() && kept.trace(3).is_some());
        (1..=MOST_SPANS as u64 + 5).for_each(|id| kept.take(sent(3, id, "a")));
        assert_eq!(kept.trace(3).unwrap().len(), MOST_SPANS);
    }
}
