//! One measurement, as a pure function of where it was taken, of the minute, of what is broken,
//! and of its random numbers.

#[cfg(test)]
mod tests;

use model::ErrorStage;

use super::fault::FaultKind;
use super::random::{Random, exponential, log_normal};

/// Bytes of a TCP segment's payload.
const SEGMENT_BYTES: f64 = 1460.0;
/// Flows a throughput measurement may count on (the benchmark's generator has eight).
const FLOWS: f64 = 8.0;
/// The small document whose first byte is waited for: fits the initial congestion window.
const DOCUMENT_BITS: f64 = 12_000.0 * 8.0;
/// The object whose transfer gives the throughput, and how long it may take.
const OBJECT_BITS: f64 = 8e6;
const OBJECT_SECONDS: f64 = 30.0;
/// A probe gives up on a connection after this.
const CONNECT_TIMEOUT_MS: f64 = 10_000.0;
/// First retransmission of a SYN, and of data.
const SYN_RTO_MS: f64 = 1_000.0;
const DATA_RTO_MS: f64 = 220.0;
/// One request of a hundred takes the server three times as long.
const SLOW_REQUESTS: f64 = 0.01;
const SLOW_FACTOR: f64 = 3.0;
/// Share of the round trips that meet a queue, and its mean.
const SPIKES: f64 = 0.006;
const SPIKE_MS: f64 = 60.0;
/// What a transfer adds to the round trip, as usual.
const QUEUE_MS: f64 = 12.0;

/// Where a measurement is taken: a client and a target, in medians.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path {
    /// By the model of the benchmark.
    Modelled(Modelled),
    /// By given medians.
    Given(Given),
}

/// A path of the model. Times in milliseconds, rates in bits a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modelled {
    /// Round trip to the resolver; absent: no look-up.
    pub(super) resolver_ms: Option<f64>,
    /// Share of the look-ups the resolver has to ask others for.
    pub(super) miss_share: f64,
    /// Share that a cache in the client answers.
    pub(super) stub_share: f64,
    /// Share that is asked again, and after how long.
    pub(super) resends: (f64, f64),
    /// Round trip to the target.
    pub(super) rtt_ms: f64,
    /// Round trips of the handshake; 0: there is none.
    pub(super) tls_trips: u8,
    /// Median of the server's own time, and the deviation of its logarithm.
    pub(super) server_ms: f64,
    pub(super) server_sigma: f64,
    /// Rate of the client's line.
    pub(super) access_bps: f64,
    /// Packet loss.
    pub(super) loss: f64,
    /// Share of the measurements that fail at each stage.
    pub(super) failing: f64,
}

/// A path of known medians; see [`super::CellProfile`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) dns_ms: Option<f64>,
    pub(super) tcp_ms: f64,
    pub(super) tls_ms: Option<f64>,
    pub(super) ttfb_ms: f64,
    pub(super) bps: Option<f64>,
    pub(super) jitter: f64,
}

/// How the minute stands: factors on the path's medians, 1 as usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) rtt: f64,
    pub(super) server: f64,
    pub(super) rate: f64,
    /// On jitter and spikes.
    pub(super) noise: f64,
    /// Milliseconds more or less by another route.
    pub(super) route_ms: f64,
    /// Milliseconds more a round trip in a burst, which each takes differently.
    pub(super) burst_ms: f64,
    /// Milliseconds until anything passes again.
    pub(super) gap_ms: f64,
}

impl Moment {
    pub(super) const USUAL: Self = Self {
        rtt: 1.0,
        server: 1.0,
        rate: 1.0,
        noise: 1.0,
        route_ms: 0.0,
        burst_ms: 0.0,
        gap_ms: 0.0,
    };
}

/// What faults do to a cell, all of them together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Strain {
    dns_ms: f64,
    rtt_ms: f64,
    tls_ms: f64,
    server_ms: f64,
    tail_share: f64,
    tail_ms: (f64, f64),
    syn_loss: f64,
    loss: f64,
    /// Factor on the rate, and the share of the usual rate that nothing exceeds.
    drip: f64,
    cap: Option<f64>,
    servfail: f64,
    refused: f64,
    unavailable: f64,
    expired: bool,
    loaded_ms: f64,
}

/// The random numbers of one measurement: always all of them, so that a fault changes what it
/// touches and shifts nothing else. `z` are standard normal, `u` uniform in [0, 1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    pub(super) id: [u64; 2],
    z_dns: f64,
    z_miss: f64,
    z_tcp: f64,
    z_tls: f64,
    z_handshake: f64,
    z_ttfb: f64,
    z_server: f64,
    z_rate: f64,
    u_miss: f64,
    u_syn: f64,
    u_data: f64,
    u_spike: [f64; 3],
    u_slow: f64,
    u_tail: f64,
    u_tail_ms: f64,
    u_fail: [f64; 5],
    z_idle: f64,
    z_loaded: f64,
    /// Of a world that is not tidy.
    pub(super) rough: Option<Rough>,
}

/// The random numbers of what is untidy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rough {
    u_stub: f64,
    u_resend: f64,
    z_burst: [f64; 4],
    z_trip: f64,
    pub(super) u_missing: f64,
    pub(super) u_doubled: f64,
    pub(super) u_later: f64,
    pub(super) u_address: f64,
}

/// What was measured: whole microseconds and bits a second; absent where it was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) dns: Option<u64>,
    pub(super) tcp: Option<u64>,
    pub(super) tls: Option<u64>,
    pub(super) ttfb: Option<u64>,
    pub(super) transfer: Option<u64>,
    pub(super) bps: Option<u64>,
    /// The round trip at rest, at its shortest, and under load.
    pub(super) trips: Option<[u64; 3]>,
    pub(super) failure: Option<(ErrorStage, &'static str)>,
    pub(super) status: Option<u16>,
}

impl Draws {
    pub(super) fn draw(random: &mut Random) -> Self {
        Self {
            id: [random.bits(), random.bits()],
            z_dns: random.normal(),
            z_miss: random.normal(),
            z_tcp: random.normal(),
            z_tls: random.normal(),
            z_handshake: random.normal(),
            z_ttfb: random.normal(),
            z_server: random.normal(),
            z_rate: random.normal(),
            u_miss: random.unit(),
            u_syn: random.unit(),
            u_data: random.unit(),
            u_spike: [random.unit(), random.unit(), random.unit()],
            u_slow: random.unit(),
            u_tail: random.unit(),
            u_tail_ms: random.unit(),
            u_fail: std::array::from_fn(|_| random.unit()),
            z_idle: random.normal(),
            z_loaded: random.normal(),
            rough: None,
        }
    }
}

impl Rough {
    pub(super) fn draw(random: &mut Random) -> Self {
        Self {
            u_stub: random.unit(),
            u_resend: random.unit(),
            z_burst: std::array::from_fn(|_| random.normal()),
            z_trip: random.normal(),
            u_missing: random.unit(),
            u_doubled: random.unit(),
            u_later: random.unit(),
            u_address: random.unit(),
        }
    }
}

impl Default for Strain {
    fn default() -> Self {
        Self {
            dns_ms: 0.0,
            rtt_ms: 0.0,
            tls_ms: 0.0,
            server_ms: 0.0,
            tail_share: 0.0,
            tail_ms: (0.0, 0.0),
            syn_loss: 0.0,
            loss: 0.0,
            drip: 1.0,
            cap: None,
            servfail: 0.0,
            refused: 0.0,
            unavailable: 0.0,
            expired: false,
            loaded_ms: 0.0,
        }
    }
}

impl Strain {
    /// Adds a fault to those that already weigh on the cell.
    pub(super) fn add(&mut self, kind: FaultKind) {
        let either = |a: f64, b: f64| 1.0 - (1.0 - a) * (1.0 - b);
        match kind {
            FaultKind::DnsDelay { add_ms } => self.dns_ms += add_ms,
            FaultKind::PathDelay { add_ms } => self.rtt_ms += add_ms,
            FaultKind::TlsDelay { add_ms } => self.tls_ms += add_ms,
            FaultKind::ServerDelay { add_ms } => self.server_ms += add_ms,
            FaultKind::ServerTail { share, from_ms, to_ms } => {
                // Of two tails the longer is felt.
                self.tail_share = either(self.tail_share, share);
                self.tail_ms = (self.tail_ms.0.max(from_ms), self.tail_ms.1.max(to_ms));
            }
            FaultKind::SynLoss { share } => self.syn_loss = either(self.syn_loss, share),
            FaultKind::Loss { share } => self.loss = either(self.loss, share),
            FaultKind::SlowDrip { factor } => self.drip *= factor,
            FaultKind::RateLimit { factor } => {
                self.cap = Some(self.cap.map_or(factor, |cap| cap.min(factor)));
            }
            FaultKind::DnsServfail { share } => self.servfail = either(self.servfail, share),
            FaultKind::OutageTcp { share } => self.refused = either(self.refused, share),
            FaultKind::Http5xx { share } => self.unavailable = either(self.unavailable, share),
            FaultKind::Cert => self.expired = true,
            FaultKind::Bufferbloat { add_ms } => self.loaded_ms += add_ms,
        }
    }
}

/// The stages in milliseconds and bits a second, before anything fails.
struct Stages {
    dns: Option<f64>,
    tcp: f64,
    tls: Option<f64>,
    ttfb: f64,
    bps: Option<f64>,
    /// At rest, at its shortest, and under load.
    trips: [f64; 3],
    /// Whether the look-up was answered without the resolver.
    stubbed: bool,
}

/// Measures once.
pub(super) fn measure(path: &Path, moment: &Moment, strain: &Strain, d: &Draws) -> Sample {
    let stages = match path {
        Path::Modelled(path) => path.stages(moment, strain, d),
        Path::Given(path) => path.stages(strain, d),
    };
    let (loss, failing) = match path {
        Path::Modelled(path) => (path.loss + strain.loss, path.failing),
        Path::Given(_) => (strain.loss, 0.0),
    };
    // A SYN or its answer may be lost; of the handshake's flight, one of about three packets.
    let syn_lost = 1.0 - (1.0 - 2.0 * loss).max(0.0) * (1.0 - strain.syn_loss);
    let tcp = stages.tcp + waits(d.u_syn, syn_lost, SYN_RTO_MS) + until_resent(moment.gap_ms);
    let tls = stages.tls.map(|tls| tls + strain.tls_ms + waits(d.u_data, 3.0 * loss, DATA_RTO_MS));
    let tail = if d.u_tail < strain.tail_share {
        strain.tail_ms.0 + (strain.tail_ms.1 - strain.tail_ms.0) * d.u_tail_ms
    } else {
        0.0
    };
    let ttfb = stages.ttfb + strain.server_ms + tail;

    // Faults take the low end of each draw, the usual failures the high end.
    let usual = |u: f64| u >= 1.0 - failing;
    let mut sample = Sample::default();
    if let Some(dns) = stages.dns {
        let u = d.u_fail[0];
        if u < strain.servfail && !stages.stubbed {
            return sample.failed(ErrorStage::Dns, "dns.servfail");
        }
        if usual(u) {
            return sample.failed(ErrorStage::Dns, "dns.timeout");
        }
        sample.dns = Some(micros(dns + if stages.stubbed { 0.0 } else { strain.dns_ms }));
    }
    let u = d.u_fail[1];
    if u < strain.refused {
        return sample.failed(ErrorStage::Tcp, "tcp.refused");
    }
    if usual(u) || tcp > CONNECT_TIMEOUT_MS {
        return sample.failed(ErrorStage::Tcp, "tcp.timed_out");
    }
    sample.tcp = Some(micros(tcp));
    if let Some(tls) = tls {
        if strain.expired {
            return sample.failed(ErrorStage::Tls, "tls.cert.date_invalid");
        }
        if usual(d.u_fail[2]) {
            return sample.failed(ErrorStage::Tls, "tls.failed");
        }
        sample.tls = Some(micros(tls));
    }
    let u = d.u_fail[3];
    if u < strain.unavailable {
        sample.status = Some(503);
        return sample.failed(ErrorStage::Http, "http.error");
    }
    if usual(u) {
        return sample.failed(ErrorStage::Http, "http.response.invalid");
    }
    sample.status = Some(200);
    sample.ttfb = Some(micros(ttfb));
    let Some(bps) = stages.bps.map(|bps| bps.max(1.0)) else {
        sample.transfer = Some(0);
        return sample;
    };
    sample.transfer = Some(micros(DOCUMENT_BITS / bps * 1e3));
    if usual(d.u_fail[4]) {
        return sample.failed(ErrorStage::Throughput, "body.truncated");
    }
    sample.bps = Some(whole(bps));
    sample.trips = Some(stages.trips.map(micros));
    if OBJECT_BITS / bps > OBJECT_SECONDS {
        return sample.failed(ErrorStage::ThroughputTimeout, "body.timed_out");
    }
    sample
}

impl Modelled {
    fn stages(&self, moment: &Moment, strain: &Strain, d: &Draws) -> Stages {
        // Another route is never more than 40 % shorter.
        let route = moment.route_ms.max(-0.4 * self.rtt_ms);
        let rtt = self.rtt_ms * moment.rtt + route + strain.rtt_ms;
        let burst = |i: usize| {
            let z = d.rough.map_or(0.0, |rough| rough.z_burst[i]);
            if moment.burst_ms > 0.0 { log_normal(moment.burst_ms, 0.5, z) } else { 0.0 }
        };
        let rough = |pick: fn(&Rough) -> f64| d.rough.as_ref().map_or(1.0, pick);
        let stubbed = rough(|r| r.u_stub) < self.stub_share;
        let resent = !stubbed && rough(|r| r.u_resend) < self.resends.0;
        let trip = |z: f64, u_spike: f64| {
            // What of the uniform lies under the share of spikes is uniform there again.
            let spike = (u_spike < SPIKES).then(|| exponential(SPIKE_MS, u_spike / SPIKES));
            rtt + moment.noise * (log_normal(1.2, 1.0, z) + spike.unwrap_or(0.0))
        };
        let dns = self.resolver_ms.map(|resolver| {
            let miss = (d.u_miss < self.miss_share).then(|| log_normal(35.0, 0.8, d.z_miss));
            if stubbed {
                return log_normal(0.3, 0.3, d.z_dns);
            }
            let again = if resent { self.resends.1 } else { 0.0 };
            let asked = resolver * moment.rtt + log_normal(0.8, 0.8, d.z_dns) + again;
            asked + miss.unwrap_or(0.0) + burst(3)
        });
        let tls = (self.tls_trips > 0).then(|| {
            let first = trip(d.z_tls, d.u_spike[1]) + log_normal(3.0, 0.4, d.z_handshake);
            let second = d.rough.filter(|_| self.tls_trips > 1).map(|r| trip(r.z_trip, 1.0));
            first + second.unwrap_or(0.0) + burst(1)
        });
        let slow = if d.u_slow < SLOW_REQUESTS { SLOW_FACTOR } else { 1.0 };
        let server = log_normal(self.server_ms * moment.server, self.server_sigma, d.z_server);
        let usual = self.access_bps.min(mathis(self.rtt_ms, self.loss));
        let rate = self.access_bps.min(mathis(rtt, self.loss + strain.loss));
        let rate = rate * moment.rate * log_normal(1.0, 0.12, d.z_rate) * strain.drip;
        Stages {
            dns,
            tcp: trip(d.z_tcp, d.u_spike[0]) + burst(0),
            tls,
            ttfb: trip(d.z_ttfb, d.u_spike[2]) + server * slow + burst(2),
            bps: Some(strain.cap.map_or(rate, |cap| rate.min(usual * cap))),
            trips: [
                trip(d.z_idle, 1.0) + burst(0),
                rtt,
                rtt + burst(1) + strain.loaded_ms + log_normal(QUEUE_MS, 0.5, d.z_loaded),
            ],
            stubbed,
        }
    }
}

impl Given {
    fn stages(&self, strain: &Strain, d: &Draws) -> Stages {
        let around = |median: f64, z: f64| log_normal(median, self.jitter, z);
        let bps = self.bps.map(|usual| {
            let rtt = self.tcp_ms + strain.rtt_ms;
            let lossy = if strain.loss > 0.0 { mathis(rtt, strain.loss) } else { f64::INFINITY };
            let rate = around(usual, d.z_rate).min(lossy) * strain.drip;
            strain.cap.map_or(rate, |cap| rate.min(usual * cap))
        });
        Stages {
            dns: self.dns_ms.map(|dns| around(dns, d.z_dns)),
            tcp: around(self.tcp_ms, d.z_tcp) + strain.rtt_ms,
            tls: self.tls_ms.map(|tls| around(tls, d.z_tls) + strain.rtt_ms),
            ttfb: around(self.ttfb_ms, d.z_ttfb) + strain.rtt_ms,
            bps,
            trips: [
                around(self.tcp_ms, d.z_idle) + strain.rtt_ms,
                self.tcp_ms + strain.rtt_ms,
                around(self.tcp_ms + QUEUE_MS, d.z_loaded) + strain.rtt_ms + strain.loaded_ms,
            ],
            stubbed: false,
        }
    }
}

impl Sample {
    fn failed(self, stage: ErrorStage, kind: &'static str) -> Self {
        Self { failure: Some((stage, kind)), ..self }
    }

    /// The same without a measurement of the throughput.
    pub(super) fn without_throughput(self) -> Self {
        let failure = self.failure.filter(|(stage, _)| !stage.is_throughput());
        Self { bps: None, trips: None, failure, ..self }
    }

    /// The whole measurement, where a response was read to its end.
    pub(super) fn total(&self) -> Option<u64> {
        let (tcp, ttfb, transfer) = (self.tcp?, self.ttfb?, self.transfer?);
        Some(self.dns.unwrap_or(0) + tcp + self.tls.unwrap_or(0) + ttfb + transfer)
    }
}

/// How long a retransmission timer that doubles holds a packet up, where each try is lost with
/// this probability.
fn waits(u: f64, lost: f64, first_ms: f64) -> f64 {
    let lost = lost.min(0.95);
    // 1 - u, since u may be 0.
    let u = 1.0 - u;
    if u > lost {
        return 0.0;
    }
    let tries = libm::floor(libm::log(u) / libm::log(lost));
    first_ms * (libm::exp2(tries) - 1.0)
}

/// When a SYN passes that is sent again after 1, 3 and 7 s, where nothing does for this long.
fn until_resent(gap_ms: f64) -> f64 {
    let tries = [0.0, SYN_RTO_MS, 3.0 * SYN_RTO_MS, 7.0 * SYN_RTO_MS];
    tries.into_iter().find(|ms| *ms >= gap_ms).unwrap_or(gap_ms)
}

/// Rate of eight flows by the formula of Mathis et al. (1997), bits a second.
fn mathis(rtt_ms: f64, loss: f64) -> f64 {
    let rtt_s = rtt_ms.max(0.01) / 1e3;
    FLOWS * 1.22 * SEGMENT_BYTES * 8.0 / (rtt_s * libm::sqrt(loss.max(1e-9)))
}

fn micros(ms: f64) -> u64 {
    whole(ms * 1e3)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast saturates, and nothing here is negative"
)]
fn whole(value: f64) -> u64 {
    libm::round(value) as u64
}
