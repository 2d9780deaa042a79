//! What every Prometheus client tells of its process, under the usual names. Linux tells it in `/proc`;
//! elsewhere it is left out.

use std::fs;

use super::Told;

/// Ticks of the processor's clock in a second: so on every Linux that there is.
const TICKS: f64 = 100.0;
/// Fields of `/proc/self/stat` after the name of the program, from 0.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const STARTED_TICKS: usize = 19;

pub(super) fn all() -> [Box<Told>; 5] {
    [
        Told::counter(
            "process_cpu_seconds",
            "Processor time that was taken, of user and system",
            cpu_seconds,
        ),
        Told::gauge("process_resident_memory_bytes", "Memory that is held", resident),
        Told::gauge("process_open_fds", "Open file descriptors", open_fds),
        Told::gauge("process_max_fds", "File descriptors that may be open", max_fds),
        Told::gauge(
            "process_start_time_seconds",
            "When it was started, seconds since the Unix epoch",
            started,
        ),
    ]
}

fn stat(field: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in brackets, and may hold any.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(field)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat(USER_TICKS)? + stat(SYSTEM_TICKS)?) / TICKS)
}

fn started() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = text.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(booted + stat(STARTED_TICKS)? / TICKS)
}

fn resident() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1_024.0)
}

fn open_fds() -> Option<f64> {
    // The one that looks is not counted.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn max_fds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    value.split_whitespace().next()?.parse().ok()
}
