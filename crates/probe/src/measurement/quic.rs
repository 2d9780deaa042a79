//! What QUIC says of its path.

use std::time::Duration;

/// The transport's own figures at the end of a measurement over HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicPath {
    /// Its estimate of the round trip.
    pub rtt: Duration,
    /// Packets this end sent.
    pub sent_packets: u64,
    /// Of those, taken for lost.
    pub lost_packets: u64,
    /// How often it took the path for congested.
    pub congestion_events: u64,
}
