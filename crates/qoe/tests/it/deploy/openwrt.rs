//! OpenWrt's package: its service is run by a shell whose procd only says what it was told.

use std::collections::BTreeMap;
use std::process::Command;

use super::{read, root, unknown_flags};

const FOLDER: &str = "deploy/openwrt/qoe-probe";

/// What `rc.common` gives a service, as far as ours needs it, without any effect.
const PROCD: &str = r#"
config_load() { :; }
config_get() { eval "$1=\"\${UCI_$3:-${4-}}\""; }
config_get_bool() { config_get "$@"; }
config_list_foreach() { "$3" "$UCI_target"; }
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_set_param() { [ "$1" = command ] && procd_append_param "$@" || echo "$@" >&2; }
procd_append_param() { shift; for word in "$@"; do echo "$word"; done; }
uci() { :; }
mkdir() { :; }
chown() { :; }
chmod() { :; }
. "$INIT"
start_service
"#;

/// The options of the sample.
fn sample() -> BTreeMap<String, String> {
    let text = read(&format!("{FOLDER}/files/qoe-probe.config"));
    let lines = text.lines().map(|line| line.trim().trim_start_matches('#'));
    let words = lines.map(|line| line.splitn(3, ' ').collect::<Vec<_>>());
    words
        .filter_map(|words| match words[..] {
            ["option" | "list", name, value] => {
                Some((name.to_owned(), value.trim_matches('\'').to_owned()))
            }
            _ => None,
        })
        .collect()
}

/// The command line of the service, and what else procd was told.
fn start(options: &BTreeMap<String, String>) -> (Vec<String>, String) {
    let output = Command::new("sh")
        .args(["-eu", "-c", PROCD])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("INIT", root().join(FOLDER).join("files/qoe-probe.init"))
        .envs(options.iter().map(|(name, value)| (format!("UCI_{name}"), value)))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().map(str::to_owned).collect(), told)
}

#[test]
fn the_service_runs_the_probe_as_it_is_configured() {
    let mut options = sample();
    assert_eq!(start(&options).0, Vec::<String>::new(), "it is off until it is wanted");

    options.insert("enabled".to_owned(), "1".to_owned());
    let (command, told) = start(&options);
    assert_eq!(unknown_flags(&command), Vec::<String>::new());
    let mut said = command.join(" ");
    for (name, value) in options.iter().filter(|(name, _)| !name.starts_with("throughput")) {
        let flag = format!("--{} {value}", name.replace('_', "-"));
        assert!(name == "enabled" || said.contains(&flag), "no {flag} in {said}");
    }
    assert!(said.contains("--no-throughput") && !said.contains("--throughput-every"), "{said}");
    for wanted in ["user qoe-probe", "no_new_privs 1", "limits core=0", "respawn"] {
        assert!(told.contains(wanted), "no {wanted} in {told}");
    }

    options.insert("throughput".to_owned(), "1".to_owned());
    options.remove("client_id");
    said = start(&options).0.join(" ");
    assert!(said.contains("--throughput-every 1h") && !said.contains("--no-throughput"), "{said}");
    let (_, made) = said.split_once("--client-id ").unwrap();
    let (_, digits) = made.split(' ').next().unwrap().rsplit_once('-').unwrap();
    assert_eq!(digits.len(), 8, "{said}");
}

#[test]
fn what_waits_stays_in_memory_and_small() {
    let options = sample();
    assert!(options["spool"].starts_with("/tmp/"), "flash wears out");
    assert_eq!(options["spool_bytes"], "4MiB");
}

#[test]
fn the_package_holds_what_is_beside_it() {
    let makefile = read(&format!("{FOLDER}/Makefile"));
    let named: Vec<_> =
        makefile.split_whitespace().filter(|word| word.starts_with("./files/")).collect();
    assert_eq!(named, ["./files/qoe-probe.init", "./files/qoe-probe.config"]);
    for file in named {
        assert!(root().join(FOLDER).join(file).is_file(), "{file}");
    }
    assert!(makefile.contains(&format!("PKG_VERSION:={}\n", env!("CARGO_PKG_VERSION"))));
}
