//! The kernel's view of a TCP connection (Linux `TCP_INFO`), as the sender of its own bytes.
//!
//! Of a download this end sees only the round trips and what came out of order; what the other
//! end retransmitted only the other end knows.

use std::time::Duration;

use model::wire::WireTcpInfo;

use super::{bits_to_kbps, ms};

/// The three moments at which the kernel is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// When the connection stood.
    pub connected: Option<TcpInfo>,
    /// At the first byte of the response.
    pub answered: Option<TcpInfo>,
    /// At the last byte.
    pub ended: Option<TcpInfo>,
}

/// One answer of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round trip; right after connecting, that of the SYN alone. Absent where the kernel
    /// has no sample.
    pub rtt: Option<Duration>,
    /// The shortest round trip seen.
    pub min_rtt: Option<Duration>,
    /// Mean deviation of the round trips.
    pub rttvar: Option<Duration>,
    /// Segments sent again, the SYN included.
    pub retransmits: u32,
    /// Segments received out of order: a hint at loss on the way here, no count of it.
    pub out_of_order: u32,
    /// The most recent rate at which this end's bytes were acknowledged, bits a second.
    pub delivery_rate: Option<u64>,
    /// Time with bytes in flight or waiting to be sent; includes the next two.
    pub busy: Duration,
    /// Of that, held up by the receiver's window.
    pub rwnd_limited: Duration,
    /// Of that, held up by this end's own send buffer.
    pub sndbuf_limited: Duration,
    /// Bytes that the other end has acknowledged.
    pub bytes_acked: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Bytes sent again.
    pub bytes_retransmitted: u64,
}

impl Transport {
    /// The latest answer there is.
    pub fn last(&self) -> Option<&TcpInfo> {
        self.ended.as_ref().or(self.answered.as_ref()).or(self.connected.as_ref())
    }
}

impl TcpInfo {
    /// As the event has it.
    pub(crate) fn wire(&self) -> WireTcpInfo {
        WireTcpInfo {
            rtt_ms: self.rtt.map(ms),
            min_rtt_ms: self.min_rtt.map(ms),
            rttvar_ms: self.rttvar.map(ms),
            retrans: Some(self.retransmits),
            delivery_rate_kbps: self.delivery_rate.map(bits_to_kbps),
            busy_ms: Some(ms(self.busy)),
            rwnd_limited_ms: Some(ms(self.rwnd_limited)),
            sndbuf_limited_ms: Some(ms(self.sndbuf_limited)),
        }
    }
}
