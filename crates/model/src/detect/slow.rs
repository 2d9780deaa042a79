//! Why a transfer is slow, as far as the inputs tell.

use serde::{Deserialize, Serialize};

/// What slows a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlowBy {
    /// Packets are lost.
    Loss,
    /// They wait in a queue that is too long.
    Bufferbloat,
    /// The client takes no more.
    ClientWindow,
    /// The server sends no faster: everyone it serves is slow, and nothing else of them.
    Server,
    /// The line lets no more through: everything its clients fetch is slow, and nothing else.
    RateLimit,
}

impl SlowBy {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Bufferbloat => "bufferbloat",
            Self::ClientWindow => "client_window",
            Self::Server => "server",
            Self::RateLimit => "rate_limit",
        }
    }
}
