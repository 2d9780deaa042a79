//! Progress, on standard error: a line that overwrites itself on a terminal; elsewhere one plain
//! line for each step, so that a log stays readable.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use crate::render::units;

/// Where progress goes.
pub struct Progress {
    live: bool,
    plain: bool,
}

impl Progress {
    /// Overwrites its line on a terminal, and says nothing elsewhere.
    pub fn on_terminal() -> Self {
        Self { live: io::stderr().is_terminal(), plain: false }
    }

    /// Overwrites its line on a terminal, and says each step once elsewhere.
    pub fn everywhere() -> Self {
        let live = io::stderr().is_terminal();
        Self { live, plain: !live }
    }

    /// A step begins.
    pub fn step(&self, text: &str) {
        if self.plain {
            write(&format!("{text}\n"));
        }
        self.update(text);
    }

    /// How far the step is; seen on a terminal only.
    pub fn update(&self, text: &str) {
        if self.live {
            write(&format!("\r\x1b[K{text}"));
        }
    }

    /// Takes the line away, before something else is printed.
    pub fn clear(&self) {
        self.update("");
    }

    /// Waits until a moment, counting down.
    pub async fn wait_until(&self, moment: Instant, what: &str) {
        let left = || moment.saturating_duration_since(Instant::now());
        self.step(&format!("{what}, {}", units::span(left())));
        while !left().is_zero() {
            self.update(&format!("{what}, {}", units::span(left())));
            tokio::time::sleep(left().min(Duration::from_secs(1))).await;
        }
        self.clear();
    }
}

/// Progress that can't be shown is not worth failing for.
fn write(text: &str) {
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
