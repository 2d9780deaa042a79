//! What neither the compiler nor a linter keeps: the walls between modules, and the size of files.

use std::fs;
use std::path::{Path, PathBuf};

/// A word that only some files may use, and why.
struct Wall {
    /// Where it is looked for.
    below: &'static str,
    /// Text that is not to be there.
    word: &'static str,
    /// Paths that begin so may have it.
    except: &'static [&'static str],
    why: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        below: "crates",
        word: "rusqlite",
        except: &["crates/server/src/store", "crates/server/tests"],
        why: "only the store knows which database it is",
    },
    Wall {
        below: "crates",
        word: "tokio_postgres",
        except: &["crates/server/src/store/postgres"],
        why: "only the shared store speaks to PostgreSQL",
    },
    Wall {
        below: "crates",
        word: "async_nats",
        except: &["crates/server/src/bus", "crates/server/tests"],
        why: "only the bus knows which one it is",
    },
    Wall {
        below: "crates",
        word: "axum::",
        except: &[
            "crates/server/src/ingest",
            "crates/server/src/api",
            "crates/server/src/health.rs",
            "crates/server/src/metrics.rs",
            "crates/server/src/openapi.rs",
            "crates/server/src/roles/door.rs",
            "crates/server/tests",
        ],
        why: "only the HTTP edges know the framework",
    },
    Wall {
        below: "crates/server/src",
        word: ".route(",
        except: &[],
        why: "a route is made of a handler that is described (openapi.rs)",
    },
    Wall {
        below: "crates/model/src",
        word: "::now(",
        except: &[],
        why: "time comes into the model as an argument",
    },
    Wall { below: "crates/model/src", word: "std::fs", except: &[], why: "the model does no I/O" },
    Wall {
        below: "crates/model/src",
        word: "std::env",
        except: &[],
        why: "the model has no surroundings",
    },
    Wall {
        below: "crates/model/src",
        word: "rand::",
        except: &[],
        why: "the model is no game of chance",
    },
    Wall {
        below: "crates/server/src",
        word: "Timestamp::now",
        except: &["crates/server/src/clock.rs"],
        why: "the server's time is read in one place",
    },
    Wall {
        below: "crates/server/src",
        word: "std::env",
        except: &["crates/server/src/crash.rs"],
        why: "settings are read by the program, not by its parts",
    },
];

/// Longer than that and a file is two.
const MOST_LINES: usize = 600;

#[test]
fn walls_between_modules_stand() {
    let root = root();
    let mut broken = Vec::new();
    for wall in WALLS {
        for (path, text) in sources(&root.join(wall.below)) {
            let path = relative(&path);
            let allowed = wall.except.iter().any(|allowed| path.starts_with(allowed));
            let here = path.ends_with("tests/it/tidy.rs");
            if !allowed && !here && code(&text).any(|line| line.contains(wall.word)) {
                broken.push(format!("{path} uses {}: {}", wall.word, wall.why));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_file_is_two() {
    let long: Vec<_> = ["crates", "benches", "chaos"]
        .iter()
        .flat_map(|dir| sources(&root().join(dir)))
        .filter(|(_, text)| text.lines().count() > MOST_LINES)
        .map(|(path, _)| relative(&path))
        .collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:?}");
}

#[test]
fn every_module_says_what_it_holds() {
    let silent: Vec<_> = sources(&root().join("crates"))
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| relative(&path))
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:?}");
}

/// Every Rust file below a folder, with its text.
pub(crate) fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {}", dir.display());
    found
}

/// The lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
