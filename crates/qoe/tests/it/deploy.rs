//! What stands below `deploy/` holds: units are hardened, charts render, packages have what they
//! name, and every flag anywhere is one that the programs have.

mod chart;
mod openwrt;
mod packages;
mod template;
mod units;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder that end so, by name.
fn files(dir: &str, end: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(dir)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(end)).collect();
    names.sort();
    assert!(!names.is_empty(), "no *{end} in {dir}");
    names
}

/// The documents of a YAML file.
fn yaml(text: &str) -> Vec<Value> {
    let documents = format!("\n{text}");
    let documents = documents.split("\n---").filter(|text| {
        text.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
    });
    documents
        .map(|text| serde_norway::from_str(text).unwrap_or_else(|e| panic!("{e} in{text}")))
        .collect()
}

/// What is wrong with a command line, by the help of the command: flags that it has not. It
/// begins with the program; `qoe-probe run` has the flags of `qoe probe`.
fn unknown_flags(line: &[String]) -> Vec<String> {
    let words = line.iter().map(|word| word.trim_start_matches("/usr/bin/"));
    let words: Vec<_> = words.take_while(|word| !word.starts_with('-')).collect();
    let command = match words[..] {
        ["qoe-probe", "run", ..] => "probe".to_owned(),
        ["qoe", ref rest @ ..] => (0..=rest.len())
            .rev()
            .map(|count| rest[..count].join("_"))
            .find(|name| snapshot(name).exists())
            .unwrap_or_default(),
        _ => return vec![format!("{words:?} is none of ours")],
    };
    let help = fs::read_to_string(snapshot(&command)).unwrap();
    let known: BTreeSet<_> = help
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| word.starts_with("--"))
        .collect();
    let mut wrong: Vec<_> = line
        .iter()
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split('=').next().unwrap_or_default())
        .filter(|flag| !known.contains(flag))
        .map(|flag| format!("{command} has no {flag}"))
        .collect();
    if command.is_empty() && words.len() > 1 {
        wrong.push(format!("the help of {words:?} is not known"));
    }
    wrong
}

fn snapshot(command: &str) -> PathBuf {
    root().join(format!("crates/qoe/tests/it/snapshots/it__help__help_{command}.snap"))
}

#[test]
fn flags_that_nobody_has_are_found() {
    let wrong = |line: &str| unknown_flags(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    for right in ["qoe up --listen 1", "qoe migrate up --bus=x", "/usr/bin/qoe-probe run --spool x"]
    {
        assert!(wrong(right).is_empty(), "{right}");
    }
    for line in ["qoe up --bus x", "qoe migrate --stream-replicas=3", "qoe nonsense", "cat --x"] {
        assert_eq!(wrong(line).len(), 1, "{line}: {:?}", wrong(line));
    }
}

#[test]
fn ci_elsewhere_is_our_own() {
    let text = read(".github/workflows/ci.yml");
    let workflow = &yaml(&text)[0];
    assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}));
    let steps = workflow["jobs"]["run"]["steps"].as_array().unwrap();
    assert_eq!(workflow["jobs"].as_object().unwrap().len(), 1);
    assert!(steps.iter().any(|step| step["run"] == ".ci/run"), "it calls .ci/run");
    // Where .ci/run builds.
    assert!(read(".ci/run").contains("${XDG_CACHE_HOME:-$HOME/.cache}/qoe-build"));
    assert!(steps.iter().any(|step| step["with"]["path"] == "~/.cache/qoe-build"));
    for line in text.lines().filter(|line| line.contains("uses:")) {
        let (action, why) = line.split_once(" # ").expect("an action says what it is for");
        let version = action.split_once("@v").map(|(_, version)| version);
        let pinned = version.is_some_and(|version| version.bytes().all(|b| b.is_ascii_digit()));
        assert!(pinned && !why.is_empty() && action.contains("uses: actions/"), "{line}");
    }
}
