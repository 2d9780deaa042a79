//! The distribution of each stage while measuring goes on, drawn over itself on a terminal.

use std::io::{self, Write as _};

use super::series::Series;
use crate::Measurement;
use crate::render::Style;

/// What was drawn last, if anything is.
pub(super) struct Live {
    shown: bool,
    style: Style,
    lines: usize,
}

impl Live {
    pub(super) fn new(shown: bool, style: Style) -> Self {
        Self { shown, style, lines: 0 }
    }

    /// Draws what is known so far in the place of what was drawn before.
    pub(super) fn draw(&mut self, target: &str, runs: &[Measurement], done: u32, of: u32) {
        if !self.shown {
            return;
        }
        let mut text = match runs {
            [] => format!("{target}\n"),
            runs => Series::of(runs).text(target, self.style),
        };
        text.push_str(&format!("\n  {done} of {of}; Ctrl-C ends it\n"));
        self.put(&text);
        self.lines = text.matches('\n').count();
    }

    /// Takes it away, before the result is printed.
    pub(super) fn clear(&mut self) {
        if self.lines > 0 {
            self.put("");
            self.lines = 0;
        }
    }

    /// A view that can't be shown is not worth failing for.
    fn put(&self, text: &str) {
        let mut out = io::stderr().lock();
        let _ = out.write_all(over(self.lines, text).as_bytes()).and_then(|()| out.flush());
    }
}

/// Up by so many lines, all below deleted, then the text.
fn over(lines: usize, text: &str) -> String {
    match lines {
        0 => text.to_owned(),
        lines => format!("\x1b[{lines}A\x1b[J{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_before_is_drawn_over() {
        assert_eq!(over(0, "a\nb\n"), "a\nb\n");
        assert_eq!(over(2, "c\n"), "\x1b[2A\x1b[Jc\n");
        assert_eq!(over(1, ""), "\x1b[1A\x1b[J");
    }
}
