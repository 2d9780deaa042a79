//! A world as files, for whatever reads events: what arrived, who is where, and what was true.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use testbed::simulate::{Scenario, events, truths};

use super::detector::Topology;

/// Writes `events.ndjson`, `topology.toml` and `truth.json` into a folder, which it makes.
pub(crate) fn write(dir: &Path, scenario: &Scenario) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let path = dir.join("events.ndjson");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut written = 0_u64;
    for event in events(scenario) {
        serde_json::to_writer(&mut out, &event)?;
        out.write_all(b"\n")?;
        written += 1;
    }
    out.flush().with_context(|| format!("writing {}", path.display()))?;
    let put = |name: &str, text: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    put("topology.toml", toml(&Topology::of(scenario)).as_bytes())?;
    put("truth.json", &serde_json::to_vec_pretty(&truths(scenario))?)?;
    println!("{}: {written} events, {} faults", dir.display(), scenario.faults.len());
    Ok(())
}

/// A JSON string is a TOML one, as there are no control characters in names.
fn toml(topology: &Topology) -> String {
    let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
    let mut out = String::new();
    for client in &topology.clients {
        let [id, site, isp, resolver] = client.each_ref().map(quoted);
        _ = writeln!(
            out,
            "[[clients]]\nid = {id}\nsite = {site}\nisp = {isp}\nresolver = {resolver}\n"
        );
    }
    for (url, addresses) in &topology.targets {
        let all: Vec<_> = addresses.iter().map(quoted).collect();
        _ = writeln!(out, "[[targets]]\nurl = {}\naddresses = [{}]\n", quoted(url), all.join(", "));
    }
    for resolver in &topology.resolvers {
        let id = quoted(resolver);
        _ = writeln!(out, "[[resolvers]]\nid = {id}\naddress = {id}\n");
    }
    out
}
