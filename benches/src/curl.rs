//! The peer: curl, a process for each measurement, as people use it.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::accuracy::truth::Stages;
use crate::probing::target::Target;

/// Cumulative seconds: name looked up, connected, handshake done, about to ask, first byte.
const TIMES: &str = "%{time_namelookup} %{time_connect} %{time_appconnect} %{time_pretransfer} \
                     %{time_starttransfer}";

/// One measurement; the microseconds of its look-up, connection, handshake and waiting.
pub(crate) fn measure(target: &Target) -> anyhow::Result<Stages> {
    let mut command = Command::new("curl");
    // One question where we ask two, as blackbox_exporter is told to ask.
    command.args(["--silent", "--fail", "--ipv4", "--output", "/dev/null", "--write-out", TIMES]);
    command.arg("--cacert").arg(target.ca_file()).arg(target.url());
    let output = command.stdin(Stdio::null()).output().context("running curl")?;
    if !output.status.success() {
        bail!("curl could not measure the test target: {}", output.status);
    }
    stages(&String::from_utf8(output.stdout).context("reading curl's times")?)
}

fn stages(text: &str) -> anyhow::Result<Stages> {
    let times: Vec<f64> = text
        .split_whitespace()
        .map(|time| time.parse().map(|seconds: f64| seconds * 1e6))
        .collect::<Result<_, _>>()
        .with_context(|| format!("reading curl's times: {text}"))?;
    let [looked_up, connected, secured, asked, answered] = times[..] else {
        bail!("curl gave other times than it was asked for: {text}");
    };
    Ok([looked_up, connected - looked_up, secured - connected, answered - asked])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_the_difference_of_two_times() {
        let told = stages("0.001000 0.001500 0.004000 0.004100 0.004600").unwrap();
        assert_eq!(told.map(f64::round), [1000.0, 500.0, 2500.0, 500.0]);
        assert!(stages("0.1 0.2").is_err());
    }
}
