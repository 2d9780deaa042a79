//! `qoe target`: the test target, to be measured and broken by hand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use testbed::target::{Target, TargetConfig};

use super::Context;
use crate::exit::Outcome;
use crate::render::{Ink, Style};
use crate::{output, signals};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the HTTP listener; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8470")]
    http: SocketAddr,
    /// Address of the HTTPS listener
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8471")]
    https: SocketAddr,
    /// Address of the DNS server, UDP and TCP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8472")]
    dns: SocketAddr,
    /// Address of the echo server, UDP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8474")]
    echo: SocketAddr,
    /// Address on which faults are switched, loopback only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8473")]
    control: SocketAddr,
    /// A name the DNS server answers and the certificate is good for; can be given many times
    /// [default: localhost=127.0.0.1 and target.test=127.0.0.1]
    #[arg(long = "name", value_name = "NAME=ADDR", value_parser = parse_name)]
    names: Vec<(String, IpAddr)>,
    /// Where to write the certificate of the authority that is made at the start [default: a
    /// temporary file, deleted at the end]
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Outcome {
    super::many_threads()?.block_on(serve(args, context.style))
}

async fn serve(args: &Args, style: Style) -> Outcome {
    let stop = signals::stop_on_signal()?;
    let scratch = tempfile::tempdir().context("making a temporary directory")?;
    let ca = args.ca_out.clone().unwrap_or_else(|| scratch.path().join("ca.pem"));
    let target = Target::start(config(args)).await.context("starting the target")?;
    std::fs::write(&ca, target.ca_pem()).with_context(|| format!("writing {}", ca.display()))?;
    output::print(&where_to_look(&target, &ca, style))?;
    stop.cancelled().await;
    target.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn config(args: &Args) -> TargetConfig {
    let mut config = TargetConfig {
        http: Some(args.http),
        https: Some(args.https),
        dns: Some(args.dns),
        echo: Some(args.echo),
        control: Some(args.control),
        ..TargetConfig::default()
    };
    if !args.names.is_empty() {
        let mut zone: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for (name, address) in &args.names {
            zone.entry(name.clone()).or_default().push(*address);
        }
        config.names = zone.keys().cloned().collect();
        config.zone = zone;
    }
    config
}

/// What listens where, and three commands to try.
fn where_to_look(target: &Target, ca: &Path, style: Style) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let name = style.paint(Ink::Strong, format!("{name:<8}"));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name} {text}");
    };
    if let Some(http) = target.http_addr() {
        line("HTTP", format!("http://{http}/"));
    }
    if let Some(https) = target.https_addr() {
        line("HTTPS", format!("https://{https}/   CA {}", ca.display()));
        if let Some(dns) = target.dns_addr() {
            line("DNS", format!("{dns}"));
            let url = format!("https://target.test:{}/slow?ms=20", https.port());
            let check = format!("qoe check '{url}' --resolver {dns} --ca-file {}", ca.display());
            line("measure", check);
        }
    }
    if let Some((echo, http)) = target.echo_addr().zip(target.http_addr()) {
        let check = format!("qoe check http://{http}/health --echo 20 --echo-port {}", echo.port());
        line("echo", format!("{echo}   {check}"));
    }
    if let Some(control) = target.control_addr() {
        let faults = format!("http://{control}/faults");
        let fault = r#"{"dns": {"delay_ms": 200}}"#;
        line("break", format!("curl -X PUT {faults}/dns --json '{fault}'"));
        line("mend", format!("curl -X DELETE {faults}"));
    }
    out
}

fn parse_name(text: &str) -> Result<(String, IpAddr), String> {
    let (name, address) = text.split_once('=').ok_or("write NAME=ADDR")?;
    let address = address.parse().map_err(|_| format!("`{address}` is not an address"))?;
    Ok((name.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_many_addresses() {
        assert_eq!(parse_name("a.test=::1"), Ok(("a.test".into(), "::1".parse().unwrap())));
        assert!(parse_name("a.test").is_err());
        assert!(parse_name("a.test=b").unwrap_err().contains("`b`"));
    }
}
