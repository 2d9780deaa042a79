//! Two hours that never were: the live probes as they have just been measured, a fleet beside
//! them, and faults whose truth is known. All of it goes through the real ingest.

use std::time::Duration;

use ::probe::Measurement;
use anyhow::{Context as _, ensure};
use jiff::tz::TimeZone;
use model::units::MINUTE_MS;
use server::store::{IncidentRow, Reader};
use testbed::load::{Sender, Totals};
use testbed::score::{self, Observed, Score};
use testbed::simulate::{
    self, CellProfile, Client, Fault, FaultKind, Scenario, Scope, Shape, Truth,
};
use tokio::time::Instant;

use super::watch::{self, Watch};
use super::world::{CLIENTS, World};
use crate::commands::now_ms;
use crate::commands::report::incident::{one, scored, told};
use crate::progress::Progress;
use crate::render::{Style, units};
use ::probe::check::view;

/// Measurements to know the target by: enough for a median, some seconds.
const CALIBRATION: usize = 21;
/// How long the history is.
const MINUTES: u32 = 120;
/// Measurements a minute and cell in it.
const PER_MINUTE: u32 = 6;
/// The fleet beside the live probes.
const FLEET: (u32, u32) = (5, 3);
/// How long the detector may take to judge it all.
const PATIENCE: Duration = Duration::from_secs(180);

/// How the target is when it is well.
pub(super) struct Usual {
    last: Measurement,
    profile: CellProfile,
}

/// What the history held, and what was said of it.
pub(super) struct History {
    totals: Totals,
    faults: usize,
    found: Vec<IncidentRow>,
    score: Score,
}

/// Measures the target until it is known.
pub(super) async fn calibrate(world: &World) -> anyhow::Result<Usual> {
    let prober = world.prober()?;
    let mut runs = Vec::with_capacity(CALIBRATION);
    for _ in 0..CALIBRATION {
        runs.push(prober.measure(&world.target_url).await);
    }
    if let Some(failure) = runs.iter().find_map(Measurement::any_failure) {
        anyhow::bail!("measuring the demo's own target failed: {failure}");
    }
    let ms = |pick: fn(&Measurement) -> Option<Duration>| {
        median(runs.iter().filter_map(pick).map(|took| took.as_secs_f64() * 1e3).collect())
    };
    #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^53")]
    let rates = runs.iter().filter_map(|m| Some(m.throughput?.bits_per_second as f64 / 1e3));
    let profile = CellProfile {
        client: None,
        target: world.target_url.to_string(),
        dns_ms: ms(|m| m.dns),
        tcp_ms: ms(|m| m.tcp).context("the target has no TCP stage")?,
        tls_ms: ms(|m| m.tls),
        ttfb_ms: ms(|m| m.ttfb).context("the target has no HTTP stage")?,
        throughput_kbps: median(rates.collect()),
        jitter: 0.05,
    };
    let last = runs.pop().context("nothing was measured")?;
    Ok(Usual { last, profile })
}

/// Sends the history and waits until it is judged.
pub(super) async fn send(
    world: &World,
    usual: &Usual,
    seed: u64,
    progress: &Progress,
) -> anyhow::Result<History> {
    let end_ms = watch::minute_ms(now_ms());
    let start_ms = end_ms - i64::from(MINUTES) * MINUTE_MS;
    let (clients, targets) = FLEET;
    let scenarios = [
        Scenario::fleet(seed, clients, targets, start_ms, MINUTES, PER_MINUTE).random_faults(),
        live_probes(world, usual, seed, start_ms),
    ];
    let truths = scenarios.iter().flat_map(simulate::truths).map(Truth::extended);
    let truths: Vec<_> = truths.collect();
    let cells = scenarios.iter().map(|s| (s.clients.len() * s.targets.len()) as u64).sum();
    let all: u64 = scenarios.iter().map(Scenario::len).sum();

    progress.step(&format!("sending {all} events"));
    let sender = Sender::new(&world.ingest_url()?, &world.token("*")?)?;
    let events = scenarios.iter().flat_map(simulate::events);
    let totals = sender
        .send_all(events, |at| progress.update(&format!("sent {} of {all}", at.totals.sent)))
        .await?;
    progress.step("waiting for events on their way, then judging");
    wait_until_judged(world).await?;
    let found = Watch::new(&world.store, start_ms).all().await?;
    progress.clear();

    let observed = Observed { from_ms: start_ms, to_ms: end_ms, cells };
    let scored: Vec<_> = found.iter().flat_map(scored).collect();
    Ok(History {
        totals,
        faults: truths.len(),
        score: score::score(&truths, &scored, &observed),
        found,
    })
}

/// Waits until the detector has judged all that came late, as nearly all of a history does.
async fn wait_until_judged(world: &World) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !world.store.read(Reader::reopened).await?.is_empty() {
        ensure!(Instant::now() < deadline, "the detector did not judge the history in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The live probes, two hours before: the target as it was just measured, broken twice.
fn live_probes(world: &World, usual: &Usual, seed: u64, start_ms: i64) -> Scenario {
    let client = |id: &str| Client {
        id: id.to_owned(),
        site: "here".to_owned(),
        isp: "loopback".to_owned(),
        resolver: "127.0.0.1".to_owned(),
    };
    let target = world.target_url.to_string();
    let fault = |kind, from_minute, minutes| Fault {
        kind,
        scope: Scope::Target(target.clone()),
        from_minute,
        minutes,
        shape: Shape::Steady,
    };
    let mut scenario = Scenario::fleet(seed, 0, 0, start_ms, MINUTES, PER_MINUTE)
        .with_targets([target.as_str()])
        .with_profile(usual.profile.clone())
        .with_fault(fault(FaultKind::DnsDelay { add_ms: 180.0 }, 35, 9))
        .with_fault(fault(FaultKind::ServerDelay { add_ms: 240.0 }, 75, 11));
    scenario.clients = CLIENTS.map(client).into();
    scenario
}

impl Usual {
    /// One measurement as it is usually.
    pub(super) fn text(&self, style: Style) -> String {
        let picture = view::one(&self.last, now_ms(), style);
        let mut out: String = picture.lines().flat_map(|line| ["  ", line, "\n"]).collect();
        out.push_str(&format!("  (the last of {CALIBRATION})\n\n"));
        out
    }
}

impl History {
    /// What was sent, what was said of it, and how much of that is right.
    pub(super) fn text(&self, style: Style) -> String {
        let zone = TimeZone::system();
        let mut out = format!(
            "  {} through the ingest, {} accepted, with {} in them. The detector says:\n\n",
            units::count(self.totals.sent, "event"),
            self.totals.accepted,
            units::count(self.faults as u64, "fault"),
        );
        for incident in told(&self.found) {
            out.extend(["  ", &one(incident, &zone, style)]);
        }
        format!("{out}\nHistory, told against true:\n{}\n", self.score.table())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
