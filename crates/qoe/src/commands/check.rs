//! `qoe check URL...`: what [`probe::check`] does, with the settings for defaults.

pub(crate) use ::probe::check::Args;
use ::probe::check::{self, Defaults};

use super::Context;
use crate::exit::Outcome;

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    let settings = &context.settings;
    let defaults = Defaults {
        resolver: settings.resolver.map(|resolver| resolver.0),
        ca_file: settings.ca_file.clone(),
        timeout: settings.timeout,
        throughput: settings.throughput,
        style: context.style,
    };
    check::run(args, &defaults)
}
