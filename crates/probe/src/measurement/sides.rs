//! Both ends of the connections that carried a transfer: what the target says of its own, and many as
//! one. Pure.

use http::HeaderMap;
use model::wire::WireTcpInfo;
use serde::Deserialize;

/// Where our test target tells its side of the very connection that asks.
pub(crate) const PAGE: &str = "/tcp-info";

/// Its answer has a few hundred bytes.
pub(crate) const MOST: usize = 4 << 10;

/// Whether an answer is of a target that has that page. Nobody else is asked for it.
pub(crate) fn is_told_by(headers: &HeaderMap) -> bool {
    headers.get("qoe-target").is_some_and(|version| version == "1")
}

/// What the target says of its side, in the answer to an upload too. A number that an event could not
/// hold is left out.
pub(crate) fn read(body: &[u8]) -> Option<WireTcpInfo> {
    #[derive(Deserialize)]
    struct Told {
        tcp_info: Option<WireTcpInfo>,
    }
    let told = serde_json::from_slice::<Told>(body).ok()?.tcp_info?;
    let amount = |n: Option<f64>| n.filter(|n| n.is_finite() && *n >= 0.0);
    let info = WireTcpInfo {
        rtt_ms: amount(told.rtt_ms),
        min_rtt_ms: amount(told.min_rtt_ms),
        rttvar_ms: amount(told.rttvar_ms),
        retrans: told.retrans,
        delivery_rate_kbps: amount(told.delivery_rate_kbps),
        busy_ms: amount(told.busy_ms),
        rwnd_limited_ms: amount(told.rwnd_limited_ms),
        sndbuf_limited_ms: amount(told.sndbuf_limited_ms),
    };
    (info != WireTcpInfo::default()).then_some(info)
}

/// Many connections as one: retransmits, rates and times are sums, so that what held them up stays a
/// share of their busy time; the shortest round trip is that of all; the others are the worst.
pub(crate) fn together(sides: impl IntoIterator<Item = WireTcpInfo>) -> Option<WireTcpInfo> {
    sides.into_iter().reduce(|a, b| WireTcpInfo {
        rtt_ms: either(a.rtt_ms, b.rtt_ms, f64::max),
        min_rtt_ms: either(a.min_rtt_ms, b.min_rtt_ms, f64::min),
        rttvar_ms: either(a.rttvar_ms, b.rttvar_ms, f64::max),
        retrans: either(a.retrans, b.retrans, u32::saturating_add),
        delivery_rate_kbps: either(a.delivery_rate_kbps, b.delivery_rate_kbps, sum),
        busy_ms: either(a.busy_ms, b.busy_ms, sum),
        rwnd_limited_ms: either(a.rwnd_limited_ms, b.rwnd_limited_ms, sum),
        sndbuf_limited_ms: either(a.sndbuf_limited_ms, b.sndbuf_limited_ms, sum),
    })
}

fn sum(a: f64, b: f64) -> f64 {
    // Of two that are finite it may be more than a number can say.
    // Thousandths stay thousandths.
    let sum = ((a + b) * 1e3).round() / 1e3;
    if sum.is_finite() { sum } else { f64::MAX }
}

/// What one of them does not know, the other may.
fn either<T>(a: Option<T>, b: Option<T>, of_both: fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(of_both(a, b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_target_says_is_read_and_no_number_spoils_an_event() {
        let told = br#"{"bytes":7,"tcp_info":{"rtt_ms":1.5,"retrans":2,"busy_ms":-1,"more":"x"}}"#;
        let expected =
            WireTcpInfo { rtt_ms: Some(1.5), retrans: Some(2), ..WireTcpInfo::default() };
        assert_eq!(read(told), Some(expected));
        let wrong: [&[u8]; 6] = [
            b"",
            b"ok",
            br#"{"tcp_info":null}"#,
            br#"{"tcp_info":{}}"#,
            br#"{"tcp_info":{"retrans":-1}}"#,
            br#"{"tcp_info":{"rtt_ms":1e999}}"#,
        ];
        for wrong in wrong {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn many_are_one_by_sums_and_by_the_worst() {
        let side = |rtt, retrans, busy| WireTcpInfo {
            rtt_ms: Some(rtt),
            min_rtt_ms: Some(rtt / 2.0),
            retrans: Some(retrans),
            busy_ms: busy,
            ..WireTcpInfo::default()
        };
        let one = together([side(4.0, 1, Some(10.0)), side(8.0, 2, None)]).unwrap();
        assert_eq!((one.rtt_ms, one.min_rtt_ms, one.retrans), (Some(8.0), Some(2.0), Some(3)));
        assert_eq!((one.busy_ms, one.rttvar_ms), (Some(10.0), None));
        assert_eq!(together([]), None);
    }
}
