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
        let text = frame(target, runs, (done, of), self.style);
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

/// What is shown between two measurements: the table so far, and how many there are.
fn frame(target: &str, runs: &[Measurement], (done, of): (u32, u32), style: Style) -> String {
    let table = match runs {
        [] => format!("{target}\n"),
        runs => Series::of(runs).text(target, style),
    };
    format!("{table}\n  {done} of {of}; Ctrl-C ends it\n")
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
    use crate::failure::{Failure, kind};
    use crate::render::colour::{Surroundings, When};
    use model::ErrorStage;
    use std::time::Duration;
    use url::Url;

    fn run(ms: u64, failed: bool) -> Measurement {
        let mut m = Measurement::started(&Url::parse("http://a.test/").unwrap(), 0);
        match failed {
            true => {
                let failure = Failure::new(ErrorStage::Tcp, kind::TCP_REFUSED, "nobody listens");
                m.failure = Some(failure);
            }
            false => {
                m.tcp = Some(Duration::from_millis(ms));
                m.total = Some(Duration::from_millis(3 * ms));
            }
        }
        m
    }

    fn plain() -> Style {
        let surroundings = Surroundings { terminal: false, no_color: true, term: None };
        Style::choose(When::Never, surroundings)
    }

    #[test]
    fn a_frame_has_the_table_so_far_and_how_far_that_is() {
        let runs = [run(10, false), run(30, false), run(0, true)];
        insta::assert_snapshot!(frame("http://a.test/", &runs, (3, 20), plain()), @r"
        http://a.test/   3 measurements, 1 failed (33 %: tcp.refused 1)

          stage  n      min   median      p95      max
          TCP    2  10.0 ms  10.0 ms  30.0 ms  30.0 ms
          total  2  30.0 ms  30.0 ms  90.0 ms  90.0 ms

          total over time  ▁█

          3 of 20; Ctrl-C ends it
        ");
        assert_eq!(
            frame("http://a.test/", &[], (0, 20), plain()),
            "http://a.test/\n\n  0 of 20; Ctrl-C ends it\n"
        );
    }

    /// A terminal of as few rules as are needed here: what each frame leaves on the screen.
    fn screen(written: &str) -> Vec<String> {
        let mut lines = vec![String::new()];
        let mut rest = written;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("\x1b[J") {
                rest = after;
                lines.last_mut().unwrap().clear();
                continue;
            }
            if let Some((count, after)) =
                rest.strip_prefix("\x1b[").and_then(|rest| rest.split_once('A'))
            {
                let up: usize = count.parse().unwrap();
                lines.truncate(lines.len() - up);
                rest = after;
                continue;
            }
            match c {
                '\n' => lines.push(String::new()),
                c => lines.last_mut().unwrap().push(c),
            }
            rest = &rest[c.len_utf8()..];
        }
        lines
    }

    #[test]
    fn each_frame_stands_where_the_last_one_stood() {
        let mut written = "$ qoe check\n".to_owned();
        let mut lines = 0;
        let mut runs = Vec::new();
        for done in 0..4 {
            let text = frame("http://a.test/", &runs, (done, 4), plain());
            written.push_str(&over(lines, &text));
            lines = text.matches('\n').count();
            let shown = screen(&written);
            assert_eq!(shown[0], "$ qoe check");
            assert_eq!(shown[1..].join("\n"), text);
            runs.push(run(u64::from(done) + 1, done == 2));
        }
        written.push_str(&over(lines, ""));
        assert_eq!(screen(&written), ["$ qoe check", ""]);
    }

    #[test]
    fn what_was_drawn_before_is_drawn_over() {
        assert_eq!(over(0, "a\nb\n"), "a\nb\n");
        assert_eq!(over(2, "c\n"), "\x1b[2A\x1b[Jc\n");
        assert_eq!(over(1, ""), "\x1b[1A\x1b[J");
    }
}
