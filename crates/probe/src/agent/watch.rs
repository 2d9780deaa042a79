//! One target and its clock. Each has a task of its own, so a slow one delays no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Trace;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::args;
use super::canary::Canary;
use super::load::{IdleLine, Loader};
use super::queue::Queue;
use super::schedule::{Grid, Pace, on_grid};
use super::ship::Counters;
use super::trouble::Trouble;
use super::values::LEAST_INTERVAL;
use super::{Config, Observer, Target, Transfers};
use crate::Measurement;
use crate::measure::Prober;

/// What became of the ticks of all targets.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    pub(super) measured: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) troubled: AtomicU64,
}

pub(super) struct Watch {
    pub(super) target: Target,
    pub(super) prober: Arc<Prober>,
    pub(super) canary: Arc<Canary>,
    pub(super) config: Arc<Config>,
    pub(super) observer: Option<Observer>,
    pub(super) counters: Arc<Counters>,
    pub(super) queue: Option<Arc<Queue>>,
    pub(super) ticks: Arc<Ticks>,
    pub(super) loader: Option<Arc<Loader>>,
}

impl Watch {
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let interval = self.target.interval.unwrap_or(self.config.interval).max(LEAST_INTERVAL);
        let grid = Grid::new(Instant::now(), interval, rand::random(), rand::random());
        let mut pace = Pace::new(match self.target.throughput {
            None => self.config.throughput_every,
            Some(Transfers::Never) => None,
            Some(Transfers::Every(every)) => Some(every),
        });
        let watch = &self;
        let watching = on_grid(
            grid,
            || {
                // A tick that is left out uses up no transfer.
                let loader = watch.loader.as_ref();
                let idle = loader.map(|loader| loader.idle_line());
                let is_idle = !matches!(idle, Some(None));
                let throughput = is_idle && pace.due(Instant::now());
                watch.tick(idle, throughput)
            },
            |missed| watch.tell_missed(missed),
        );
        // What is being measured when the end comes is given up: it would be half a measurement.
        shutdown.run_until_cancelled(watching).await;
    }

    /// `idle` holds the line from being loaded; it is `None` where nothing loads it.
    async fn tick(&self, idle: Option<IdleLine<'_>>, throughput: bool) {
        if let Some(None) = idle {
            return self.tell_missed(1);
        }
        let vigil = self.canary.vigil();
        let measuring = self.prober.measure_all(&self.target.url, throughput);
        let (mut all, stall) = vigil.beside(measuring).await;
        if let (Some(last), Some(echo)) = (all.last_mut(), self.echo()) {
            self.prober.echo(last, &echo).await;
        }
        let troubles = vigil.troubles(&all, stall).await;
        drop(idle);
        if let (Some(loader), Some(last), true) =
            (&self.loader, all.last_mut(), troubles.is_empty())
        {
            loader.run(&self.prober, last, &self.config.identity).await;
        }
        for measurement in &all {
            self.tell(measurement, &troubles);
        }
    }

    fn echo(&self) -> Option<crate::echo::EchoOptions> {
        self.target.echo.map_or(self.config.echo, args::echoes)
    }

    fn tell_missed(&self, missed: u64) {
        let before = self.ticks.missed.fetch_add(missed, Ordering::Relaxed);
        // The first is told, then every hundredth: a target that hangs misses them all.
        if before == 0 || before / 100 != (before + missed) / 100 {
            tracing::warn!(
                target_url = %self.target.url,
                missed = before + missed,
                "measurements were not made: the one before was not done yet, or a test loaded the line"
            );
        }
    }

    fn tell(&self, measurement: &Measurement, troubles: &[Trouble]) {
        self.ticks.measured.fetch_add(1, Ordering::Relaxed);
        self.ticks.troubled.fetch_add(u64::from(!troubles.is_empty()), Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer(measurement);
        }
        if let Some(queue) = &self.queue {
            let mut event = measurement.to_event(&self.config.identity);
            event.probe_trouble = troubles.iter().map(|t| t.as_str().to_owned()).collect();
            event.clock_offset_ms = self.counters.clock_offset_ms();
            let trace = Trace::of(event.event_id, self.config.trace_share);
            event.traceparent = trace.map(|trace| trace.traceparent());
            queue.push(&event);
        }
    }
}
