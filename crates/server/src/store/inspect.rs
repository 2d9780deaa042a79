//! What a store can promise, as far as it tells: for `qoe doctor`.

use std::path::PathBuf;

use super::{Location, StoreError, postgres, schema, sqlite};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Of a store in a directory.
    Embedded(Embedded),
    /// Of a shared database.
    Shared(Shared),
}

/// What was found of a store in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Its database.
    pub path: PathBuf,
    /// The version of SQLite in this program.
    pub version: &'static str,
    /// `PRAGMA journal_mode` of the file.
    pub journal_mode: String,
    /// `PRAGMA synchronous` as the server's connection has it.
    pub synchronous: &'static str,
    /// The version of its tables.
    pub schema: usize,
    /// Its size, bytes.
    pub bytes: u64,
    /// Bytes that were committed and wait to be copied into it.
    pub wal_bytes: u64,
}

/// What was found of a shared database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Which, without its password.
    pub at: String,
    /// The server's version.
    pub version: String,
    /// The same as a number, `180001`.
    pub version_number: i32,
    /// Whether the server writes to the disk at all before it says so.
    pub fsync: String,
    /// What a commit waits for, where a session does not say otherwise. Ours do where it is `off`,
    /// unless they were told to accept losses.
    pub synchronous_commit: String,
    /// Whether losses were accepted, so that our sessions commit as the server does.
    pub accepts_data_loss: bool,
    /// Whether a page that was half written when the power went can be mended.
    pub full_page_writes: String,
    /// The standbys a commit waits for; empty for none.
    pub standbys: String,
    /// Whether it takes no writes.
    pub read_only: bool,
    /// Connections it has, and takes at most.
    pub connections: (i64, i32),
    /// The version of its tables.
    pub schema: usize,
    /// The schema version of the oldest program that works with them.
    pub oldest_program: usize,
}

/// Looks at a store; changes nothing, and needs no tables there. Blocks.
///
/// # Errors
/// Where it is not there, or can't be reached or read.
pub fn inspect(location: &Location) -> Result<Report, StoreError> {
    Ok(match location {
        Location::Directory(dir) => Report::Embedded(sqlite::inspect(dir)?),
        Location::Postgres(database) => Report::Shared(postgres::inspect(database)?),
    })
}

impl Report {
    /// What can be lost as things stand, or does not work, and what to do about it.
    pub fn risks(&self) -> Vec<String> {
        match self {
            Self::Embedded(embedded) => embedded.risks(),
            Self::Shared(shared) => shared.risks(),
        }
    }

    /// What is worth knowing and puts nothing at risk that was promised.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self {
            Self::Embedded(embedded) => {
                notes.push(format!(
                    "{} is one file: what is in it is lost with its disk; copy it elsewhere with \
                     qoe backup",
                    embedded.path.display()
                ));
                if embedded.journal_mode != "wal" {
                    notes.push(format!(
                        "journal_mode is {} until the server starts, which makes it wal",
                        embedded.journal_mode
                    ));
                }
            }
            Self::Shared(shared) => {
                if shared.standbys.is_empty() {
                    notes.push(
                        "PostgreSQL waits for no standby: what it holds is lost with its disk, \
                         save what a dump or qoe replay brings back"
                            .to_owned(),
                    );
                }
                if shared.synchronous_commit == "off" && !shared.accepts_data_loss {
                    notes.push(
                        "synchronous_commit is off for others; the sessions of qoe set it on"
                            .to_owned(),
                    );
                }
                if shared.schema > schema::LATEST && shared.fits() {
                    notes.push(format!(
                        "the tables have version {}, newer than this program's {}, which still \
                         works with them",
                        shared.schema,
                        schema::LATEST
                    ));
                }
            }
        }
        notes
    }
}

impl Embedded {
    fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        // An older one is brought up to date by the server's start.
        if self.schema > schema::LATEST {
            risks.push(of_schema(self.schema));
        }
        if self.synchronous != "full" {
            risks.push(format!(
                "synchronous is {}: a power cut can lose what was committed last",
                self.synchronous
            ));
        }
        risks
    }
}

impl Shared {
    /// Whether this program works with its tables.
    pub fn fits(&self) -> bool {
        let expanded = self.schema > schema::LATEST && self.oldest_program <= schema::LATEST;
        self.schema == schema::LATEST || expanded
    }

    fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        if self.version_number < postgres::OLDEST {
            risks.push(format!(
                "PostgreSQL {} is too old: nothing is counted; {} or newer is needed",
                self.version,
                postgres::OLDEST / 10_000
            ));
        }
        if self.fsync != "on" {
            risks.push(
                "fsync is off: a power cut, or a crash of the machine, can leave the whole \
                 database damaged; set it on"
                    .to_owned(),
            );
        }
        if self.full_page_writes != "on" {
            risks.push(
                "full_page_writes is off: a page that was half written as the power went stays \
                 damaged; set it on"
                    .to_owned(),
            );
        }
        if self.synchronous_commit == "off" && self.accepts_data_loss {
            risks.push(
                "synchronous_commit is off, and --allow-data-loss leaves it so: a crash of the \
                 server loses the last second of what was counted and acknowledged"
                    .to_owned(),
            );
        }
        if self.read_only {
            risks.push(
                "the database takes no writes: events wait on the bus, and are lost when they are \
                 older than the stream's max_age"
                    .to_owned(),
            );
        }
        let (used, most) = self.connections;
        if used.saturating_mul(10) >= i64::from(most).saturating_mul(9) {
            risks.push(format!(
                "{used} of {most} connections are in use: a program that starts may find none, and \
                 events wait on the bus; raise max_connections"
            ));
        }
        if !self.fits() {
            risks.push(of_schema(self.schema));
        }
        risks
    }
}

fn of_schema(found: usize) -> String {
    let needed = schema::LATEST;
    let why = match found {
        0 => "there are no tables",
        _ if found < needed => "the tables are older than this program",
        _ => "the tables are newer than this program, which does not know them",
    };
    let what = match found {
        _ if found < needed => "run qoe migrate up",
        _ => "use the program that made them",
    };
    format!("{why} (version {found}, needed {needed}): nothing is counted; {what}")
}
