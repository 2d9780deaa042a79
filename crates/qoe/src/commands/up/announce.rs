//! What `qoe up` says: where to look, the first measurement of each target, and goodbye.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::probe::Measurement;
use ::probe::agent::{Observer, Summary};
use server::roles::LOCAL_READ_TOKEN;
use url::Url;

use crate::commands::now_ms;
use crate::output;
use crate::render::{Ink, Style, units};
use ::probe::check::view;

/// Where the data is, where the server listens, and what to type next.
pub(super) fn where_to_look(dir: &Path, url: &str, targets: &[Url], style: Style) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{} {text}", style.paint(Ink::Strong, format!("{name:<8}")));
    };
    let shown = dir.display();
    line("server", url);
    line("data", &shown.to_string());
    line("report", &format!("qoe report --data-dir {shown}"));
    line("read", &format!("{url}/api/v1/windows with the token in {shown}/{LOCAL_READ_TOKEN}"));
    line("probes", &format!("qoe token create --client-id ID --data-dir {shown}"));
    match targets {
        [] => line("measure", "nothing from here; add --target URL"),
        targets => targets.iter().for_each(|target| line("measure", target.as_str())),
    }
    out.push_str("Ctrl-C stops it.\n\n");
    out
}

/// Shows the first measurement of each target, so that one sees at once that it works.
pub(super) fn first_of_each(style: Style) -> Observer {
    let seen = Mutex::new(HashSet::new());
    Arc::new(move |measurement: &Measurement| {
        let first = seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(measurement.target.as_str().to_owned());
        if first {
            let text = view::one(measurement, now_ms(), style);
            // Whoever closed our output does not want to see it.
            let _ = output::print(&format!("{text}\n"));
        }
    })
}

/// What became of the measurements.
pub(super) fn farewell(summary: &Summary) -> String {
    let mut out = format!(
        "stopped: {}, {} handed in",
        units::count(summary.measured, "measurement"),
        summary.shipped
    );
    for (n, what) in [
        (summary.missed, "not made in time"),
        (summary.refused, "refused"),
        (summary.dropped, "dropped"),
        (summary.unsent, "not handed in"),
    ] {
        if n > 0 {
            // Writing to a String cannot fail.
            let _ = write!(out, ", {n} {what}");
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farewell_says_what_was_lost_and_nothing_else() {
        let all = Summary { measured: 3, shipped: 3, ..Summary::default() };
        assert_eq!(farewell(&all), "stopped: 3 measurements, 3 handed in\n");
        let some = Summary { unsent: 2, shipped: 1, ..all };
        assert_eq!(farewell(&some), "stopped: 3 measurements, 1 handed in, 2 not handed in\n");
    }
}
