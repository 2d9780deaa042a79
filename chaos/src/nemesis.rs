//! Carries a plan out: begins faults, holds them, ends them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testbed::proxy;

use crate::cluster::Cluster;
use crate::oracle::Shared;
use crate::plan::{Fault, Part, Step, Trouble};

/// What was done, and what was seen in doing it.
#[derive(Clone, Debug, Default)]
pub struct Deeds {
    /// Faults that took place.
    pub faults: usize,
    /// Crash points that nobody came by in time.
    pub missed: usize,
    /// What roles did that they should not.
    pub conduct: Vec<String>,
    /// How many were told to end, and the longest that one took.
    pub stops: (u64, Duration),
}

/// What breaks things.
pub struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    oracle: Arc<Shared>,
    deeds: Deeds,
    /// Parts that are down for a reason.
    down: BTreeSet<Part>,
    /// Holds a lock while it is there.
    locking: Option<postgres::Client>,
}

/// A role ends on SIGTERM within ten seconds; this machine may be busy with others.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

impl<'a> Nemesis<'a> {
    /// For a platform and those who send to it.
    pub fn new(cluster: &'a mut Cluster, oracle: Arc<Shared>) -> Self {
        Self { cluster, oracle, deeds: Deeds::default(), down: BTreeSet::new(), locking: None }
    }

    /// Goes through the steps; `tell` hears of each before it begins.
    ///
    /// # Errors
    /// Where a server or role does not come up again.
    pub fn run(
        mut self,
        steps: &[Step],
        until: Instant,
        mut tell: impl FnMut(&Step),
    ) -> anyhow::Result<Deeds> {
        for step in steps {
            if Instant::now() + step.quiet + step.hold > until {
                break;
            }
            self.wait(step.quiet)?;
            tell(step);
            for fault in &step.faults {
                self.begin(*fault)?;
            }
            self.wait(step.hold)?;
            for fault in &step.faults {
                self.end(*fault)?;
            }
        }
        Ok(self.deeds)
    }

    fn begin(&mut self, fault: Fault) -> anyhow::Result<()> {
        self.deeds.faults += 1;
        match fault {
            Fault::Kill(part) => {
                self.down.insert(part);
                self.cluster.kill(part);
            }
            Fault::Term(part) => {
                self.down.insert(part);
                self.terminate(part);
            }
            Fault::Stop(part) => self.cluster.signal(part, Signal::SIGSTOP),
            Fault::Crash(part, point, nth) => {
                self.down.insert(part);
                self.cluster.kill(part);
                self.cluster.revive(part, Some(&format!("{point}:{nth}")))?;
            }
            Fault::Line(part, to, fault) => self.line(part, to, fault),
            Fault::Full => {
                if let Some(disk) = self.cluster.disk() {
                    disk.fill()?;
                }
            }
            Fault::Flood => self.oracle.flood(true),
            Fault::Database(trouble) => {
                if self.trouble(trouble).is_err() {
                    self.deeds.missed += 1;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(part) | Fault::Term(part) => self.revive(part)?,
            Fault::Stop(part) => self.cluster.signal(part, Signal::SIGCONT),
            Fault::Crash(part, ..) => {
                if !self.cluster.is_gone(part) {
                    self.deeds.missed += 1;
                }
                self.cluster.kill(part);
                self.revive(part)?;
            }
            Fault::Line(part, to, _) => self.line(part, to, proxy::Fault::None),
            Fault::Full => {
                if let Some(disk) = self.cluster.disk() {
                    disk.free()?;
                    // JetStream turns itself off where it can't write, until it is started again.
                    self.cluster.kill(Part::Nats);
                    self.cluster.revive(Part::Nats, None)?;
                }
            }
            Fault::Flood => self.oracle.flood(false),
            Fault::Database(Trouble::ReadOnly) => self.read_only("off")?,
            Fault::Database(_) => self.locking = None,
        }
        Ok(())
    }

    /// Fails where the database is away for another reason.
    fn trouble(&mut self, trouble: Trouble) -> anyhow::Result<()> {
        match trouble {
            Trouble::ReadOnly => self.read_only("on"),
            Trouble::Locked => {
                let mut client = self.cluster.database().connect()?;
                client.batch_execute("BEGIN; LOCK TABLE agg_1m, events_seen")?;
                self.locking = Some(client);
                Ok(())
            }
            Trouble::Disconnected => {
                let mut client = self.cluster.database().connect()?;
                client.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
                    &[],
                )?;
                Ok(())
            }
        }
    }

    fn read_only(&self, switch: &str) -> anyhow::Result<()> {
        let mut client = self.cluster.database().connect()?;
        client.batch_execute("SET default_transaction_read_only = off")?;
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {switch}");
        client.batch_execute(&set)?;
        client.batch_execute("SELECT pg_reload_conf()")?;
        Ok(())
    }

    fn revive(&mut self, part: Part) -> anyhow::Result<()> {
        self.cluster.revive(part, None)?;
        self.down.remove(&part);
        Ok(())
    }

    fn line(&self, part: Part, to: crate::plan::To, fault: proxy::Fault) {
        if let Some(line) = self.cluster.line(part, to) {
            line.set(fault);
        }
    }

    fn terminate(&mut self, part: Part) {
        let began = Instant::now();
        self.cluster.signal(part, Signal::SIGTERM);
        while !self.cluster.is_gone(part) && began.elapsed() < STOPS_WITHIN {
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = began.elapsed();
        let (stops, longest) = &mut self.deeds.stops;
        *stops += 1;
        *longest = (*longest).max(took);
        if !self.cluster.is_gone(part) {
            self.deeds.conduct.push(format!("{part} goes on {took:.1?} after SIGTERM"));
        }
        self.cluster.kill(part);
    }

    /// Waits, and starts again what ended by itself, which nothing should.
    fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        loop {
            let roles: Vec<Part> =
                self.cluster.roles().chain([Part::Nats, Part::Postgres]).collect();
            for part in roles {
                if !self.down.contains(&part) && self.cluster.is_gone(part) {
                    self.deeds.conduct.push(format!("{part} ended by itself"));
                    self.cluster.kill(part);
                    self.cluster.revive(part, None)?;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(200)));
        }
    }
}
