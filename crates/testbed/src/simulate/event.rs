//! The stream of events.

use model::ErrorStage;
use model::units::MINUTE_MS;
use model::wire::{WireEvent, WireLatency, WireTcpInfo, WireTimings};
use uuid::{Builder, Uuid};

use super::deliver::Deliveries;
use super::measure::{Draws, Rough, Sample, measure};
use super::random::Random;
use super::scenario::Scenario;
use super::world::{Cell, World};

/// What the scenario's probes would have sent, ordered by time; events of one millisecond are in
/// the scenario's order of clients and targets. Where some are late, doubled, or of a clock that
/// is off, all say when they arrived, and come in that order.
pub fn events(scenario: &Scenario) -> Events {
    let mut random = Random::new(scenario.seed);
    Events {
        world: World::new(scenario, &mut random),
        random,
        left: scenario.len(),
        scenario: scenario.clone(),
        minutes: 0,
        due: Vec::new(),
        deliveries: Deliveries::default(),
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
    /// What was sent and has not arrived.
    deliveries: Deliveries,
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
        while self.left > 0 {
            if self.due.is_empty() {
                self.plan_minute();
            }
            let next = self.due.last()?;
            let next_ms = self.scenario.minute_ms(self.minutes - 1) + i64::from(next.ms);
            if let Some(event) = self.deliveries.next(Some(next_ms)) {
                return Some(event);
            }
            let due = self.due.pop()?;
            self.left -= 1;
            if let Some(event) = self.event(due) {
                return Some(event);
            }
        }
        self.deliveries.next(None)
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

    /// The event, if it arrives at once.
    fn event(&mut self, due: Due) -> Option<WireEvent> {
        let minute = self.minutes - 1;
        let ts_ms = self.scenario.minute_ms(minute) + i64::from(due.ms);
        let cell = &self.world.cells[due.cell as usize];
        let place = u64::from(minute) * u64::from(self.scenario.per_minute) + u64::from(due.nth);
        let mut draws = Draws::draw(self.random.at(cell.events, place));
        let untidy = &self.scenario.untidy;
        if self.world.weather.is_some() {
            draws.rough = Some(Rough::draw(self.random.at(cell.rough, place)));
        }
        let rough = draws.rough;
        if rough.is_some_and(|rough| rough.u_missing < untidy.missing) {
            return None;
        }
        let second = untidy.addresses > 1 && rough.is_some_and(|rough| rough.u_address < 0.5);
        let address = usize::from(second);
        let moment = self.world.moment(due.cell, ts_ms);
        let mut sample = measure(&cell.path, &moment, &cell.strains[address], &draws);
        if place % u64::from(untidy.throughput_every.max(1)) != 0 {
            sample = sample.without_throughput();
        }
        let event = self.write(ts_ms, cell, address, &draws, &sample);
        match rough {
            Some(rough) if untidy.stamps() => {
                self.send(event, due, rough);
                None
            }
            _ => Some(event),
        }
    }

    /// Sends an event by way of the client's clock and line.
    fn send(&mut self, mut event: WireEvent, due: Due, rough: Rough) {
        let Some(weather) = &self.world.weather else { return };
        let client = self.world.cells[due.cell as usize].client as usize;
        let took_ms = event.timings.total_ms.unwrap_or(1_000.0) + 200.0 * rough.u_later;
        let sent_ms = event.ts_ms;
        let recv_ms = weather.cut_off_until(client, sent_ms).unwrap_or(sent_ms) + whole(took_ms);
        event.ts_ms += weather.clock_ms(client);
        event.recv_ts_ms = Some(recv_ms);
        if rough.u_doubled < self.scenario.untidy.doubled {
            let again_ms = recv_ms + whole(60_000.0 * rough.u_later);
            self.deliveries.send(WireEvent { recv_ts_ms: Some(again_ms), ..event.clone() });
        }
        self.deliveries.send(event);
    }

    fn write(
        &self,
        ts_ms: i64,
        cell: &Cell,
        address: usize,
        draws: &Draws,
        sample: &Sample,
    ) -> WireEvent {
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
            traceparent: None,
            error_type: sample.failure.map(|(_, kind)| kind.to_owned()),
            http_status: sample.status,
            http_version: sample.status.map(|_| if secured { "2" } else { "1.1" }.to_owned()),
            ip_family: (stage != Some(ErrorStage::Dns)).then_some(target.address_family),
            remote_addr: (stage != Some(ErrorStage::Dns)).then(|| {
                // A target of a literal address has that one only.
                target.addresses.get(address).unwrap_or(&target.addresses[0]).clone()
            }),
            dns_server: looked_up.then(|| client.resolver.clone()),
            tls_version: secured.then(|| client.tls_version.to_owned()),
            tls_cipher: secured.then(|| "TLS_AES_128_GCM_SHA256".to_owned()),
            alpn: secured.then(|| "h2".to_owned()),
            cert_expires_ms: shown.then(|| {
                let days = if expired { -1 } else { i64::from(target.certificate_days) };
                self.scenario.start_ms + days * DAY_MS
            }),
            transfers: None,
            tcp_info: sample.trips.map(|[_, least, loaded]| WireTcpInfo {
                rtt_ms: Some(ms(loaded)),
                min_rtt_ms: Some(ms(least)),
                ..WireTcpInfo::default()
            }),
            latency: sample.trips.map(|[idle, _, loaded]| WireLatency {
                idle_ms: Some(ms(idle)),
                loaded_ms: Some(ms(loaded)),
                ..WireLatency::default()
            }),
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

#[expect(clippy::cast_possible_truncation, reason = "a minute or two")]
fn whole(ms: f64) -> i64 {
    ms as i64
}

/// Thousandths: whole microseconds as the wire's milliseconds, bits as its kilobits.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn ms(thousandths: u64) -> f64 {
    thousandths as f64 / 1e3
}
