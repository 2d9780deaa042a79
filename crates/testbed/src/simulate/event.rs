//! The stream of events.

use model::ErrorStage;
use model::units::MINUTE_MS;
use model::wire::{WireEvent, WireTimings};
use uuid::{Builder, Uuid};

use super::measure::{Draws, Sample, measure};
use super::random::Random;
use super::scenario::Scenario;
use super::world::{Cell, World};

/// What the scenario's probes would have sent, ordered by time; events of one millisecond are in
/// the scenario's order of clients and targets.
pub fn events(scenario: &Scenario) -> Events {
    let mut random = Random::new(scenario.seed);
    Events {
        world: World::new(scenario, &mut random),
        random,
        left: scenario.len(),
        scenario: scenario.clone(),
        minutes: 0,
        due: Vec::new(),
    }
}

/// Made by [`events()`]. Holds one minute's schedule and no event.
#[derive(Debug)]
pub struct Events {
    scenario: Scenario,
    world: World,
    random: Random,
    left: u64,
    /// Minutes whose schedule was made.
    minutes: u32,
    /// What is left of the latest of them, the next one last.
    due: Vec<Due>,
}

/// A measurement to come. Ordered by time, then by cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    /// Into the minute.
    ms: u32,
    cell: u32,
    /// Which of the cell's minute.
    nth: u32,
}

impl Iterator for Events {
    type Item = WireEvent;

    fn next(&mut self) -> Option<WireEvent> {
        self.left = self.left.checked_sub(1)?;
        if self.due.is_empty() {
            self.plan_minute();
        }
        let due = self.due.pop()?;
        Some(self.event(due))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left);
        (left.unwrap_or(usize::MAX), left.ok())
    }
}

impl Events {
    /// Moves on by a minute: each cell measures once in each of its equal parts, at a random time.
    fn plan_minute(&mut self) {
        self.world.advance(&self.scenario, &mut self.random, self.minutes);
        let n = self.scenario.per_minute;
        let part_ms = MINUTE_MS as f64 / f64::from(n);
        for (i, cell) in (0..).zip(&self.world.cells) {
            // A place holds 128 draws.
            let place = u64::from(self.minutes) * u64::from(n.div_ceil(128));
            let random = self.random.at(cell.schedule, place);
            self.due.extend((0..n).map(|nth| {
                let ms = (f64::from(nth) + random.unit()) * part_ms;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 60,000"
                )]
                Due { ms: ms as u32, cell: i, nth }
            }));
        }
        self.due.sort_unstable_by(|a, b| b.cmp(a));
        self.minutes += 1;
    }

    fn event(&mut self, due: Due) -> WireEvent {
        let minute = self.minutes - 1;
        let ts_ms = self.scenario.minute_ms(minute) + i64::from(due.ms);
        let cell = &self.world.cells[due.cell as usize];
        let place = u64::from(minute) * u64::from(self.scenario.per_minute) + u64::from(due.nth);
        let draws = Draws::draw(self.random.at(cell.events, place));
        let sample = measure(&cell.path, &self.world.moment(cell), &cell.strain, &draws);
        self.write(ts_ms, cell, &draws, &sample)
    }

    fn write(&self, ts_ms: i64, cell: &Cell, draws: &Draws, sample: &Sample) -> WireEvent {
        let client = &self.world.clients[cell.client as usize];
        let target = &self.world.targets[cell.target as usize];
        let stage = sample.failure.map(|(stage, _)| stage);
        // The look-up, the connection, the handshake, the response: how far it came.
        let looked_up = sample.dns.is_some() || stage == Some(ErrorStage::Dns);
        let connected = sample.tcp.is_some();
        let secured = sample.tls.is_some();
        let shown = secured || (connected && stage == Some(ErrorStage::Tls));
        let expired = sample.failure.is_some_and(|(_, kind)| kind == "tls.cert.date_invalid");
        WireEvent {
            event_id: id(ts_ms, draws.id),
            client_id: client.id.clone(),
            ts_ms,
            recv_ts_ms: None,
            schema_version: "1.1".to_owned(),
            target: target.url.clone(),
            network_context: client.context.clone(),
            timings: WireTimings {
                dns_ms: sample.dns.map(ms),
                tcp_ms: sample.tcp.map(ms),
                tls_ms: sample.tls.map(ms),
                request_ms: None,
                http_ttfb_ms: sample.ttfb.map(ms),
                transfer_ms: sample.transfer.map(ms),
                total_ms: sample.total().map(ms),
            },
            throughput_kbps: sample.bps.map(ms),
            upload_kbps: None,
            error_stage: stage,
            error_type: sample.failure.map(|(_, kind)| kind.to_owned()),
            http_status: sample.status,
            http_version: sample.status.map(|_| if secured { "2" } else { "1.1" }.to_owned()),
            ip_family: (stage != Some(ErrorStage::Dns)).then_some(target.address_family),
            remote_addr: (stage != Some(ErrorStage::Dns)).then(|| target.address.clone()),
            dns_server: looked_up.then(|| client.resolver.clone()),
            tls_version: secured.then(|| "1.3".to_owned()),
            tls_cipher: secured.then(|| "TLS_AES_128_GCM_SHA256".to_owned()),
            alpn: secured.then(|| "h2".to_owned()),
            cert_expires_ms: shown.then(|| {
                let days = if expired { -1 } else { i64::from(target.certificate_days) };
                self.scenario.start_ms + days * DAY_MS
            }),
            tcp_info: None,
            transfers: None,
            latency: None,
            probe_version: Some(VERSION.to_owned()),
            clock_offset_ms: None,
            probe_trouble: Vec::new(),
            gap: None,
            labels: client.labels.clone(),
        }
    }
}

const DAY_MS: i64 = 86_400_000;
/// What simulated events give as the version of their probe.
const VERSION: &str = concat!("simulator ", env!("CARGO_PKG_VERSION"));

/// A version 7 UUID of the event's own time.
fn id(ts_ms: i64, bits: [u64; 2]) -> Uuid {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&bits[0].to_be_bytes());
    random[8..].copy_from_slice(&bits[1].to_be_bytes()[..2]);
    Builder::from_unix_timestamp_millis(ts_ms.unsigned_abs(), &random).into_uuid()
}

/// Thousandths: whole microseconds as the wire's milliseconds, bits as its kilobits.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn ms(thousandths: u64) -> f64 {
    thousandths as f64 / 1e3
}
