//! `qoe check URL...`: measure now, show where the time goes, say it in a sentence. No server.
//!
//! One process must stay cheap: one thread, no configuration needed, nothing set up that one
//! measurement does not use.

mod json;
mod series;
mod verdict;
pub(crate) mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ::probe::{Identity, Measurement, Options, Prober};
use tokio::time::{Instant, MissedTickBehavior};
use url::Url;

use super::{Context, parse_span, parse_target};
use crate::exit::Outcome;
use crate::output;
use crate::progress::Progress;
use crate::settings::Resolver;
use series::Series;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes are curl's: 6 not resolved, 7 not connected, 28 out of time, 35 no TLS handshake, \
60 certificate not accepted, 22 status of 400 or more, 52 empty answer, 18 answer cut short. \
With several measurements it is that of the last failure.")]
pub(crate) struct Args {
    /// What to measure; without a scheme https is meant
    #[arg(required = true, value_name = "URL", value_parser = parse_target)]
    urls: Vec<Url>,
    /// Measure N times and show the distribution of each stage
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// From the start of one measurement to the start of the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_span)]
    interval: Duration,
    /// How long one measurement may take, throughput not counted [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    timeout: Option<Duration>,
    /// DNS server to ask instead of the system's, with or without a port
    #[arg(long, value_name = "ADDR")]
    resolver: Option<Resolver>,
    /// Certificates to trust beside the built-in ones, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Leave the throughput out (GET /fixed/1mb.bin of the target, on a connection of its own)
    #[arg(long)]
    no_throughput: bool,
    /// Print JSON: the events as they would be sent, and the verdicts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let settings = &context.settings;
    let defaults = Options::default();
    let timeout = args.timeout.or(settings.timeout).unwrap_or(defaults.timeout);
    let options = Options {
        resolver: args.resolver.or(settings.resolver).map(|resolver| resolver.0),
        ca_file: args.ca_file.clone().or_else(|| settings.ca_file.clone()),
        timeout,
        throughput: !args.no_throughput && settings.throughput.unwrap_or(true),
        throughput_timeout: defaults.throughput_timeout.min(timeout.max(Duration::from_secs(1))),
        ..defaults
    };
    super::one_thread()?.block_on(check(args, options, context))
}

async fn check(args: &Args, options: Options, context: &Context) -> Outcome {
    let prober = Prober::new(options)?;
    let mut code = 0;
    let mut reports = Vec::new();
    for (i, url) in args.urls.iter().enumerate() {
        let runs = measure(&prober, url, args).await;
        if let Some(failure) = runs.iter().rev().find_map(Measurement::any_failure) {
            code = failure.exit_code();
        }
        if args.json {
            reports.push(runs);
            continue;
        }
        let gap = if i == 0 { "" } else { "\n" };
        let now = super::now_ms();
        let text = match runs.as_slice() {
            [] => continue,
            [one] => view::one(one, now, context.style),
            many => Series::of(many).text(url.as_str(), context.style),
        };
        output::print(&format!("{gap}{text}"))?;
    }
    if args.json {
        output::print_json(&json::report(&reports, &Identity::named("qoe-check"), code))?;
    }
    Ok(ExitCode::from(code))
}

/// Measures as often as asked, one after another on a fixed grid; Ctrl-C ends it early, and what
/// was measured until then is shown.
async fn measure(prober: &Prober, url: &Url, args: &Args) -> Vec<Measurement> {
    if args.count == 1 {
        return vec![prober.measure(url).await];
    }
    let progress = Progress::on_terminal();
    let mut grid = tokio::time::interval_at(Instant::now(), args.interval);
    // A measurement that takes longer than the interval delays the next; none are caught up.
    grid.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut runs = Vec::new();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    for done in 0..args.count {
        progress.update(&format!("{url}  {done} of {}", args.count));
        let next = async {
            grid.tick().await;
            prober.measure(url).await
        };
        tokio::select! {
            measurement = next => runs.push(measurement),
            _ = &mut interrupted => break,
        }
    }
    progress.clear();
    runs
}
