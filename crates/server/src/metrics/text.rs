//! The older text format, which everything reads: in OpenMetrics a counter's family has not the name of
//! its samples.

/// OpenMetrics as Prometheus' text format 0.0.4.
pub(super) fn plain(openmetrics: &str) -> String {
    let mut counters = std::collections::HashSet::new();
    for line in openmetrics.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|l| l.strip_suffix(" counter")) {
            counters.insert(name);
        }
    }
    let mut plain = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let head = line.strip_prefix("# HELP ").map(|rest| ("# HELP ", rest));
        match head.or_else(|| line.strip_prefix("# TYPE ").map(|rest| ("# TYPE ", rest))) {
            Some((kind, rest)) => {
                let (name, what) = rest.split_once(' ').unwrap_or((rest, ""));
                let suffix = if counters.contains(name) { "_total" } else { "" };
                // One full stop too many of the library's.
                let what = what.strip_suffix('.').unwrap_or(what);
                plain.extend([kind, name, suffix, " ", what, "\n"]);
            }
            None if line.starts_with("# UNIT ") || line == "# EOF" => {}
            None => plain.extend([line, "\n"]),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_the_name_of_its_samples() {
        let openmetrics = "# HELP a Things.\n# TYPE a counter\na_total 1\n# HELP b_seconds Time.\n\
            # TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds{x=\"y\"} 2\n# EOF\n";
        let expected = "# HELP a_total Things\n# TYPE a_total counter\na_total 1\n# HELP b_seconds Time\n\
            # TYPE b_seconds gauge\nb_seconds{x=\"y\"} 2\n";
        assert_eq!(plain(openmetrics), expected);
    }
}
