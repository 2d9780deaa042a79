//! What `--help` says, and how wrong usage is answered.

use crate::running::qoe;

/// Commands whose help is kept as a snapshot; the empty one is the program's own.
const COMMANDS: [&str; 35] = [
    "",
    "check",
    "up",
    "demo",
    "report",
    "compare",
    "explain",
    "rediagnose",
    "target",
    "traces",
    "simulate",
    "probe",
    "ingest",
    "aggregator",
    "diagnoser",
    "api",
    "token",
    "token create",
    "ready",
    "migrate",
    "migrate up",
    "alert",
    "alert test",
    "alert list",
    "doctor",
    "dlq",
    "dlq list",
    "dlq show",
    "dlq replay",
    "dlq drop",
    "replay",
    "backup",
    "restore",
    "openapi",
    "completions",
];

#[test]
fn help_is_as_it_was() {
    for command in COMMANDS {
        let output = qoe().args(command.split_whitespace()).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}");
        let name = format!("help_{}", command.replace(' ', "_"));
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn every_shell_and_every_page() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = qoe().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && output.stdout.len() > 1_000, "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(qoe().arg("man").arg(dir.path()).status().unwrap().success());
    let page = std::fs::read_to_string(dir.path().join("qoe-check.1")).unwrap();
    assert!(page.contains("qoe\\-check"), "{page}");
}

#[test]
fn a_setting_nobody_knows_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "lisen = '127.0.0.1:1'\n").unwrap();
    let output = qoe().args(["report", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("lisen") && error.lines().count() == 1, "{error}");

    let output = qoe().arg("report").env("QOE_LISEN", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8(output.stderr).unwrap().contains("lisen"));
}

#[test]
fn wrong_usage_is_2() {
    for args in [&["check"][..], &["check", "ftp://a.test/"], &["nonsense"], &["check", "-n0", "a"]]
    {
        assert_eq!(qoe().args(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn the_probe_has_a_file_of_its_own_and_names_what_is_wrong_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.toml");
    std::fs::write(&settings, "listen = '127.0.0.1:1'\n").unwrap();
    let file = dir.path().join("probe.toml");
    std::fs::write(&file, "ingest = 'http://127.0.0.1:9/'\n[[target]]\nurk = 'a.example'\n")
        .unwrap();
    let said = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // The settings are neither read nor taken for it.
    let ways = [
        said(qoe().args(["probe", "--config"]).arg(&file)),
        said(qoe().arg("probe").env("QOE_PROBE_CONFIG", &file)),
        said(qoe().arg("probe").env("QOE_PROBE_CONFIG", &file).env("QOE_CONFIG", &settings)),
    ];
    for (code, error) in ways {
        assert_eq!(code, Some(78), "{error}");
        let named = format!("{}:3: unknown key `urk`", file.display());
        assert!(error.contains(&named) && error.lines().count() == 1, "{error}");
    }
    let (code, error) = said(qoe().arg("probe").env("QOE_CONFIG", &settings));
    assert_eq!(code, Some(2), "no targets are named: {error}");
    let (code, error) = said(qoe().args(["report", "--config"]).arg(&file));
    assert_eq!(code, Some(78), "{error}");
    let (code, _) = said(qoe().arg("report").env("QOE_CONFIG", dir.path().join("no.toml")));
    assert_eq!(code, Some(78));
}
