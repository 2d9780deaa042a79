//! Which addresses were tried, and what each took.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Failure;

/// One attempt to connect to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address.
    pub address: SocketAddr,
    /// From the end of the look-up to this attempt's SYN.
    pub started: Duration,
    /// SYN to established, or to the failure, or to the end of waiting.
    pub time: Duration,
    /// Whether it was given up because another had connected; then `time` is no measure of it.
    pub abandoned: bool,
    /// Why it did not connect.
    pub failure: Option<Failure>,
}

impl Attempt {
    /// Whether it connected.
    pub fn connected(&self) -> bool {
        self.failure.is_none() && !self.abandoned
    }
}
