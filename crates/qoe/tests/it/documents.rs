//! What the documents tell a person to type is taken by the programs, what they name is there, and
//! what they quote of our errors is what is said.

mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};

use crate::running::qoe;
use crate::tidy::{root, sources};
use text::{Block, blocks, commands};

/// All documents for people but the history, which names what is gone.
fn documents() -> Vec<(String, Vec<Block>)> {
    let root = root();
    let in_docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = in_docs
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    paths.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(str::to_owned));
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), blocks(&read(&path)))).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A command of ours that a document shows.
struct Shown {
    /// Document and line.
    at: String,
    /// The words, the program first.
    words: Vec<String>,
}

/// Every command of ours: in code that is shell, and between backticks.
fn shown() -> Vec<Shown> {
    let mut found = Vec::new();
    for (path, blocks) in documents() {
        for block in &blocks {
            let lines = match &block.code {
                Some(fence) if ["", "sh", "bash", "console"].contains(&fence.as_str()) => {
                    vec![(block.line, block.text.clone())]
                }
                Some(_) => Vec::new(),
                None => block.quoted(),
            };
            for (line, text) in lines {
                let ours = commands(&text).into_iter().filter_map(|words| ours(&words));
                let at = format!("{path}:{line}");
                found.extend(ours.map(|words| Shown { at: at.clone(), words }));
            }
        }
    }
    found
}

/// From the program on, where it is one of ours: behind a prompt, `sudo`, and what is set for it.
fn ours(words: &[String]) -> Option<Vec<String>> {
    let is_set = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
    };
    let before = |word: &&String| ["$", "sudo"].contains(&word.as_str()) || is_set(word);
    let words = &words[words.iter().take_while(before).count()..];
    let program = words.first()?;
    ["qoe", "qoe-probe", "make"].contains(&program.as_str()).then(|| words.to_vec())
}

/// Why a command line is not taken; the programs' own parsers say so. They read all that is there, and
/// are then asked for help in the place of the work, so that what is missing is not missed.
fn refused(words: &[String], targets: &BTreeSet<String>) -> Option<String> {
    let args = words[1..].iter().map(|word| stand_in(word)).chain(["--help"]);
    match words[0].as_str() {
        "make" => unknown_target(&words[1..], targets),
        "qoe" => {
            let output = qoe().args(args).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            (!output.status.success()).then(|| first_line(&said))
        }
        _ => {
            let error = probe().try_get_matches_from(["qoe-probe"].into_iter().chain(args));
            let error = error.expect_err("help is no match");
            error.use_stderr().then(|| first_line(&error.to_string()))
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("it says nothing").to_owned()
}

/// `qoe-probe`, of the parts that crates/probe/src/main.rs puts together.
fn probe() -> Command {
    Command::new("qoe-probe")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommand(probe::agent::Agent::augment_args(Command::new("run")))
        .subcommand(probe::check::Args::augment_args(Command::new("once")))
        .subcommand(probe::exporter::Args::augment_args(Command::new("exporter")))
}

/// A value in the place of a word that stands for one and is not as good as any.
fn stand_in(word: &str) -> &str {
    match word {
        "A" | "B" => "client=a",
        "ADDR" => "127.0.0.1:1",
        "URL" => "http://a.example/",
        "SHELL" => "bash",
        "N" | "VERSION" => "1",
        "TIME" => "1h",
        "BYTES" => "1MiB",
        word => word,
    }
}

fn targets() -> BTreeSet<String> {
    let makefile = read("Makefile");
    let names = makefile.lines().filter_map(|line| line.split_once(':').map(|(name, _)| name));
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    names.filter(is_name).map(str::to_owned).collect()
}

/// What is set, and targets of other people's Makefiles (which have a slash), are passed over.
fn unknown_target(args: &[String], targets: &BTreeSet<String>) -> Option<String> {
    let asked = args.iter().filter(|arg| !arg.contains(['=', '/']) && !arg.starts_with('-'));
    let unknown: Vec<_> = asked.filter(|arg| !targets.contains(*arg)).cloned().collect();
    (!unknown.is_empty()).then(|| format!("no target of the Makefile: {}", unknown.join(" ")))
}

#[test]
fn every_command_is_taken() {
    let (shown, targets) = (shown(), targets());
    let of = |program: &str| shown.iter().filter(|shown| shown.words[0] == program).count();
    let counts = (of("qoe"), of("qoe-probe"), of("make"));
    assert!(counts.0 > 60 && counts.1 > 8 && counts.2 > 25, "some are not seen: {counts:?}");
    let wrong: Vec<_> = shown
        .iter()
        .filter_map(|Shown { at, words }| {
            let mut why = refused(words, &targets)?;
            // Prose may name a flag without its value.
            let flag = words.last().is_some_and(|word| word.starts_with("--"));
            if flag && why.contains("a value is required") {
                why = refused(&words[..words.len() - 1], &targets)?;
            }
            Some(format!("{at}: {}: {why}", words.join(" ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_nobody_takes_is_found() {
    let targets = targets();
    let refused = |line: &str| refused(&ours(&commands(line)[0]).unwrap(), &targets);
    for right in [
        "$ QOE_LISTEN=x sudo qoe up --target URL",
        "qoe completions SHELL > file",
        "qoe-probe run --spool DIR",
        "qoe-probe exporter --allow .example.com",
        "make fuzz SECONDS=6",
    ] {
        assert_eq!(refused(right), None, "{right}");
    }
    for wrong in [
        "qoe up --targets URL",
        "qoe reports",
        "qoe check --timeout soon URL",
        "qoe report one two",
        "qoe-probe walk",
        "qoe-probe run --spools DIR",
        "qoe-probe once --ip 5 URL",
        "make coffee",
    ] {
        assert!(refused(wrong).is_some(), "{wrong}");
    }
    assert_eq!(ours(&commands("curl x")[0]), None);
}

/// Where a path of the repository begins.
const TOPS: [&str; 9] =
    [".ci/", ".github/", "chaos/", "config/", "crates/", "deploy/", "docs/", "fuzz/", "scripts/"];
/// Made by a run, and not before.
const MADE: [&str; 1] = ["fuzz/artifacts"];

#[test]
fn every_path_is_there() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for (document, blocks) in documents() {
        for block in &blocks {
            for (at, line) in block.text.lines().enumerate() {
                let ends = |c: char| c.is_whitespace() || "`()[]|,;'\"".contains(c);
                for path in line.split(ends).filter_map(path_of) {
                    seen += 1;
                    if !is_there(&path) {
                        missing.push(format!("{document}:{}: {path}", block.line + at));
                    }
                }
            }
        }
    }
    assert!(seen > 150, "only {seen} paths are seen");
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

/// The path that a word is, from the repository's root on. Those of a crate may leave `crates/` out.
fn path_of(word: &str) -> Option<String> {
    let word = word.trim_end_matches(['.', ':']);
    let in_crate = ["model", "probe", "qoe", "server", "testbed"].iter().any(|name| {
        let rest = word.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with("/src/") || rest.starts_with("/tests/"))
    });
    if in_crate {
        return Some(format!("crates/{word}"));
    }
    let known = TOPS.iter().any(|top| word.starts_with(top));
    (known && !word.contains(['{', '<']) && !MADE.contains(&word)).then(|| word.to_owned())
}

/// With a star in the name: whether there is one of them.
fn is_there(path: &str) -> bool {
    let whole = root().join(path);
    let Some((before, after)) = path.rsplit('/').next().and_then(|name| name.split_once('*'))
    else {
        return whole.exists();
    };
    let Ok(entries) = fs::read_dir(whole.parent().unwrap()) else { return false };
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.any(|name| name.starts_with(before) && name.ends_with(after))
}

#[test]
fn a_path_that_is_not_there_is_found() {
    for there in ["docs/*.md", "crates/qoe", "config/qoe.toml"] {
        assert!(is_there(&path_of(there).unwrap()), "{there}");
    }
    for gone in ["docs/*.txt", "crates/qoe/none.rs", "qoe/src/none.rs", "deploy/none/*.yml"] {
        assert!(!is_there(&path_of(gone).unwrap()), "{gone}");
    }
    assert_eq!(path_of("https://a.example/docs/x"), None);
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for (document, blocks) in documents() {
        let folder = Path::new(&document).parent().unwrap();
        for (line, link) in blocks.iter().flat_map(Block::links) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let path = match file {
                "" => PathBuf::from(&document),
                file => folder.join(file),
            };
            let there = root().join(&path).exists();
            if !there || !heading.is_empty() && !headings(&path).contains(heading) {
                broken.push(format!("{document}:{line}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "lead nowhere:\n{}", broken.join("\n"));
}

/// The headings of a document, as links name them.
fn headings(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let titles = text.lines().filter(|line| line.starts_with('#'));
    let name = |title: &str| {
        let title = title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        title.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    titles.map(name).collect()
}

/// docs/troubleshooting.md has errors in fences that say `text`, with `…` for what differs.
#[test]
fn every_error_that_is_quoted_is_said() {
    let mut said: String = sources(&root().join("crates"))
        .iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "src"))
        .map(|(_, text)| flat(text))
        .collect();
    for script in fs::read_dir(root().join("scripts/dev")).unwrap() {
        let path = script.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "py") {
            said += &flat(&fs::read_to_string(path).unwrap());
        }
    }
    said += &read("scripts/servers");
    let quoted = blocks(&read("docs/troubleshooting.md"));
    let quoted = quoted.iter().filter(|block| block.code.as_deref() == Some("text"));
    let (mut count, mut unsaid) = (0, Vec::new());
    for block in quoted {
        count += 1;
        for piece in block.text.split('…').map(str::trim) {
            let telling = piece.chars().any(char::is_alphabetic);
            if telling && !said.contains(piece) {
                unsaid.push(format!("docs/troubleshooting.md:{}: {piece}", block.line));
            }
        }
    }
    assert!(count > 20, "only {count} errors are seen");
    assert!(unsaid.is_empty(), "nobody says:\n{}", unsaid.join("\n"));
}

/// Strings that go on in the next line, of Rust (`\`) and of Python (one string after the other), in
/// one.
fn flat(source: &str) -> String {
    let mut flat = String::with_capacity(source.len());
    for line in source.lines().map(str::trim) {
        let goes_on = line.strip_prefix('f').unwrap_or(line).strip_prefix('"');
        if let Some(rest) = goes_on.filter(|_| flat.ends_with("\"\n")) {
            flat.truncate(flat.len() - 2);
            flat.push_str(rest);
        } else {
            flat.push_str(line);
        }
        match flat.strip_suffix('\\') {
            Some(open) => flat.truncate(open.len()),
            None => flat.push('\n'),
        }
    }
    flat
}

#[test]
fn strings_that_go_on_are_one() {
    assert_eq!(flat("(\n    \"a \\\n     b\"\n)"), "(\n\"a b\"\n)\n");
    assert_eq!(flat("say(\n  f\"a {b}\"\n  \" c\"\n)"), "say(\nf\"a {b} c\"\n)\n");
}
