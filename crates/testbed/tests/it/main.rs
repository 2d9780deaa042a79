//! Integration tests of the testbed, over real sockets.

#![expect(clippy::unwrap_used, reason = "tests: helpers outside of test functions unwrap too")]

mod servers;
mod target;
