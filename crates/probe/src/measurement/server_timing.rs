//! What a server says of its own time (W3C Server-Timing).

use std::time::Duration;

/// One metric of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTiming {
    /// Its name, a token.
    pub name: String,
    /// How long it took; absent where the server does not say.
    pub duration: Option<Duration>,
    /// What it is, for a person.
    pub description: Option<String>,
}
