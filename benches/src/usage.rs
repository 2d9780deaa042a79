//! Processor time and memory of processes and those they started, as the kernel tells them.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// What a process and its children take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time, of those that have ended included.
    pub cpu: Duration,
    /// Memory of their own and, once, what they share; without what is on a disk as well.
    pub mib: f64,
    /// Memory of the process itself, what is on a disk as well included, as `ps` has it.
    pub rss_mib: f64,
}

/// A clock tick of `/proc`, which is the same on all architectures that Linux still has.
const TICK: Duration = Duration::from_millis(10);

/// Of the process of this id and its children.
pub(crate) fn of(pid: u32) -> anyhow::Result<Usage> {
    let (mut ticks, mut own_kib, mut shared_kib, mut rss_kib, mut found) = (0, 0, 0, 0, false);
    for entry in fs::read_dir("/proc").context("failed to read /proc")?.filter_map(Result::ok) {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(stat) = Stat::parse(&stat) else { continue };
        let is_parent = stat.pid == pid;
        if !is_parent && stat.parent != pid {
            continue;
        }
        found |= is_parent;
        ticks += stat.ticks + if is_parent { stat.ended_ticks } else { 0 };
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if is_parent {
            rss_kib = kib(&status, "VmRSS:").unwrap_or_default();
        }
        own_kib += kib(&status, "RssAnon:").unwrap_or_default();
        shared_kib = kib(&status, "RssShmem:").unwrap_or_default().max(shared_kib);
    }
    anyhow::ensure!(found, "process {pid} is gone");
    Ok(Usage {
        cpu: TICK * ticks,
        mib: (own_kib + shared_kib) as f64 / 1024.0,
        rss_mib: rss_kib as f64 / 1024.0,
    })
}

/// What is of use of `/proc/PID/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    pid: u32,
    parent: u32,
    ticks: u32,
    /// Of children that have ended.
    ended_ticks: u32,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        let pid = text.split(' ').next()?.parse().ok()?;
        // A name may hold anything, a parenthesis too.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
        Some(Self {
            pid,
            parent: number(1)?,
            ticks: number(11)? + number(12)?,
            ended_ticks: number(13)? + number(14)?,
        })
    }
}

/// A figure of `/proc/PID/status`.
fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_field() {
        let text = "71 (a) b (c) S 7 71 71 0 -1 4194560 9 9 0 0 120 30 4 1 20 0 1 0";
        let stat = Stat { pid: 71, parent: 7, ticks: 150, ended_ticks: 5 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("71 (a) S"), None);
    }

    #[test]
    fn figures_are_found_by_their_whole_name() {
        let status = "VmRSS:\t     900 kB\nRssAnon:\t    1024 kB\nRssShmem:\t       0 kB\n";
        assert_eq!(kib(status, "RssAnon:"), Some(1024));
        assert_eq!(kib(status, "RssFile:"), None);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(of(std::process::id()).unwrap().mib > 0.0);
    }
}
