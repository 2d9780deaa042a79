//! What a consumer and a publisher tell of themselves.

use prometheus_client::registry::Registry;

use super::Health;
use super::health::Fares;
use crate::metrics::{Part, Told};

impl Part for Health {
    fn register(&self, registry: &mut Registry) {
        let read = |figure: fn(&Fares) -> Option<f64>| {
            let health = self.clone();
            move || figure(&health.fares())
        };
        let all = [
            Told::gauge(
                "qoe_bus_lag_messages",
                "Messages that wait for any consumer",
                read(|fares| fares.waiting.map(|n| n as f64)),
            ),
            Told::gauge(
                "qoe_bus_ack_pending_messages",
                "Messages that consumers have at work",
                read(|fares| fares.waiting.map(|_| fares.at_work as f64)),
            ),
            Told::gauge(
                "qoe_bus_stream_bytes",
                "Bytes of events that the stream keeps, whoever is done with them",
                read(|fares| fares.stream_bytes.map(|n| n as f64)),
            ),
            Told::gauge(
                "qoe_bus_dead_letter_messages",
                "Dead letters that are kept until somebody has them tried again or dropped",
                read(|fares| fares.dead_letters_kept.map(|n| n as f64)),
            ),
            Told::gauge(
                "qoe_bus_connected",
                "Whether there is a connection to the bus, 0 or 1",
                read(|fares| Some(f64::from(u8::from(fares.connected)))),
            ),
            Told::gauge(
                "qoe_bus_halted",
                "Whether nothing is taken until somebody does something, 0 or 1",
                read(|fares| Some(f64::from(u8::from(fares.halted.is_some())))),
            ),
            Told::counter(
                "qoe_bus_done_messages",
                "Messages that this consumer is done with",
                read(|fares| Some(fares.done as f64)),
            ),
            Told::counter(
                "qoe_bus_redelivered_messages",
                "Messages that came to this consumer and had been delivered before",
                read(|fares| Some(fares.redelivered as f64)),
            ),
            Told::counter(
                "qoe_bus_missing_messages",
                "Messages that grew too old in the stream before anybody was known to be done with them",
                read(|fares| Some(fares.missing as f64)),
            ),
            Told::counter(
                "qoe_aggregator_dead_lettered_events",
                "What could not be counted and was laid aside: events, and messages that are none",
                read(|fares| Some(fares.dead_letters as f64)),
            ),
        ];
        all.into_iter().for_each(|told| registry.register_collector(told));
    }
}
