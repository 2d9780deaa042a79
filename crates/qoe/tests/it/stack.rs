//! The development stack, each file of it by its own parser, and its panels on a real database and a
//! real Prometheus.

mod compose;
mod dev;
mod panels;
mod prometheus;
mod promql;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file of YAML, with its `<<` merged in.
fn yaml(path: &str) -> Value {
    let mut parsed: serde_norway::Value =
        serde_norway::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    // What is merged in may have a `<<` of its own.
    parsed.apply_merge().unwrap();
    parsed.apply_merge().unwrap();
    serde_json::to_value(parsed).unwrap()
}

/// The files of a folder that end so, with their text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    assert!(!names.is_empty(), "nothing in {folder}");
    names
        .into_iter()
        .map(|name| (format!("{folder}/{name}"), text(&format!("{folder}/{name}"))))
        .collect()
}

/// The dashboards, parsed.
fn dashboards() -> Vec<(String, Value)> {
    let all = files("deploy/grafana/dashboards", ".json").into_iter();
    all.map(|(path, text)| (path, serde_json::from_str(&text).unwrap())).collect()
}

/// Runs promtool, where the machine has it. Debian has it in the package `prometheus`.
fn promtool(args: &[&str]) -> Option<Output> {
    match Command::new("promtool").args(args).current_dir(root()).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("promtool was not asked ({error}): apt-get install prometheus");
            None
        }
    }
}

fn assert_good(output: &Output) {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{out}{err}");
}
