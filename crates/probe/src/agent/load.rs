//! When the agent loads the line: at random about a mean, one test at a time over all targets, and
//! never more bytes in a day than it may move.

use std::path::Path;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock, RwLockReadGuard};
use tokio::time::Instant;

use super::metered::is_metered;
use crate::identity;
use crate::load::budget::Budget;
use crate::load::{Allowance, LoadOptions, Tests, when};
use crate::measure::now_ms;
use crate::{Identity, Measurement, Prober};

/// How the agent loads the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadPlan {
    /// The mean time from one test to the next.
    pub every: Duration,
    /// Bytes a day, both ways and all targets together.
    pub daily_bytes: u64,
    /// Whether also where every byte is paid for.
    pub on_metered: bool,
}

/// Less than this shows nothing but a ramp-up.
const LEAST: u64 = 2 << 20;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Held by a measurement; `None` while a test loads the line, or waits to.
pub(super) type IdleLine<'a> = Option<RwLockReadGuard<'a, ()>>;

pub(super) struct Loader {
    plan: LoadPlan,
    /// Held through a test: two at a time would measure each other.
    state: Mutex<State>,
    /// Written while a test loads the line, read by every measurement: each would slow the other.
    line: RwLock<()>,
}

struct State {
    budget: Budget,
    next: Instant,
}

impl Loader {
    pub(super) fn new(plan: LoadPlan, state_dir: Option<&Path>) -> Self {
        let budget = Budget::open(state_dir, plan.daily_bytes, now_ms());
        let next = Instant::now() + when::wait(plan.every, rand::random());
        Self { plan, state: Mutex::new(State { budget, next }), line: RwLock::new(()) }
    }

    /// For a measurement to hold.
    pub(super) fn idle_line(&self) -> IdleLine<'_> {
        self.line.try_read().ok()
    }

    /// Makes a test where one is due, to where a measurement was just made.
    pub(super) async fn run(&self, prober: &Prober, m: &mut Measurement, identity: &Identity) {
        let Ok(mut state) = self.state.try_lock() else { return };
        if Instant::now() < state.next || m.failure.is_some() {
            return;
        }
        // Also where it may not be: nobody is asked about the link more often than that.
        state.next = Instant::now() + when::wait(self.plan.every, rand::random());
        if !self.allowed_on(m, identity).await {
            tracing::debug!("the link is metered: the line is not loaded");
            return;
        }
        let now_ms = now_ms();
        let bytes = share(self.plan, state.budget.left(now_ms));
        let spent = || tracing::debug!("the day's bytes are spent: the line is not loaded");
        if bytes < LEAST {
            return spent();
        }
        let _loaded = self.line.write().await;
        if !state.budget.reserve(now_ms, bytes) {
            return spent();
        }
        let allowance = Allowance::of(bytes);
        let all = Tests { download: true, upload: true, responsiveness: true };
        prober.load(m, all, &LoadOptions::default(), &allowance).await;
        state.budget.give_back(now_ms, allowance.left());
    }

    /// What a mobile network carries is as a rule paid for by the byte; of others the system may know.
    /// What nobody tells is taken as not metered.
    async fn allowed_on(&self, m: &Measurement, identity: &Identity) -> bool {
        if self.plan.on_metered {
            return true;
        }
        let (local, remote) = (m.local_addr.map(|a| a.ip()), m.remote_addr.map(|a| a.ip()));
        let context = identity.network_context(local, remote);
        if context.interface_type == "cellular" {
            return false;
        }
        let Some(interface) = identity::interface_name(local, remote) else { return true };
        is_metered(&interface, context.vpn_enabled).await != Some(true)
    }
}

/// What one test may move: its share of the day, so that the last has as much as the first.
fn share(plan: LoadPlan, left: u64) -> u64 {
    let tests = (DAY.as_secs() / plan.every.as_secs().max(1)).max(1);
    left.min((plan.daily_bytes / tests).max(LEAST))
}

#[cfg(test)]
mod tests {
    use testbed::target::{Target, TargetConfig};

    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn nothing_is_measured_while_a_test_loads_the_line() {
        let http = Some(([127, 0, 0, 1], 0).into());
        let target = Target::start(TargetConfig { http, ..TargetConfig::default() }).await.unwrap();
        let url = format!("http://{}/health", target.http_addr().unwrap()).parse().unwrap();
        let prober = Prober::new(Options { throughput: false, ..Options::default() }).unwrap();
        let mut m = prober.measure(&url).await;
        let plan = LoadPlan { every: Duration::ZERO, daily_bytes: 1 << 40, on_metered: true };
        let loader = Loader::new(plan, None);
        let identity = Identity::named("c");
        let other = loader.idle_line().unwrap();
        assert!(loader.idle_line().is_some(), "measurements are made side by side");
        let line_is_held = async {
            while loader.idle_line().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = loader.run(&prober, &mut m, &identity) => panic!("it loads beside a measurement"),
            () = line_is_held => {}
        }
        drop(other);
        assert!(loader.idle_line().is_some(), "it was given up");
        loader.run(&prober, &mut m, &identity).await;
        let left = loader.state.lock().await.budget.left(now_ms());
        assert!(left < plan.daily_bytes && loader.idle_line().is_some());
    }

    #[test]
    fn a_test_has_its_share_of_the_day_and_no_more_than_is_left() {
        let plan = |hours: u64, daily_bytes| LoadPlan {
            every: Duration::from_secs(hours * 3_600),
            daily_bytes,
            on_metered: false,
        };
        assert_eq!(share(plan(6, 100 << 20), u64::MAX), 25 << 20);
        assert_eq!(share(plan(6, 100 << 20), 7), 7);
        assert_eq!(share(plan(48, 100 << 20), u64::MAX), 100 << 20);
        assert_eq!(share(plan(1, 10 << 20), u64::MAX), LEAST, "too little shows nothing");
    }
}
