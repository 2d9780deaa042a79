//! What a part of the bench found, and how it is printed.

use std::fmt::Write as _;

/// One comparison: ours against a peer's in the same run, taken in turn.
#[derive(Clone, Debug)]
pub(crate) struct Ratio {
    /// What is compared, with its unit.
    pub what: String,
    /// Our figures, one a round.
    pub ours: Vec<f64>,
    /// Who is compared with.
    pub peer: &'static str,
    /// The peer's figures, one a round, each taken beside ours of the same place.
    pub peers: Vec<f64>,
    /// What the ratio ours / peer should be.
    pub goal: Goal,
}

/// On which side of a bound a ratio should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

impl Ratio {
    /// Adds a round.
    pub(crate) fn add(&mut self, ours: f64, peer: f64) {
        self.ours.push(ours);
        self.peers.push(peer);
    }

    /// Median of the rounds' ratios; absent without a round.
    pub(crate) fn median(&self) -> Option<f64> {
        median(self.ours.iter().zip(&self.peers).map(|(ours, peer)| ours / peer).collect())
    }

    fn met(&self) -> Option<bool> {
        let ratio = self.median()?;
        Some(match self.goal {
            Goal::AtLeast(bound) => ratio >= bound,
            Goal::AtMost(bound) => ratio <= bound,
        })
    }
}

/// Draws the ratios as a table; each figure is a median, with its least and greatest below it.
pub(crate) fn table(ratios: &[Ratio]) -> String {
    let mut out = String::new();
    for ratio in ratios {
        let (mark, goal) = match (ratio.met(), ratio.goal) {
            (Some(true), Goal::AtLeast(bound)) => ("ok    ", format!("goal >= {bound:.2}")),
            (Some(true), Goal::AtMost(bound)) => ("ok    ", format!("goal <= {bound:.2}")),
            (_, Goal::AtLeast(bound)) => ("missed", format!("goal >= {bound:.2}")),
            (_, Goal::AtMost(bound)) => ("missed", format!("goal <= {bound:.2}")),
        };
        let share = ratio.median().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        _ = writeln!(out, "{mark} {share:>6}  {goal:<13} {}", ratio.what);
        _ = writeln!(out, "               qoe  {}", spread(&ratio.ours));
        _ = writeln!(out, "               {}  {}", ratio.peer, spread(&ratio.peers));
    }
    out
}

/// `median (least-greatest; rounds)`.
pub(crate) fn spread(figures: &[f64]) -> String {
    let Some(middle) = median(figures.to_vec()) else { return "–".to_owned() };
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} ({}-{}; {})", short(middle), short(least), short(greatest), figures.len())
}

/// The middle figure, the mean of the middle two; absent without one.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let n = figures.len();
    let upper = *figures.get(n / 2)?;
    Some(if n % 2 == 1 { upper } else { f64::midpoint(figures[n / 2 - 1], upper) })
}

/// Three digits or more.
fn short(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 => format!("{figure:.0}"),
        medium if medium >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
