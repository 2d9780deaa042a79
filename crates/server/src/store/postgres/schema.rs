//! The schema and its migrations, up and down.
//!
//! A migration that only adds leaves older programs at work (expand); one that takes away waits
//! until they are gone (contract). Each says which is the oldest program that works with what it
//! leaves, so that old and new may run side by side while a fleet of servers is upgraded.

use tokio_postgres::error::SqlState;

use super::connection::{Connection, Purpose};
use super::{Failure, Settings, leadership};
use crate::store::StoreError;

struct Step {
    name: &'static str,
    up: &'static str,
    down: &'static str,
    /// The schema version of the oldest program that works with the tables this leaves.
    oldest_program: usize,
}

/// In order; the place of each, counted from 1, is the schema version it leads to.
const STEPS: &[Step] = &[
    Step {
        name: "initial",
        up: include_str!("../../../migrations/postgres/1_initial/up.sql"),
        down: include_str!("../../../migrations/postgres/1_initial/down.sql"),
        oldest_program: 1,
    },
    Step {
        name: "rollups",
        up: include_str!("../../../migrations/postgres/2_rollups/up.sql"),
        down: include_str!("../../../migrations/postgres/2_rollups/down.sql"),
        oldest_program: 1,
    },
    Step {
        name: "probes",
        up: include_str!("../../../migrations/postgres/3_probes/up.sql"),
        down: include_str!("../../../migrations/postgres/3_probes/down.sql"),
        oldest_program: 1,
    },
    Step {
        name: "incidents",
        up: include_str!("../../../migrations/postgres/4_incidents/up.sql"),
        down: include_str!("../../../migrations/postgres/4_incidents/down.sql"),
        oldest_program: 1,
    },
    Step {
        name: "alerts",
        up: include_str!("../../../migrations/postgres/5_alerts/up.sql"),
        down: include_str!("../../../migrations/postgres/5_alerts/down.sql"),
        oldest_program: 1,
    },
    Step {
        name: "drifts",
        up: include_str!("../../../migrations/postgres/6_drifts/up.sql"),
        down: include_str!("../../../migrations/postgres/6_drifts/down.sql"),
        oldest_program: 1,
    },
    Step {
        name: "reopened",
        up: include_str!("../../../migrations/postgres/7_reopened/up.sql"),
        down: include_str!("../../../migrations/postgres/7_reopened/down.sql"),
        oldest_program: 1,
    },
    Step {
        name: "one_judge",
        up: include_str!("../../../migrations/postgres/8_one_judge/up.sql"),
        down: include_str!("../../../migrations/postgres/8_one_judge/down.sql"),
        oldest_program: 8,
    },
];

/// The schema version this program works with.
pub(crate) const LATEST: usize = STEPS.len();

/// What the database says of itself.
struct Found {
    version: usize,
    /// The schema version of the oldest program that works with it.
    oldest_program: usize,
}

/// The schema version of the database; 0 where it has no tables.
pub(crate) fn version(settings: &Settings) -> Result<usize, StoreError> {
    found(&Connection::open(settings, Purpose::Read)?).map(|found| found.version)
}

/// Brings the database to the latest version and says from which version. Several may do so at
/// once; the others wait for the first.
pub(crate) fn up(settings: &Settings) -> Result<usize, StoreError> {
    let conn = Connection::open(settings, Purpose::Migrate)?;
    alone(&conn)?;
    let from = found(&conn)?.version;
    if from > LATEST {
        return require(&conn).map(|()| from);
    }
    for (at, step) in STEPS.iter().enumerate().skip(from) {
        let Step { name, up, oldest_program, .. } = step;
        let (to, oldest) = (number(at + 1), number(*oldest_program));
        migrate(&conn, up, |conn| {
            conn.execute(
                "INSERT INTO schema_migrations (version, name, oldest_program) VALUES ($1, $2, $3)",
                &[&to, name, &oldest],
            )
        })?;
    }
    Ok(from)
}

/// Takes the database down to `version`; what the dropped tables held is gone. Says from which
/// version.
pub(crate) fn down(settings: &Settings, version: usize) -> Result<usize, StoreError> {
    let conn = Connection::open(settings, Purpose::Migrate)?;
    alone(&conn)?;
    let from = found(&conn)?.version;
    if from > LATEST {
        // How a newer program's tables go is known to it alone.
        return Err(StoreError::Version { found: from, needed: LATEST });
    }
    for at in (version..from).rev() {
        let of = number(at + 1);
        migrate(&conn, STEPS[at].down, |conn| {
            conn.execute("DELETE FROM schema_migrations WHERE version = $1", &[&of])
        })?;
    }
    Ok(from)
}

/// Refuses a schema this program does not know, rather than failing at some later query.
pub(super) fn require(conn: &Connection) -> Result<(), StoreError> {
    let Found { version, oldest_program } = found(conn)?;
    let expanded = version > LATEST && oldest_program <= LATEST;
    if version == LATEST || expanded {
        Ok(())
    } else {
        Err(StoreError::Version { found: version, needed: LATEST })
    }
}

/// Waits until nobody else migrates; ends with the connection.
fn alone(conn: &Connection) -> Result<(), StoreError> {
    let alone = || -> Result<(), Failure> {
        conn.query("SELECT pg_advisory_lock($1)", &[&leadership::key("migrations")])?;
        conn.batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                 version        integer PRIMARY KEY,
                 name           text NOT NULL,
                 oldest_program integer NOT NULL,
                 applied_at     timestamptz NOT NULL DEFAULT now()
             )",
        )
    };
    alone().map_err(StoreError::postgres("begin to migrate the database"))
}

/// How often a step is tried that meets the locks of running programs.
const TRIES: usize = 20;

/// One step, as a whole or not at all.
fn migrate(
    conn: &Connection,
    sql: &str,
    note: impl Fn(&Connection) -> Result<u64, Failure>,
) -> Result<(), StoreError> {
    let doing = "migrate the database";
    let step = || {
        conn.transaction(doing, |conn| {
            // Whoever waits for a table makes everybody wait behind it.
            conn.batch("SET LOCAL lock_timeout = '5s'")
                .and_then(|()| conn.batch(sql))
                .and_then(|()| note(conn))
                .map(drop)
                .map_err(StoreError::postgres(doing))
        })
    };
    // Programs that run hold tables in an order of their own.
    let mut tries = 1..TRIES;
    loop {
        match step() {
            Err(StoreError::Postgres { source, .. })
                if source.met_a_lock() && tries.next().is_some() => {}
            done => return done,
        }
    }
}

/// The version of the tables, and the schema version of the oldest program that works with them.
pub(super) fn versions(conn: &Connection) -> Result<(usize, usize), StoreError> {
    found(conn).map(|found| (found.version, found.oldest_program))
}

fn found(conn: &Connection) -> Result<Found, StoreError> {
    let row = conn.query_one(
        "SELECT coalesce(max(version), 0), coalesce(max(oldest_program), 0) FROM schema_migrations",
        &[],
    );
    let number = |n: i32| usize::try_from(n).unwrap_or(usize::MAX);
    match row {
        Ok(row) => Ok(Found { version: number(row.get(0)), oldest_program: number(row.get(1)) }),
        Err(failure) if failure.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            Ok(Found { version: 0, oldest_program: 0 })
        }
        Err(failure) => Err(StoreError::postgres("read the schema version")(failure)),
    }
}

fn number(version: usize) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}
