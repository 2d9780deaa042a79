//! Traces as text: a list, and the waterfall of one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::kept::{Kept, Span, Trace};

/// Columns of the bars.
const WIDTH: u64 = 40;

/// Of a list.
const MOST: usize = 50;

/// The newest traces, a line each.
pub(super) fn list(kept: &Kept) -> String {
    let mut out =
        format!("{:<24}  {:<32}  {:>9}  {:>5}  what\n", "begun", "trace", "took", "spans");
    for (id, trace) in kept.newest().take(MOST) {
        let (start, end) = span_of(trace);
        let roots = tree(trace).into_iter().filter(|(_, depth, _)| *depth == 0);
        let names: Vec<_> = roots
            .map(|(_, _, span)| {
                let url = span.attributes.iter().find(|(name, _)| name == "url.full");
                format!("{} {}", span.name, url.map_or("", |(_, url)| url)).trim().to_owned()
            })
            .collect();
        _ = writeln!(
            out,
            "{}  {id:032x}  {:>9}  {:>5}  {}",
            time(start),
            took(end - start),
            trace.len(),
            names.join(", ")
        );
    }
    out
}

/// One trace: its spans below their parents, each with its bar, and what its roots say.
pub(super) fn waterfall(id: u128, trace: &Trace) -> String {
    let (start, end) = span_of(trace);
    let mut out = format!("{id:032x}  {}  {}\n\n", time(start), took(end - start));
    let rows = tree(trace);
    let label = |depth: usize, span: &Span| format!("{}{}", "  ".repeat(depth), span.name);
    let longest =
        |of: &dyn Fn(&(u64, usize, &Span)) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let services = longest(&|(_, _, span)| span.service.chars().count());
    let names = longest(&|(_, depth, span)| label(*depth, span).chars().count());
    for (_, depth, span) in &rows {
        _ = writeln!(
            out,
            "{:<services$}  {:<names$}  {}  {:>9}{}",
            span.service,
            label(*depth, span),
            bar(span, start, end),
            took(span.end_ns - span.start_ns),
            if span.failed { "  failed" } else { "" }
        );
    }
    for (_, _, root) in rows.iter().filter(|(_, depth, _)| *depth == 0) {
        out.push('\n');
        root.attributes.iter().for_each(|(name, value)| _ = writeln!(out, "{name} = {value}"));
    }
    out
}

/// Each span with its depth, below its parent and by time. One whose parent is not here is a root; of a
/// circle, which has none, nothing is drawn.
fn tree(trace: &Trace) -> Vec<(u64, usize, &Span)> {
    let mut by_time: Vec<_> = trace.iter().map(|(id, span)| (*id, span)).collect();
    by_time.sort_by_key(|(id, span)| (span.start_ns, std::cmp::Reverse(span.end_ns), *id));
    let is_root = |span: &Span| span.parent.is_none_or(|parent| !trace.contains_key(&parent));
    let roots = by_time.iter().rev().filter(|(_, span)| is_root(span));
    let mut stack: Vec<_> = roots.map(|(id, span)| (*id, 0, *span)).collect();
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    while let Some((id, depth, span)) = stack.pop() {
        if seen.insert(id) {
            rows.push((id, depth, span));
            let below = by_time.iter().rev().filter(|(_, span)| span.parent == Some(id));
            stack.extend(below.map(|(id, span)| (*id, depth + 1, *span)));
        }
    }
    rows
}

/// From when to when.
fn span_of(trace: &Trace) -> (u64, u64) {
    let start = trace.values().map(|span| span.start_ns).min().unwrap_or_default();
    (start, trace.values().map(|span| span.end_ns).max().unwrap_or(start))
}

/// Where in the whole it lies; what is shorter than a column has a thin mark.
fn bar(span: &Span, start: u64, end: u64) -> String {
    let whole = u128::from((end - start).max(1));
    let column = |ns: u64| (u128::from(ns - start) * u128::from(WIDTH) / whole) as usize;
    let (from, to) = (column(span.start_ns).min(WIDTH as usize - 1), column(span.end_ns));
    let mark = if to > from { "█".repeat(to - from) } else { "▏".to_owned() };
    format!("{}{mark}{}", " ".repeat(from), " ".repeat(WIDTH as usize - to.max(from + 1)))
}

fn took(ns: u64) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}

fn time(ns: u64) -> humantime::Rfc3339Timestamp {
    // What is beyond is no time of ours.
    const LAST: u64 = 4_102_444_800_000_000_000;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(ns.min(LAST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, parent: u64, from_ms: u64, to_ms: u64) -> Span {
        Span {
            service: "qoe-ingest".to_owned(),
            name: name.to_owned(),
            parent: (parent > 0).then_some(parent),
            start_ns: 1_700_000_000_000_000_000 + from_ms * 1_000_000,
            end_ns: 1_700_000_000_000_000_000 + to_ms * 1_000_000,
            failed: name == "count",
            attributes: vec![("url.full".to_owned(), format!("https://{name}/"))],
        }
    }

    #[test]
    fn spans_stand_below_their_parents_in_order_of_time() {
        let trace = Trace::from([
            (1, span("get", 0, 0, 40)),
            (2, span("tls", 1, 10, 20)),
            (3, span("dns", 1, 0, 10)),
            (4, span("count", 9, 60, 60)),
            (5, span("post", 1, 50, 80)),
        ]);
        let drawn = waterfall(10, &trace);
        let expected = "\
0000000000000000000000000000000a  2023-11-14T22:13:20.000Z  80.0 ms

qoe-ingest  get     ████████████████████                        40.0 ms
qoe-ingest    dns   █████                                       10.0 ms
qoe-ingest    tls        █████                                  10.0 ms
qoe-ingest    post                           ███████████████    30.0 ms
qoe-ingest  count                                 ▏              0.0 ms  failed

url.full = https://get/

url.full = https://count/
";
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    #[test]
    fn what_goes_round_in_a_circle_ends() {
        let trace = Trace::from([(1, span("a", 2, 0, 1)), (2, span("b", 1, 0, 1))]);
        assert_eq!(tree(&trace).len(), 0);
        assert!(!waterfall(1, &trace).is_empty() && !bar(&trace[&1], 0, u64::MAX).is_empty());
    }
}
