//! The stages of one measurement, drawn to scale: each bar starts where the one before ended.

use std::time::Duration;

use super::units::{self, ABSENT};
use super::{Ink, Style};

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// How a stage went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It completed in this time.
    Took(Duration),
    /// It failed, after this time where that is known; the text says why.
    Failed(Option<Duration>, String),
    /// It was not reached, or there is no such stage.
    Absent,
}

/// Columns a bar may take: with names and times before them, lines stay below 80.
pub const WIDTH: usize = 48;

/// Draws the rows, one line each, every line ending in a newline. Bars share one scale: the
/// whole width is `total`, or the sum of the stages where that is more.
pub fn waterfall(rows: &[Row], total: Option<Duration>, style: Style) -> String {
    let sum: Duration = rows.iter().filter_map(|row| row.outcome.duration()).sum();
    let full = total.unwrap_or(sum).max(sum);
    let slowest = rows.iter().filter_map(|row| row.outcome.took()).max();
    let names = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let times: Vec<String> = rows.iter().map(|row| row.outcome.text()).collect();
    let widest = times.iter().map(|time| time.chars().count()).max().unwrap_or(0);
    let axis = if style.blocks { '▏' } else { '|' };

    let mut out = String::new();
    let mut start = Duration::ZERO;
    for (row, time) in rows.iter().zip(times) {
        let length = row.outcome.duration().unwrap_or_default();
        let bar = bar(start, length, full, style.blocks);
        let tail = match &row.outcome {
            Outcome::Took(took) if Some(*took) == slowest => style.paint(Ink::Notice, bar),
            Outcome::Took(_) => bar,
            Outcome::Failed(_, why) => {
                format!("{}{}", bar, style.paint(Ink::Bad, format!(" failed: {why}")))
            }
            Outcome::Absent => String::new(),
        };
        let line = format!("  {:<names$} {time:>widest$} {axis}{tail}", row.name);
        out.push_str(line.trim_end());
        out.push('\n');
        start += length;
    }
    out
}

impl Outcome {
    fn took(&self) -> Option<Duration> {
        match self {
            Self::Took(took) => Some(*took),
            Self::Failed(..) | Self::Absent => None,
        }
    }

    fn duration(&self) -> Option<Duration> {
        match self {
            Self::Took(took) => Some(*took),
            Self::Failed(after, _) => *after,
            Self::Absent => None,
        }
    }

    fn text(&self) -> String {
        self.duration().map_or_else(|| ABSENT.to_owned(), units::duration)
    }
}

/// The bar of one stage: spaces up to its start, then full cells and an eighth for the rest. What
/// took any time at all shows at least the thinnest stroke.
fn bar(start: Duration, length: Duration, full: Duration, blocks: bool) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if full.is_zero() || length.is_zero() {
        return String::new();
    }
    let cells = WIDTH as u128 * 8;
    let at = |moment: Duration| moment.as_nanos() * cells / full.as_nanos();
    let first = usize::try_from(at(start) / 8).unwrap_or(WIDTH).min(WIDTH - 1);
    let eighths = usize::try_from(at(length)).unwrap_or(0).clamp(1, (WIDTH - first) * 8);
    let mut out = " ".repeat(first);
    if blocks {
        out.extend(std::iter::repeat_n('█', eighths / 8));
        out.extend((eighths % 8 > 0).then_some(EIGHTHS[eighths % 8]));
    } else {
        out.push_str(&"#".repeat(eighths.div_ceil(8)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1e3)
    }

    fn rows() -> Vec<Row> {
        let took = |name, t| Row { name, outcome: Outcome::Took(ms(t)) };
        vec![
            took("DNS", 12.4),
            took("TCP", 21.0),
            took("TLS", 43.8),
            took("wait", 88.1),
            took("body", 4.2),
        ]
    }

    #[test]
    fn stages_are_drawn_to_scale() {
        insta::assert_snapshot!(waterfall(&rows(), Some(ms(169.5)), Style::PLAIN), @r"
        DNS  12.4 ms ▏███▌
        TCP  21.0 ms ▏   █████▉
        TLS  43.8 ms ▏         ████████████▍
        wait 88.1 ms ▏                     ████████████████████████▉
        body  4.2 ms ▏                                              █▏
        ");
    }

    #[test]
    fn a_failure_ends_the_picture_and_says_why() {
        let rows = [
            Row { name: "DNS", outcome: Outcome::Took(ms(5.0)) },
            Row { name: "TCP", outcome: Outcome::Failed(Some(ms(5.0)), "refused".into()) },
            Row { name: "TLS", outcome: Outcome::Absent },
        ];
        insta::assert_snapshot!(waterfall(&rows, None, Style::PLAIN), @r"
        DNS 5.0 ms ▏████████████████████████
        TCP 5.0 ms ▏                        ████████████████████████ failed: refused
        TLS      – ▏
        ");
    }

    #[test]
    fn a_dumb_terminal_gets_ascii() {
        let ascii = Style { colour: false, blocks: false };
        assert!(waterfall(&rows(), None, ascii).is_ascii());
    }

    #[test]
    fn no_bar_leaves_its_width() {
        let huge = [Row { name: "x", outcome: Outcome::Took(ms(9e9)) }, rows().remove(0)];
        for line in waterfall(&huge, Some(ms(1.0)), Style::PLAIN).lines() {
            assert!(line.chars().count() <= WIDTH + 20, "{line}");
        }
        assert_eq!(waterfall(&[], None, Style::PLAIN), "");
    }
}
