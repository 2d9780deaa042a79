//! The units of systemd: what each may not, whom it is handed secrets by, and how exposed systemd
//! itself finds it.

use std::process::Command;

use super::{files, read, root, unknown_flags};

/// What every unit has, word for word. Address families and the state directory are looked at apart.
const HARDENING: &[&str] = &[
    "DynamicUser=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateMounts=yes",
    "PrivateDevices=yes",
    "DevicePolicy=closed",
    "PrivateUsers=yes",
    "PrivateIPC=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "UMask=0077",
    "LimitCORE=0",
    "Restart=on-failure",
    "RestartSec=5",
];

/// Tenths of `systemd-analyze security`.
const MOST_EXPOSED: &str = "20";

fn units() -> Vec<(String, Vec<String>)> {
    let lines = |name: &String| {
        let text = read(&format!("deploy/systemd/{name}"));
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    files("deploy/systemd", ".service")
        .into_iter()
        .map(|name| (name.clone(), lines(&name)))
        .collect()
}

/// The values of a key.
fn values<'a>(lines: &'a [String], key: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn every_unit_is_hardened() {
    let units = units();
    assert_eq!(units.len(), 6);
    for (name, lines) in &units {
        for wanted in HARDENING {
            let (key, _) = wanted.split_once('=').unwrap();
            assert!(lines.iter().any(|line| line == wanted), "{name} lacks {wanted}");
            let same = HARDENING.iter().filter(|other| other.split('=').next() == Some(key));
            assert_eq!(values(lines, key).len(), same.count(), "{name} says more of {key}");
        }
        // A probe asks the kernel which interface an address belongs to; `qoe up` holds one.
        let probes = ["qoe.service", "qoe-probe.service"].contains(&name.as_str());
        let families =
            format!("AF_INET AF_INET6 AF_UNIX{}", if probes { " AF_NETLINK" } else { "" });
        assert_eq!(values(lines, "RestrictAddressFamilies"), [&families], "{name}");
        let state = values(lines, "StateDirectory");
        assert_eq!(
            state.first().copied(),
            name.strip_suffix(".service").filter(|_| probes),
            "{name}"
        );
        assert_eq!(values(lines, "StateDirectoryMode").len(), state.len(), "{name}");
        assert_eq!(values(lines, "MemoryMax").len(), 1, "{name}");
    }
}

#[test]
fn every_command_of_a_unit_is_one() {
    for (name, lines) in units() {
        let command = values(&lines, "ExecStart");
        assert_eq!(command.len(), 1, "{name}");
        let command: Vec<_> = command[0].split(' ').map(str::to_owned).collect();
        assert_eq!(unknown_flags(&command), Vec::<String>::new(), "{name}");
        let role = name.strip_suffix(".service").and_then(|name| name.strip_prefix("qoe"));
        let role = match role.unwrap() {
            "" => "up",
            "-probe" => "run",
            role => &role[1..],
        };
        assert_eq!(command[1], role, "{name}");
        // A secret is handed over by systemd, and by nothing else.
        let handed: Vec<_> = values(&lines, "LoadCredential")
            .iter()
            .map(|credential| format!("%d/{}", credential.split(':').next().unwrap()))
            .collect();
        let used: Vec<_> = command.iter().filter(|word| word.starts_with("%d/")).collect();
        assert_eq!(handed.iter().collect::<Vec<_>>(), used, "{name}");
        for flag in ["--database-file", "--bus-credentials", "--token-file"] {
            let at = command.iter().position(|word| word == flag);
            assert!(at.is_none_or(|at| command[at + 1].starts_with("%d/")), "{name}: {flag}");
        }
    }
}

#[test]
fn the_way_beyond_loopback_has_tls() {
    let text = read("deploy/systemd/network.conf");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let set = values(&lines, "Environment").join(" ");
    for part in ["QOE_LISTEN=[::]:8460", "QOE_TLS_CERT=%d/tls-cert", "QOE_TLS_KEY=%d/tls-key"] {
        assert!(set.contains(part), "{set}");
    }
    assert_eq!(values(&lines, "LoadCredential").len(), 2);
}

#[test]
fn systemd_finds_little_exposed() {
    let version = Command::new("systemd-analyze").arg("--version").output();
    let version = version.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.split_whitespace().nth(1)?.parse::<u32>().ok()
    });
    // 250 looks at files that are not installed.
    if version.is_none_or(|version| version < 250) {
        eprintln!("no systemd-analyze of 250 or later: not asked how exposed the units are");
        return;
    }
    for (name, _) in units() {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold", MOST_EXPOSED])
            .arg(root().join("deploy/systemd").join(&name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("Overall exposure"), "{said}{output:?}");
    }
}
