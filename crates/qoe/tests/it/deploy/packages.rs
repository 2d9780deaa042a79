//! What the packages hold is there, and both kinds hold the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{files, read, root};

/// A package: its crate's folder, and what it is made of as (where from, where to).
struct Package {
    folder: &'static str,
    deb: Vec<(String, String)>,
    rpm: Vec<(String, String)>,
    conf_files: BTreeSet<String>,
}

fn packages() -> Vec<Package> {
    ["crates/qoe", "crates/probe"].into_iter().map(package).collect()
}

fn package(folder: &'static str) -> Package {
    let manifest: Value = toml::from_str(&read(&format!("{folder}/Cargo.toml"))).unwrap();
    let metadata = &manifest["package"]["metadata"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |kind: &str| metadata[kind]["assets"].as_array().unwrap().clone();
    let deb = &metadata["deb"];
    Package {
        folder,
        deb: list("deb")
            .iter()
            .map(|asset| (text(&asset[0]), format!("/{}", text(&asset[1]))))
            .collect(),
        rpm: list("generate-rpm")
            .iter()
            .map(|asset| (text(&asset["source"]), text(&asset["dest"])))
            .collect(),
        conf_files: deb["conf-files"].as_array().unwrap().iter().map(text).collect(),
    }
}

/// Where a file comes to stand: a folder takes its name.
fn place((from, to): &(String, String)) -> String {
    let name = from.rsplit('/').next().unwrap_or_default();
    if to.ends_with('/') { format!("{to}{name}") } else { to.clone() }
}

#[test]
fn everything_in_a_package_is_there() {
    let makefile = read("Makefile");
    for Package { folder, deb, rpm, .. } in packages() {
        let below = |prefix: &str, assets: &[(String, String)]| -> Vec<String> {
            assets.iter().map(|(from, _)| format!("{prefix}{from}")).collect()
        };
        // cargo-deb counts from the crate, cargo-generate-rpm from the workspace.
        for path in [below(&format!("{folder}/"), &deb), below("", &rpm)].concat() {
            let Some((_, built)) = path.split_once("target/release/") else {
                assert!(root().join(&path).is_file(), "{path} is not there");
                continue;
            };
            let made = match built.strip_prefix("packaging/") {
                Some("man/*.1") => makefile.contains("man $(PACKAGING)/man\n"),
                Some(rest) => makefile.contains(&format!("> $(PACKAGING)/{rest}\n")),
                None => ["qoe", "qoe-probe"].contains(&built),
            };
            assert!(made, "make packages does not make {path}");
        }
    }
}

#[test]
fn both_kinds_hold_the_same() {
    // Each distribution has folders of its own for these.
    let own = |path: &String| path.contains("/zsh/") || path.contains("/licenses/");
    for package in packages() {
        let deb: BTreeSet<_> = package.deb.iter().map(place).filter(|path| !own(path)).collect();
        let rpm: BTreeSet<_> = package.rpm.iter().map(place).filter(|path| !own(path)).collect();
        assert_eq!(deb, rpm, "{}", package.folder);
        let below_etc = deb.into_iter().filter(|path| path.starts_with("/etc/")).collect();
        assert_eq!(package.conf_files, below_etc, "{}", package.folder);
    }
}

#[test]
fn every_unit_and_sample_is_in_one_package() {
    let packages = packages();
    let held: Vec<_> =
        packages.iter().flat_map(|package| package.rpm.iter().map(|(from, _)| from)).collect();
    let units =
        files("deploy/systemd", "").into_iter().map(|name| format!("deploy/systemd/{name}"));
    let samples = files("config", ".toml").into_iter().map(|name| format!("config/{name}"));
    for wanted in units.chain(samples) {
        assert_eq!(held.iter().filter(|from| **from == &wanted).count(), 1, "{wanted}");
    }
}
