//! What the packets say each stage took.

use std::time::Duration;

use anyhow::bail;

use crate::packets::{Kind, Packet};

/// The stages compared, in the order they come.
pub(crate) const STAGES: [&str; 4] = ["dns", "tcp", "tls", "ttfb"];

/// Microseconds of each of [`STAGES`].
pub(crate) type Stages = [f64; 4];

/// Queries of one measurement are closer than this; measurements are farther apart.
const APART: Duration = Duration::from_millis(10);

/// TLS record types.
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const RECORD_HEADER: usize = 5;

/// One look-up or one connection on its way through the capture.
#[derive(Debug)]
struct Lookup {
    port: u16,
    asked: Duration,
    answered: Option<Duration>,
    last: Duration,
}

#[derive(Debug, Default)]
struct Connection {
    port: u16,
    syn: Duration,
    syn_ack: Option<Duration>,
    hello: Option<Duration>,
    finished: Option<Duration>,
    request: Option<Duration>,
    response: Option<Duration>,
}

/// The stages of every measurement in a capture, in order: look-ups and connections were made
/// one after another, so the n-th look-up belongs to the n-th connection.
///
/// Query to last answer; SYN to SYN/ACK; ClientHello to the client's Finished; request to first
/// packet of the response.
///
/// # Errors
/// The capture is not of measurements of this kind, each seen whole.
pub(crate) fn stages(packets: &[Packet], dns: u16, https: u16) -> anyhow::Result<Vec<Stages>> {
    let mut lookups = Vec::new();
    let mut connections = Vec::new();
    for packet in packets {
        match &packet.kind {
            Kind::Udp if packet.to == dns => query(&mut lookups, packet),
            Kind::Udp if packet.from == dns => answer(&mut lookups, packet),
            Kind::Tcp { syn: true, ack: false, .. } if packet.to == https => {
                connections.push(Connection {
                    port: packet.from,
                    syn: packet.at,
                    ..Connection::default()
                });
            }
            Kind::Tcp { syn, payload, .. } if packet.to == https || packet.from == https => {
                let client = if packet.to == https { packet.from } else { packet.to };
                let known = connections.iter_mut().rev().find(|c| c.port == client);
                if let Some(connection) = known {
                    if packet.to == https {
                        connection.client_sent(packet.at, payload);
                    } else {
                        connection.server_sent(packet.at, *syn, payload);
                    }
                }
            }
            _ => {}
        }
    }
    if lookups.len() != connections.len() {
        bail!("{} look-ups and {} connections in the capture", lookups.len(), connections.len());
    }
    let whole = |(lookup, connection): (&Lookup, &Connection)| {
        let Some(stages) = of(lookup, connection) else {
            bail!("a measurement is not whole in the capture: {lookup:?}, {connection:?}");
        };
        Ok(stages)
    };
    lookups.iter().zip(&connections).map(whole).collect()
}

fn query(lookups: &mut Vec<Lookup>, packet: &Packet) {
    match lookups.last_mut() {
        // Another question of the same look-up.
        Some(last) if last.port == packet.from && packet.at < last.last + APART => {
            last.last = packet.at;
        }
        _ => lookups.push(Lookup {
            port: packet.from,
            asked: packet.at,
            answered: None,
            last: packet.at,
        }),
    }
}

fn answer(lookups: &mut [Lookup], packet: &Packet) {
    if let Some(last) = lookups.last_mut()
        && last.port == packet.to
    {
        last.answered = Some(packet.at);
        last.last = packet.at;
    }
}

impl Connection {
    /// In TLS 1.3 what a client without a certificate sends encrypted is its Finished, then the
    /// request, a record each.
    fn client_sent(&mut self, at: Duration, payload: &[u8]) {
        for kind in records(payload) {
            match (kind, self.finished) {
                (HANDSHAKE, _) => _ = self.hello.get_or_insert(at),
                (APPLICATION_DATA, None) => self.finished = Some(at),
                (APPLICATION_DATA, Some(_)) => _ = self.request.get_or_insert(at),
                _ => {}
            }
        }
    }

    /// The test target sends no tickets, so its first packet after the request is the response.
    fn server_sent(&mut self, at: Duration, syn: bool, payload: &[u8]) {
        if syn {
            self.syn_ack.get_or_insert(at);
        } else if self.request.is_some() && !payload.is_empty() {
            self.response.get_or_insert(at);
        }
    }
}

/// The types of the records that begin in a segment, which a client of few bytes never cuts.
fn records(mut payload: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, _, _, high, low, ..] = *payload {
        kinds.push(kind);
        let length = RECORD_HEADER + usize::from(u16::from_be_bytes([high, low]));
        payload = payload.get(length..).unwrap_or_default();
    }
    kinds
}

fn of(lookup: &Lookup, connection: &Connection) -> Option<Stages> {
    let micros = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e6;
    Some([
        micros(lookup.asked, lookup.answered?),
        micros(connection.syn, connection.syn_ack?),
        micros(connection.hello?, connection.finished?),
        micros(connection.request?, connection.response?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DNS: u16 = 53;
    const HTTPS: u16 = 443;

    fn record(kind: u8, length: u8) -> Vec<u8> {
        let mut record = vec![kind, 3, 3, 0, length];
        record.extend(vec![23; length.into()]);
        record
    }

    fn udp(micros: u64, from: u16, to: u16) -> Packet {
        Packet { at: Duration::from_micros(micros), from, to, kind: Kind::Udp }
    }

    fn tcp(micros: u64, from: u16, to: u16, flags: &str, payload: Vec<u8>) -> Packet {
        let kind = Kind::Tcp { syn: flags.contains('S'), ack: flags.contains('A'), payload };
        Packet { at: Duration::from_micros(micros), from, to, kind }
    }

    fn measurement(start: u64, port: u16) -> Vec<Packet> {
        let server = |at, flags, payload| tcp(start + at, HTTPS, port, flags, payload);
        let client = |at, flags, payload| tcp(start + at, port, HTTPS, flags, payload);
        vec![
            udp(start, port, DNS),
            udp(start + 10, port, DNS),
            udp(start + 40, DNS, port),
            udp(start + 70, DNS, port),
            client(100, "S", vec![]),
            server(112, "SA", vec![]),
            client(113, "A", vec![]),
            client(200, "A", record(HANDSHAKE, 90)),
            server(500, "A", record(HANDSHAKE, 90)),
            client(700, "A", [record(20, 1), record(APPLICATION_DATA, 40)].concat()),
            server(701, "A", vec![]),
            client(800, "A", record(APPLICATION_DATA, 60)),
            server(801, "A", vec![]),
            server(950, "A", record(APPLICATION_DATA, 60)),
            server(960, "A", record(APPLICATION_DATA, 60)),
        ]
    }

    #[test]
    fn stages_are_found_also_where_a_port_comes_twice() {
        let packets = [measurement(0, 5_000), measurement(20_000, 5_000)].concat();
        let found = stages(&packets, DNS, HTTPS).unwrap();
        assert_eq!(found.len(), 2);
        for stages in found {
            let rounded = stages.map(f64::round);
            assert_eq!(rounded, [70.0, 12.0, 500.0, 150.0]);
        }
    }

    #[test]
    fn half_a_measurement_is_refused() {
        let whole = measurement(0, 5_000);
        for length in 1..13 {
            assert!(stages(&whole[..length], DNS, HTTPS).is_err(), "{length}");
        }
    }
}
