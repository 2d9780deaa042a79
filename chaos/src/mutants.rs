//! The harness on platforms that are wrong on purpose: it is worth what it finds there.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::judge::Verdict;
use crate::report::Report;
use crate::run::{Options, STREAM_BYTES, Schedule, run};

/// A change that breaks a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The patch's name.
    pub name: String,
    /// What it breaks, by its first line.
    pub breaks: String,
    /// The patch.
    pub patch: PathBuf,
}

/// What became of one.
#[derive(Clone, Debug)]
pub struct Caught {
    /// Which; `None` for the platform as it is.
    pub mutant: Option<Mutant>,
    /// What was found broken.
    pub broken: Vec<&'static str>,
    /// The first of it in words.
    pub first: String,
    /// Why the run shows nothing, if it does.
    pub void: Option<String>,
}

/// The mutants of a checkout.
///
/// # Errors
/// Where a patch can't be read or does not say what it breaks.
pub fn all(checkout: &Path) -> anyhow::Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(checkout.join("chaos/mutants"))? {
        let patch = entry?.path();
        let text = fs::read_to_string(&patch)?;
        let breaks = text.lines().next().and_then(|line| line.strip_prefix("breaks: "));
        let breaks = breaks.with_context(|| format!("{}: no `breaks:`", patch.display()))?;
        let name = patch.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        mutants.push(Mutant {
            name: name.to_owned(),
            breaks: breaks.to_owned(),
            patch: patch.clone(),
        });
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}

impl Mutant {
    /// Changes a checkout, or back.
    ///
    /// # Errors
    /// Where the patch does not apply: the code it was made for has changed.
    pub fn apply(&self, checkout: &Path, how: &[&str]) -> anyhow::Result<()> {
        let mut git = Command::new("git");
        // A copy below another checkout is none of that one's business.
        let outside = checkout.parent().unwrap_or(checkout);
        git.env("GIT_CEILING_DIRECTORIES", outside).current_dir(checkout);
        let output = git.arg("apply").args(how).arg(&self.patch).output().context("running git")?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} does not apply: {}", self.name, why.trim());
        Ok(())
    }
}

/// Runs the platform as it is and each mutant of it; `only` names one of them.
///
/// # Errors
/// Where one can't be built or run.
pub fn run_all(
    checkout: &Path,
    target: &Path,
    seed: u64,
    only: Option<&str>,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Caught>> {
    let mut mutants = all(checkout)?;
    if let Some(only) = only {
        mutants.retain(|mutant| mutant.name == only);
        ensure!(!mutants.is_empty(), "there is no mutant {only}");
    }
    // Always the same folder, so that only what a patch changes is built.
    let copy = target.join("chaos-mutants");
    let mut caught = Vec::new();
    for mutant in [None].into_iter().chain(mutants.into_iter().map(Some)) {
        let name = mutant.as_ref().map_or("the platform as it is", |mutant| &mutant.name);
        say(&format!("== {name}"));
        copy_checkout(checkout, &copy)?;
        rename_version(&copy)?;
        if let Some(mutant) = &mutant {
            mutant.apply(&copy, &[])?;
        }
        let qoe = build(&copy, target)?;
        let options = Options {
            qoe,
            seed,
            schedule: Schedule::Directed,
            rate: 400,
            stream_bytes: STREAM_BYTES,
            keep: None,
        };
        let report = run(&options, say)?;
        if let Some(kept) = &report.kept {
            let _ = fs::remove_dir_all(kept);
        }
        let one = Caught::of(mutant, &report);
        say(&one.to_string());
        caught.push(one);
    }
    Ok(caught)
}

impl Caught {
    fn of(mutant: Option<Mutant>, report: &Report) -> Self {
        let broken: Vec<&Verdict> =
            report.verdicts.iter().filter(|verdict| !verdict.is_kept()).collect();
        let first = broken.first().and_then(|verdict| verdict.findings.first().cloned());
        Self {
            mutant,
            broken: broken.iter().map(|verdict| verdict.number).collect(),
            first: first.unwrap_or_default(),
            void: report.figures.void(),
        }
    }

    /// A mutant that was found out, or a platform in which nothing was found.
    pub fn is_good(&self) -> bool {
        match self.mutant {
            Some(_) => !self.broken.is_empty(),
            None => self.broken.is_empty() && self.void.is_none(),
        }
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.mutant.as_ref().map_or("as it is", |mutant| &mutant.name);
        let said = match (&self.mutant, self.is_good()) {
            (Some(_), true) => "caught",
            (Some(_), false) => "NOT CAUGHT",
            (None, true) => "kept",
            (None, false) => "BROKEN",
        };
        write!(f, "{name:<20}{said:<12}{}", self.broken.join(", "))?;
        if let Some(mutant) = &self.mutant {
            write!(f, "\n{:20}{}", "", mutant.breaks)?;
        }
        if !self.first.is_empty() {
            write!(f, "\n{:20}! {}", "", self.first)?;
        }
        match &self.void {
            Some(void) => write!(f, "\n{:20}void: {void}", ""),
            None => Ok(()),
        }
    }
}

/// Makes a folder hold what git knows of a checkout, with changes that are not committed. A file
/// that is as it was stays as it is, so that it is not built again.
fn copy_checkout(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut git = Command::new("git");
    git.current_dir(from).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().context("running git")?;
    ensure!(output.status.success(), "{} is no checkout", from.display());
    let listed = String::from_utf8(output.stdout)?;
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (source, copy) = (from.join(name), to.join(name));
        // One that was deleted is listed until that is committed.
        let Ok(bytes) = fs::read(&source) else { continue };
        if fs::read(&copy).is_ok_and(|there| there == bytes) {
            continue;
        }
        fs::create_dir_all(copy.parent().context("a file is in a folder")?)?;
        fs::write(&copy, bytes)?;
    }
    Ok(())
}

/// Gives a copy's crates a version of their own. Cargo tells crates apart by name, version and
/// place in their workspace, so that without it what was built of a mutant would be taken for what
/// was built of the checkout, and the other way round.
fn rename_version(copy: &Path) -> anyhow::Result<()> {
    let file = copy.join("Cargo.toml");
    let text = fs::read_to_string(&file)?;
    let at = "[workspace.package]\nversion = \"";
    let (before, version) = text.split_once(at).context("there is no version")?;
    let (_, after) = version.split_once('"').context("there is no version")?;
    Ok(fs::write(file, format!("{before}{at}0.0.0-mutant\"{after}"))?)
}

/// Builds the program of a copy; what it stands on is there from other builds.
fn build(copy: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    let built = target.join("debug/qoe");
    let aside = target.join("debug/qoe.aside");
    let kept = fs::rename(&built, &aside).is_ok();
    let qoe = build_there(copy, target, &built);
    if kept {
        fs::rename(&aside, &built)?;
    }
    qoe
}

fn build_there(copy: &Path, target: &Path, built: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(copy).env("CARGO_TARGET_DIR", target);
    // Not --locked: the lock names the versions of our own crates.
    build.args(["build", "--quiet", "--offline", "-p", "qoe"]);
    let status = build.status().context("running cargo")?;
    if !status.success() {
        bail!("it does not build");
    }
    // Away from where the next one is put.
    let qoe = copy.join("qoe");
    let _ = fs::remove_file(&qoe);
    fs::copy(built, &qoe)?;
    Ok(qoe)
}
