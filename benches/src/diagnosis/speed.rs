//! What the detector costs: time a cell and minute, and memory a cell.

use std::fs;
use std::sync::Arc;

use anyhow::Context as _;
use model::detect::{CellId, Engine, Observation, Place, Signal};

/// The fleet: so many clients, four a site, each measuring so many targets.
const CLIENTS: usize = 1_000;
const TARGETS: usize = 20;
/// Minutes before it is measured, so that everything is known, and minutes measured.
const WARM: i64 = 130;
const MEASURED: i64 = 10;
/// What has to be kept up with.
const GOAL_CELLS: f64 = 100_000.0;

/// Draws that need not be good, only varied and the same each time.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        self.0 >> 33
    }
}

/// Judges a large fleet on one thread, and prints what it took.
pub(super) fn run(per_minute: usize) -> anyhow::Result<()> {
    let before = resident()?;
    let mut engine = Engine::default();
    for client in 0..CLIENTS {
        for target in 0..TARGETS {
            let arc = |text: String| -> Option<Arc<str>> { Some(text.into()) };
            let place = Place {
                client: format!("client-{client}").into(),
                target: format!("https://target-{target}.example/").into(),
                site: arc(format!("site-{}", client / 4)),
                isp: arc(format!("isp-{}", client / 100)),
                resolver: arc(format!("resolver-{}", client % 50)),
                address: None,
            };
            engine.place(CellId(client * TARGETS + target), &place);
        }
    }
    let cells = CLIENTS * TARGETS;
    let mut draws = Draws(7);
    let mut minute = |engine: &mut Engine, now: i64| {
        let seen =
            (0..cells).map(|cell| (CellId(cell), Arc::new(observe(&mut draws, cell, per_minute))));
        let seen: Vec<_> = seen.collect();
        let began = on_cpu()?;
        let said = engine.advance(now, seen);
        let labelled = said.iter().filter(|said| said.label.is_some()).count();
        anyhow::Ok((on_cpu()? - began, labelled))
    };
    for now in 0..WARM {
        minute(&mut engine, now)?;
    }
    let memory = resident()?.saturating_sub(before);
    let (mut took, mut labelled) = (0.0, 0);
    for now in WARM..WARM + MEASURED {
        let (time, said) = minute(&mut engine, now)?;
        took += time;
        labelled += said;
    }
    let windows = cells as f64 * MEASURED as f64;
    let each = took / windows;
    println!("detector: {cells} cells, n = {per_minute}, one thread, {labelled} windows labelled");
    println!(
        "  {:.1} us a cell-window; {GOAL_CELLS} cells take {:.1} s of each minute",
        each * 1e6,
        each * GOAL_CELLS
    );
    println!("  a day of 1,000 cells: {:.0} s", each * 1_000.0 * 1_440.0);
    println!("  {:.1} kB a cell resident", memory as f64 / cells as f64 / 1e3);
    Ok(())
}

fn observe(draws: &mut Draws, cell: usize, n: usize) -> Observation {
    let mut seen = Observation::default();
    let own = 1_000 + (cell as u64 * 7_919) % 1_000;
    for _ in 0..n {
        seen.count(None);
        // Look-up, connect, handshake, first byte, and bits a second.
        for (signal, usual) in Signal::ALL.into_iter().zip([5, 20, 25, 60, 50_000]) {
            let spread = 900 + draws.next() % 200;
            seen.add(signal, usual * own * spread / 1_000);
        }
    }
    seen
}

/// Seconds this thread has been on a core: others on the machine do not count.
fn on_cpu() -> anyhow::Result<f64> {
    let text =
        fs::read_to_string("/proc/thread-self/schedstat").context("reading the time taken")?;
    let ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    Ok(ns.context("reading the time taken")? / 1e9)
}

/// Bytes of memory this process holds.
fn resident() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/statm").context("reading the memory in use")?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.context("reading the memory in use")? * 4_096)
}
