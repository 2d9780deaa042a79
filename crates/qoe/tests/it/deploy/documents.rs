//! What docs/deployment.md tells a person to type is there.

use super::{read, root, unknown_flags};

#[test]
fn every_command_of_the_document_is_one() {
    let text = read("docs/deployment.md").replace("\\\n", " ");
    let mut commands = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("    ")) {
        let words: Vec<_> = line.split_whitespace().take_while(|word| *word != "#").collect();
        let Some(at) = words.iter().position(|word| ["qoe", "qoe-probe"].contains(word)) else {
            continue;
        };
        if words[..at].iter().any(|word| *word != "sudo") {
            continue;
        }
        let line: Vec<_> = words[at..].iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(unknown_flags(&line), Vec::<String>::new(), "{line:?}");
        commands += 1;
    }
    assert!(commands >= 5, "{commands} commands of ours in it");
}

#[test]
fn every_file_of_the_document_is_there() {
    let text = read("docs/deployment.md");
    let quoted = text.split('`').skip(1).step_by(2);
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for path in quoted.filter(|text| text.starts_with("deploy/")) {
        assert!(root().join(path).exists(), "{path}");
    }
    for path in linked.filter(|path| !path.contains("://")) {
        assert!(root().join("docs").join(path).exists(), "{path}");
    }
    let makefile = read("Makefile");
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("make ")) {
        let target = line.split(' ').next().unwrap();
        assert!(
            makefile.contains(&format!("\n{target}: ")) || target.contains('/'),
            "make {target}"
        );
    }
}
