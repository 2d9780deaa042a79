//! What the resolver said, one question at a time.

use std::time::Duration;

/// One question to the resolver and its answer. Both families are asked at once, each is timed
/// apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// `A` or `AAAA`.
    pub question: &'static str,
    /// Query sent to answer received; absent where none came in time.
    pub time: Option<Duration>,
    /// The answer's response code by its IANA name, such as `NOERROR`; absent without an answer.
    pub rcode: Option<String>,
    /// How many addresses the answer held.
    pub addresses: usize,
}
