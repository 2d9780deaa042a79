//! `qoe diagnose`: a recording of events, judged as it would have been while it was made.

mod classic;
mod json;
mod view;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use model::Event;
use model::decode::{Limits, decode_each};
use model::detect::{Judged, Replay, Sighting, Tally};

use crate::exit::Outcome;
use crate::output;

/// Judge a recording of events, as it would have been judged while it was made
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of events as probes send them, a JSON object a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// File (TOML) that says who is where: tables `clients` (id, site, isp, resolver), `targets` (url,
    /// addresses) and `resolvers` (id, address)
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Which rules judge: those of this program, or the four that are usual elsewhere, one window of one
    /// cell at a time and without incidents, to compare with
    #[arg(long, value_name = "RULES", default_value = "qoe")]
    rules: Rules,
    /// Print JSON: every window with its label, every incident from onset to end
    #[arg(long)]
    json: bool,
}

/// Whose rules judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Rules {
    /// Those of this program
    Qoe,
    /// `dns-bound`, `handshake-bound`, `server-bound`, `throughput-bound` against the last ten windows
    Classic,
}

/// An event's text is no longer than this, as at the ingest.
const MAX_LINE: u64 = 16 << 10;
/// Refused events that are told one by one.
const MOST_TOLD: u64 = 5;

pub(crate) fn run(args: &Args) -> Outcome {
    let topology = super::topology(args.topology.as_deref())?;
    let input: Box<dyn Read> = match args.events.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(open(&args.events)?),
    };
    let mut recording = Recording {
        lines: BufReader::with_capacity(1 << 16, input),
        replay: Replay::new(topology),
        line: 0,
        refused: 0,
        read: 0,
    };
    if args.rules == Rules::Classic {
        classic(args, &mut recording)?;
    } else if args.json {
        let mut out = BufWriter::new(io::stdout().lock());
        json::begin(&mut out)?;
        let mut first = true;
        recording.all(|replay, judged| {
            json::window(&mut out, std::mem::take(&mut first), replay, judged)
        })?;
        json::end(&mut out, &recording.replay, recording.refused)?;
        out.flush()?;
    } else {
        let mut windows = view::Windows::default();
        recording.all(|_, judged| {
            windows.add(judged);
            Ok(())
        })?;
        output::print(&view::text(&recording.replay, &windows))?;
    }
    ensure!(
        recording.read > 0 || recording.line == 0,
        "{} holds no event that could be read: {} of {} lines were refused",
        args.events.display(),
        recording.refused,
        recording.line,
    );
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

struct Recording<R> {
    lines: BufReader<R>,
    replay: Replay,
    line: u64,
    refused: u64,
    read: u64,
}

/// The same windows by the classic rules.
fn classic<R: Read>(args: &Args, recording: &mut Recording<R>) -> anyhow::Result<()> {
    let mut rules = classic::Rules::default();
    let (mut all, mut labelled) = (0_u64, 0_u64);
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        json::begin(&mut out)?;
    }
    let mut tell = |said: Vec<classic::Said>, out: &mut BufWriter<io::StdoutLock<'_>>| {
        for said in said {
            if args.json {
                json::classic(out, all == 0, &said)?;
            }
            all += 1;
            labelled += u64::from(said.label.is_some());
        }
        anyhow::Ok(())
    };
    recording.each(|_, event, _| tell(rules.take(event), &mut out))?;
    tell(rules.finish(), &mut out)?;
    let tally = Tally {
        events: rules.events,
        duplicates: rules.duplicates,
        too_late: rules.too_late,
        ..Tally::default()
    };
    if args.json {
        json::end_classic(&mut out, tally, recording.refused)?;
    } else {
        writeln!(
            out,
            "{} events in {all} windows: {labelled} with a label by the classic rules; --json lists them",
            tally.events
        )?;
    }
    Ok(out.flush()?)
}

impl<R: Read> Recording<R> {
    /// Goes through it; each window is handed on when no event can change it any more.
    fn all(
        &mut self,
        mut each: impl FnMut(&Replay, &Judged) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        self.each(|replay, event, line| {
            for judged in replay.take(Sighting::of(event, line)) {
                each(replay, &judged)?;
            }
            Ok(())
        })?;
        for judged in self.replay.finish() {
            each(&self.replay, &judged)?;
        }
        Ok(())
    }

    /// Hands on each event with its text.
    fn each(
        &mut self,
        mut take: impl FnMut(&mut Replay, &Event, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // Age is no reason to refuse what was recorded.
        let limits = Limits { max_age_ms: i64::MAX, max_ahead_ms: i64::MAX, ..Limits::default() };
        let mut text = Vec::new();
        while self.next_line(&mut text)? {
            let line = text.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let decoded = decode_each([line], 0, &limits);
            let Some(accepted) = decoded.events.first() else {
                let why = decoded.rejected.first().map(|refused| refused.detail.clone());
                self.refuse(&why.unwrap_or_default());
                continue;
            };
            self.read += 1;
            take(&mut self.replay, &accepted.event, line)?;
        }
        if self.refused > MOST_TOLD {
            tracing::warn!("{} lines were refused in all", self.refused);
        }
        Ok(())
    }

    /// The next line; false at the end. What is too long is refused, and passed over.
    fn next_line(&mut self, text: &mut Vec<u8>) -> anyhow::Result<bool> {
        text.clear();
        self.line += 1;
        let mut limited = (&mut self.lines).take(MAX_LINE + 1);
        if limited.read_until(b'\n', text).context("reading the events")? == 0 {
            self.line -= 1;
            return Ok(false);
        }
        if text.len() as u64 > MAX_LINE && !text.ends_with(b"\n") {
            self.refuse("longer than 16 KiB");
            text.clear();
            self.lines.skip_until(b'\n').context("reading the events")?;
        }
        Ok(true)
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        if self.refused <= MOST_TOLD {
            tracing::warn!("line {} is no event: {why}", self.line);
        }
    }
}
