//! Processes that run beside the bench, and the CPU they use.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::runtime::{Builder, Runtime};

/// A process that is ended with this.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: &'static str,
}

impl Running {
    pub(crate) fn start(mut command: Command, name: &'static str) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name })
    }

    /// The process itself, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of all its threads until now.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let time = clock_getcpuclockid(self.pid()?).and_then(clock_gettime);
        Ok(time.with_context(|| format!("reading the CPU of {}", self.name))?.into())
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn interrupt(mut self) -> anyhow::Result<()> {
        kill(self.pid()?, Signal::SIGINT).with_context(|| format!("ending {}", self.name))?;
        self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// User and system time of the children that were waited for.
pub(crate) fn children_cpu() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("reading the CPU of children")?;
    let time = |time: TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// User and system time of this process.
pub(crate) fn own_cpu() -> anyhow::Result<Duration> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    Ok(time.context("reading the CPU of this process")?.into())
}

/// Microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A runtime on this thread alone: a hand-over to another would end up in the timings.
pub(crate) fn one_thread() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("starting the runtime")
}
