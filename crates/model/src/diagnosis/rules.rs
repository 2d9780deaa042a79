//! The rules, one function each. A rule looks at the windows before it and says what it finds
//! or nothing; which finding leads is [`super::judge`]'s business.

use super::label::Label;
use super::level::{Gate, Shift, Sight};
use super::pool::ENOUGH;
use crate::stage::{ErrorStage, Metric};
use crate::window::{Counts, Window};

/// The part of the total's excess that must be the look-up's, in percent; and while the label
/// is open.
const DNS_SHARE: u64 = 60;
const DNS_SHARE_HELD: u64 = 40;

/// Failures it takes at least, so that bad luck is no outage.
const FAILURES: u64 = 3;
/// Two will do where they are all there was in two windows or more: a probe that measures once
/// a minute should not need three of them.
const FAILURES_ALONE: u64 = 2;
/// The failing part of all measurements that makes an outage, in percent; and that keeps one.
const FAILING: u64 = 50;
const FAILING_HELD: u64 = 25;

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) label: Label,
    pub(super) cause: Cause,
    /// Whether it can be the primary cause.
    pub(super) leads: bool,
}

/// What a finding rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Levels out of the usual, the largest change first; never empty.
    Shifted(Vec<Shift>),
    /// So many of the newest windows failed.
    Failing {
        /// How many windows.
        windows: usize,
    },
}

/// What the rules on levels look at.
pub(super) struct Case<'a> {
    pub(super) sight: Sight<'a>,
    /// The medians now.
    pub(super) medians: [Option<u64>; 6],
    /// The label of the fault that is open.
    pub(super) open: Option<Label>,
}

impl Case<'_> {
    fn gate(&self, label: Label) -> Gate {
        if self.open == Some(label) { Gate::Hold } else { Gate::Open }
    }

    fn raised(&self, label: Label, metric: Metric, explained: u64) -> Option<Shift> {
        let now = self.medians[metric as usize];
        self.sight.raised(metric, now, explained, self.gate(label))
    }

    fn excess(&self, metric: Metric) -> u64 {
        self.sight.excess(metric, self.medians[metric as usize])
    }
}

/// The look-up is slow, and most of what the total has in excess is its. Where it is less
/// than that, it is told beside another cause only.
pub(super) fn dns_bound(case: &Case<'_>) -> Option<Finding> {
    let label = Label::DnsBound;
    let shift = case.raised(label, Metric::Dns, 0)?;
    let share = if case.gate(label) == Gate::Hold { DNS_SHARE_HELD } else { DNS_SHARE };
    let leads = shift.change * 100 >= case.excess(Metric::Total) * share;
    Some(Finding { label, cause: Cause::Shifted(vec![shift]), leads })
}

/// The connect or the TLS handshake is slow.
pub(super) fn handshake_bound(case: &Case<'_>) -> Option<Finding> {
    let label = Label::HandshakeBound;
    let mut shifts: Vec<_> =
        [Metric::Tcp, Metric::Tls].into_iter().filter_map(|m| case.raised(label, m, 0)).collect();
    shifts.sort_by_key(|s| std::cmp::Reverse(s.change));
    (!shifts.is_empty()).then_some(Finding { label, cause: Cause::Shifted(shifts), leads: true })
}

/// The wait for the first byte is slow, also after taking off what the connect has in excess:
/// a request goes there and back once, as a connect does, so a longer path is in both.
pub(super) fn server_bound(case: &Case<'_>) -> Option<Finding> {
    let label = Label::ServerBound;
    let shift = case.raised(label, Metric::Ttfb, case.excess(Metric::Tcp))?;
    Some(Finding { label, cause: Cause::Shifted(vec![shift]), leads: true })
}

/// The transfer is slow. To be asked only where all latencies are as usual, since they slow
/// it too.
pub(super) fn throughput_bound(case: &Case<'_>) -> Option<Finding> {
    let label = Label::ThroughputBound;
    let now = case.medians[Metric::Throughput as usize];
    let shift = case.sight.lowered(Metric::Throughput, now, case.gate(label))?;
    Some(Finding { label, cause: Cause::Shifted(vec![shift]), leads: true })
}

/// No measurement gets through any more, or half of them don't.
pub(super) fn path_outage(case: &Case<'_>) -> Option<Finding> {
    use ErrorStage as E;
    let stages = [E::Dns, E::Tcp, E::Tls, E::Http, E::Parse];
    let tally = |window: &Window| {
        let failed = stages.map(|s| window.counts().of(s)).iter().sum();
        (failed, window.counts().total - failed)
    };
    outage(case, &stages, tally, FAILING)
}

/// Every transfer fails. Part of them failing is no outage, as the path is there.
pub(super) fn throughput_outage(case: &Case<'_>) -> Option<Finding> {
    let stages = [ErrorStage::Throughput, ErrorStage::ThroughputTimeout];
    let tally = |window: &Window| {
        let failed = stages.map(|s| window.counts().of(s)).iter().sum();
        (failed, window.sketch(Metric::Throughput).count())
    };
    outage(case, &stages, tally, 100)
}

/// Looks back from the newest window until there is enough to say. `tally` says how many of a
/// window's measurements failed and how many did not, `percent` how many must have failed.
fn outage(
    case: &Case<'_>,
    stages: &[ErrorStage],
    tally: impl Fn(&Window) -> (u64, u64),
    percent: u64,
) -> Option<Finding> {
    let held = case.open.is_some_and(|open| stages.iter().any(|&s| open == Label::Outage(s)));
    let needed = if held { 2 * ENOUGH } else { ENOUGH };
    let (mut counts, mut failed, mut passed) = (Counts::default(), 0, 0);
    for (before, window) in case.sight.reach.iter().rev().enumerate() {
        counts.merge(window.window.counts());
        let (f, p) = tally(&window.window);
        (failed, passed) = (failed + f, passed + p);
        if failed == 0 && passed > 0 {
            // The newest measurements went well: it is over, or never was.
            return None;
        }
        let windows = before + 1;
        let share = |percent: u64| failed * 100 >= (failed + passed) * percent;
        let alone = passed == 0 && failed >= FAILURES_ALONE && windows >= 2;
        let many = failed >= FAILURES && share(percent);
        let still = held && failed >= FAILURES_ALONE && share(percent * FAILING_HELD / FAILING);
        if alone || many || still {
            let label = Label::Outage(worst(&counts, stages)?);
            return Some(Finding { label, cause: Cause::Failing { windows }, leads: true });
        }
        if failed + passed >= needed {
            return None;
        }
    }
    None
}

/// The stage that fails most, the earliest of those that do.
fn worst(counts: &Counts, stages: &[ErrorStage]) -> Option<ErrorStage> {
    stages.iter().copied().rev().max_by_key(|&s| counts.of(s))
}
