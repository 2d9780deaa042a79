//! Round trips that are timed while the line is loaded: on connections of their own, and on those that
//! carry the load.

use std::time::Duration;

use tokio::time::{self, Instant as Deadline};

use super::connection::{Connection, SETUP};
use super::{Allowance, Goal};

/// What is not answered by then is left out.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one request and the head of its answer take, in bytes. More than enough.
pub(super) const HEAD: u64 = 8 << 10;

/// What was timed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    /// On a fresh connection.
    Foreign { tcp: Duration, tls: Option<Duration>, http: Duration },
    /// On one that carries load, or beside it where no second request fits on it.
    Loaded(Duration),
}

/// Sets up a connection and asks for the target's page on it.
pub(super) async fn foreign(goal: Goal<'_>, allowance: &Allowance) -> Option<Sample> {
    if !allowance.take(SETUP + HEAD) {
        return None;
    }
    let deadline = Deadline::now() + PATIENCE;
    let probing = async {
        let connection = Connection::open(goal, deadline).await.ok()?;
        let http = connection.time(goal.target).await;
        if let Some(moved) = connection.moved() {
            allowance.settle(SETUP + HEAD, moved);
        }
        let http = http.ok()?;
        Some(Sample::Foreign { tcp: connection.set_up.tcp, tls: connection.set_up.tls, http })
    };
    time::timeout_at(deadline, probing).await.ok().flatten()
}

/// Asks for the target's page on a connection that stands.
pub(super) async fn loaded(
    connection: Connection,
    goal: Goal<'_>,
    allowance: &Allowance,
) -> Option<Sample> {
    if !allowance.take(HEAD) {
        return None;
    }
    let timed = time::timeout(PATIENCE, connection.time(goal.target)).await;
    Some(Sample::Loaded(timed.ok()?.ok()?))
}
