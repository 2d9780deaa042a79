//! What is told at the end.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::judge::Verdict;
use crate::ledger::Tally;

/// A run and what is said of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each invariant.
    pub verdicts: Vec<Verdict>,
    /// What took place.
    pub figures: Figures,
    /// Where the evidence is, if it was kept.
    pub kept: Option<PathBuf>,
}

/// What took place.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Of the run.
    pub seed: u64,
    /// From the first event to the judgement.
    pub took: Duration,
    /// Events that were sent.
    pub sent: usize,
    /// Events that were owed.
    pub owed: usize,
    /// How often what was answered.
    pub tally: Tally,
    /// Messages that came again to an aggregator.
    pub redelivered: u64,
    /// Faults.
    pub faults: usize,
    /// Crash points that nobody came by.
    pub missed: usize,
}

/// Below that, a run shows nothing: requests that were accepted, events that came to the platform
/// more than once, messages that came to an aggregator more than once, faults.
const LEAST: (u64, u64, u64, usize) = (60, 100, 1, 4);

impl Figures {
    /// Why the run shows nothing, if it does.
    pub fn void(&self) -> Option<String> {
        let (accepted, repeated, redelivered, faults) = LEAST;
        let again = self.tally.again + self.tally.repeated;
        let few = [
            ("requests accepted", self.tally.accepted, accepted),
            ("events sent again", again, repeated),
            ("messages delivered again", self.redelivered, redelivered),
            ("faults", self.faults as u64, faults as u64),
        ];
        let few = few.into_iter().find(|(_, found, least)| found < least);
        few.map(|(what, found, least)| format!("{found} {what}, and {least} are the least"))
    }
}

impl Report {
    /// Whether nothing was found wrong.
    pub fn is_kept(&self) -> bool {
        self.verdicts.iter().all(Verdict::is_kept)
    }

    /// 0 where all was kept, 1 where something was not, 2 where the run shows nothing.
    pub fn exit_code(&self) -> u8 {
        match (self.is_kept(), self.figures.void()) {
            (false, _) => 1,
            (true, Some(_)) => 2,
            (true, None) => 0,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { seed, took, sent, owed, tally, redelivered, faults, missed } = self.figures;
        writeln!(
            f,
            "seed {seed}, {} s: {faults} faults ({missed} points not reached)",
            took.as_secs()
        )?;
        writeln!(
            f,
            "{sent} events sent, {owed} owed; requests: {} accepted, {} refused, {} unanswered",
            tally.accepted, tally.refused, tally.unanswered
        )?;
        writeln!(
            f,
            "{} events sent again, {} repeated; {redelivered} messages delivered again\n",
            tally.again, tally.repeated
        )?;
        for verdict in &self.verdicts {
            let said = match verdict {
                Verdict { decided: false, .. } => "not judged",
                verdict if verdict.is_kept() => "kept",
                _ => "BROKEN",
            };
            writeln!(f, "{:<4}{said:<11}{}", verdict.number, verdict.claim)?;
            writeln!(f, "{:15}{}", "", verdict.judged)?;
            for finding in &verdict.findings {
                writeln!(f, "{:15}! {finding}", "")?;
            }
            let more = verdict.wrong - verdict.findings.len();
            if more > 0 {
                writeln!(f, "{:15}! and {more} more", "")?;
            }
        }
        writeln!(f)?;
        let broken = self.verdicts.iter().filter(|verdict| !verdict.is_kept()).count();
        match (broken, self.figures.void()) {
            (0, None) => f.write_str("everything that was judged was kept"),
            (0, Some(why)) => write!(f, "the run is void: {why}"),
            (broken, _) => write!(f, "{broken} invariants are broken"),
        }?;
        if let Some(kept) = &self.kept {
            write!(f, "; evidence: {}", kept.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let tally = Tally { accepted: 100, again: 100, ..Tally::default() };
        let took = Duration::ZERO;
        Figures { seed: 1, took, sent: 9, owed: 9, tally, redelivered: 5, faults: 9, missed: 0 }
    }

    #[test]
    fn a_run_in_which_little_happened_is_void() {
        assert_eq!(figures().void(), None);
        assert!(Figures { faults: 1, ..figures() }.void().unwrap().contains("1 faults"));
        assert!(Figures { redelivered: 0, ..figures() }.void().is_some());
        assert!(Figures { tally: Tally::default(), ..figures() }.void().is_some());
    }

    #[test]
    fn what_is_broken_outweighs_that_little_happened() {
        let verdict = |wrong| Verdict {
            number: "I1",
            claim: "",
            judged: String::new(),
            findings: Vec::new(),
            wrong,
            decided: true,
        };
        let report = |wrong, faults| Report {
            verdicts: vec![verdict(wrong)],
            figures: Figures { faults, ..figures() },
            kept: None,
        };
        let codes = [report(0, 9), report(0, 0), report(3, 9), report(3, 0)];
        assert_eq!(codes.map(|report| report.exit_code()), [0, 2, 1, 1]);
    }
}
