//! Measure now, show where the time goes, say it in a sentence: `qoe check` and `qoe-probe once`. No
//! server.
//!
//! One process must stay cheap: one thread, no configuration needed, nothing set up that one
//! measurement does not use.

mod grades;
mod har;
mod json;
mod live;
mod series;
mod verdict;
pub mod view;
mod write_out;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};
use url::Url;

use crate::echo::EchoOptions;
use crate::load::{Allowance, LoadOptions, Tests};
use crate::measure::now_ms;
use crate::output;
use crate::render::Style;
use crate::target::{parse_resolver, parse_span, parse_target};
use crate::{Families, Identity, Measurement, Options, Prober};
use live::Live;
use series::Series;
use write_out::Format;

/// What to measure, how, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes are curl's: 6 not resolved, 7 not connected, 28 out of time, 35 no TLS handshake, \
47 too many redirects, 60 certificate not accepted, 22 status of 400 or more, 52 empty answer, 18 \
answer cut short. With several measurements it is that of the last failure.\n\n\
Ctrl-C ends it: what was measured until then is shown, and the code is of that; 130 where that is \
nothing.")]
pub struct Args {
    /// What to measure; without a scheme https is meant
    #[arg(required = true, value_name = "URL", value_parser = target)]
    urls: Vec<Url>,
    /// Measure N times and show the distribution of each stage
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// From the start of one measurement to the start of the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_span)]
    interval: Duration,
    /// How long one measurement may take, transfers not counted [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    timeout: Option<Duration>,
    /// DNS server to ask instead of the system's, with or without a port
    #[arg(long, value_name = "ADDR", value_parser = parse_resolver)]
    resolver: Option<SocketAddr>,
    /// Certificates to trust beside the built-in ones, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Address family: 4, 6, both (a measurement each), or happy (whichever connects first)
    #[arg(long, value_name = "FAMILY", default_value = "happy")]
    ip: Families,
    /// Follow redirects; each is a measurement of its own
    #[arg(short = 'L', long)]
    location: bool,
    /// Redirects to follow at most
    #[arg(long, value_name = "N", default_value_t = 10, requires = "location")]
    max_redirs: u32,
    /// Measure https targets over HTTP/3 and nothing else
    #[cfg(feature = "http3")]
    #[arg(long)]
    http3: bool,
    /// Throughput: fixed (GET /fixed/1mb.bin of the target), adaptive (10 s each way), off
    /// [default: fixed]
    #[arg(long, value_name = "HOW")]
    throughput: Option<Throughput>,
    /// The same as --throughput off
    #[arg(long, conflicts_with = "throughput")]
    no_throughput: bool,
    /// Measure how the line answers while it is loaded (round trips a minute)
    #[arg(long)]
    rpm: bool,
    /// Bytes that --throughput adaptive and --rpm may move for a target, both ways together
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    max_bytes: u64,
    /// Connections that carry --throughput adaptive
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u8).range(1..=32))]
    connections: u8,
    /// Send N echoes for loss and jitter, by ICMP where that is allowed, else by TCP
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    echo: Option<u16>,
    /// Send them as datagrams to a server on this port that sends them back
    #[arg(long, value_name = "PORT", requires = "echo")]
    echo_port: Option<u16>,
    /// Print JSON: the events as they would be sent, and the verdicts
    #[arg(long)]
    json: bool,
    /// Print this after each measurement and nothing else, with curl's variables: %{time_total}
    #[arg(short = 'w', long, value_name = "FORMAT", conflicts_with = "json")]
    write_out: Option<Format>,
    /// Write the measurements into a file in the HTTP Archive format (HAR 1.2)
    #[arg(long, value_name = "FILE")]
    har: Option<PathBuf>,
}

/// How to measure throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Throughput {
    Fixed,
    Adaptive,
    Off,
}

/// What holds where no flag says otherwise.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The resolver to ask.
    pub resolver: Option<SocketAddr>,
    /// Certificates to trust beside the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// How long one measurement may take.
    pub timeout: Option<Duration>,
    /// Whether throughput is measured.
    pub throughput: Option<bool>,
    /// What may be drawn on standard output.
    pub style: Style,
}

/// Measures and shows.
///
/// # Errors
/// The certificates can't be read, or a file or standard output can't be written. What goes wrong with
/// a measurement is shown, and is the exit code.
pub fn run(args: &Args, defaults: &Defaults) -> anyhow::Result<ExitCode> {
    let timeout = args.timeout.or(defaults.timeout).unwrap_or_else(|| Options::default().timeout);
    let options = Options {
        resolver: args.resolver.or(defaults.resolver),
        ca_file: args.ca_file.clone().or_else(|| defaults.ca_file.clone()),
        families: args.ip,
        max_redirects: if args.location { args.max_redirs } else { 0 },
        timeout,
        #[cfg(feature = "http3")]
        http3: args.http3,
        throughput_timeout: Options::default()
            .throughput_timeout
            .min(timeout.max(Duration::from_secs(1))),
        ..Options::default()
    };
    let check = Check { prober: Prober::new(options)?, args, defaults };
    // A file that can't be written is better known before the work than after it.
    let har = args.har.as_ref().map(|path| har::create(path)).transpose()?;
    // A hand-over to another thread would end up in the timings.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(check.all(har))
}

/// 128 + SIGINT, what a shell reports for a program that was interrupted.
const INTERRUPTED: u8 = 130;

struct Check<'a> {
    prober: Prober,
    args: &'a Args,
    defaults: &'a Defaults,
}

impl Check<'_> {
    async fn all(&self, har: Option<std::fs::File>) -> anyhow::Result<ExitCode> {
        let args = self.args;
        let mut code = 0;
        let mut reports = Vec::new();
        let mut interrupted = false;
        for (i, url) in args.urls.iter().enumerate() {
            let runs;
            (runs, interrupted) = self.target(url).await?;
            if let Some(failure) = runs.iter().rev().find_map(Measurement::any_failure) {
                code = failure.exit_code();
            }
            if !args.json && args.write_out.is_none() && !runs.is_empty() {
                let gap = if i == 0 { "" } else { "\n" };
                output::print(&format!("{gap}{}", self.text(url, &runs)))?;
            }
            reports.push(runs);
            if interrupted {
                break;
            }
        }
        if interrupted && reports.iter().all(Vec::is_empty) {
            code = INTERRUPTED;
        }
        if args.json {
            output::print_json(&json::report(&reports, &Identity::named("qoe-check"), code))?;
        }
        if let Some(file) = har {
            har::write(file, reports.iter().flatten())?;
        }
        Ok(ExitCode::from(code))
    }

    fn text(&self, url: &Url, runs: &[Measurement]) -> String {
        let style = self.defaults.style;
        if self.args.count > 1 {
            return Series::of(runs).text(url.as_str(), style);
        }
        // More than one only where there were two families, or redirects.
        let each: Vec<_> = runs.iter().map(|m| view::one(m, now_ms(), style)).collect();
        each.join("\n")
    }

    /// Measures as often as asked, one after another on a fixed grid; Ctrl-C ends it early, and what
    /// was measured until then is shown. Whether it did is told beside.
    async fn target(&self, url: &Url) -> anyhow::Result<(Vec<Measurement>, bool)> {
        let args = self.args;
        let shown = !args.json && args.write_out.is_none() && args.count > 1;
        let mut live = Live::new(shown && std::io::stderr().is_terminal(), self.defaults.style);
        let mut grid = tokio::time::interval_at(Instant::now() + args.interval, args.interval);
        // A measurement that takes longer than the interval delays the next; none are caught up.
        grid.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut runs = Vec::new();
        // Before the first packet: from then on Ctrl-C ends this, and not the program.
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut interrupted = false;
        for done in 0..args.count {
            live.draw(url.as_str(), &runs, done, args.count);
            let next = async {
                // The first at once: a timer's least is a millisecond.
                if done > 0 {
                    grid.tick().await;
                }
                self.once(url).await
            };
            tokio::select! {
                measured = next => {
                    for m in &measured {
                        if let Some(format) = &args.write_out {
                            output::print(&format.text(m))?;
                        }
                    }
                    runs.extend(measured);
                }
                _ = interrupts.recv() => {
                    interrupted = true;
                    break;
                }
            }
        }
        live.clear();
        Ok((runs, interrupted))
    }

    /// One measurement with all that was asked for beside it; more than one where there are redirects
    /// or families, of which the last stands for the target.
    async fn once(&self, url: &Url) -> Vec<Measurement> {
        let args = self.args;
        let how = match (args.throughput, args.no_throughput) {
            (Some(how), _) => how,
            (None, true) => Throughput::Off,
            (None, false) if self.defaults.throughput == Some(false) => Throughput::Off,
            (None, false) => Throughput::Fixed,
        };
        let mut all = self.prober.measure_all(url, how == Throughput::Fixed).await;
        let Some(m) = all.last_mut() else { return all };
        if let Some(count) = args.echo {
            let echo = EchoOptions { count, udp_port: args.echo_port, ..EchoOptions::default() };
            self.prober.echo(m, &echo).await;
        }
        let adaptive = how == Throughput::Adaptive;
        if adaptive || args.rpm {
            let tests = Tests { download: adaptive, upload: adaptive, responsiveness: args.rpm };
            let options =
                LoadOptions { connections: args.connections.into(), ..LoadOptions::default() };
            self.prober.load(m, tests, &options, &Allowance::of(args.max_bytes)).await;
        }
        all
    }
}

fn target(text: &str) -> Result<Url, String> {
    parse_target(text).map_err(|error| error.to_string())
}

fn bytes(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>().map(|size| size.as_u64())
}
