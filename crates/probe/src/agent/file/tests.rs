//! What the agent's file may hold.

use super::*;
use crate::Family;

const EVERY: Duration = Duration::from_mins(5);
const SAMPLE: &str = include_str!("../../../../../config/probe.toml");

/// The sample with every line that is commented out for show taken in.
fn whole_sample() -> String {
    let shown = |line: &'static str| {
        line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
    };
    SAMPLE.lines().flat_map(|line| [shown(line), "\n"]).collect()
}

#[test]
fn the_sample_is_understood_and_shows_every_key() {
    let file = read(SAMPLE).unwrap();
    assert_eq!(file.targets(EVERY).len(), 2);

    let text = whole_sample();
    let file = read(&text).unwrap();
    // Every key is said: one that is added here is added to the sample.
    let File {
        ingest: Some(_),
        token_file: Some(_),
        ca_file: Some(_),
        resolver: Some(_),
        interval: Some(interval),
        timeout: Some(_),
        ip: Some(_),
        throughput: Some(_),
        throughput_every: Some(_),
        echo: Some(_),
        load_every: Some(_),
        daily_bytes: Some(_),
        load_on_metered: Some(_),
        metrics: Some(_),
        trace_share: Some(_),
        spool: Some(_),
        spool_bytes: Some(_),
        spool_age: Some(_),
        client_id: Some(_),
        label: Some(_),
        labels,
        target,
    } = file
    else {
        panic!("the sample does not show every key: {text}");
    };
    assert_eq!(interval, Duration::from_secs(10));
    assert!(!labels.is_empty());
    let full = target.iter().any(|entry| {
        let Entry { url: _, interval, timeout, ip, throughput, throughput_every, echo } = entry;
        interval.is_some()
            && timeout.is_some()
            && ip.is_some()
            && throughput.is_some()
            && throughput_every.is_some()
            && echo.is_some()
    });
    assert!(full, "one target shows all that can be said of one");
}

#[test]
fn what_a_target_says_is_its_own() {
    let text = "interval = '5s'\n[[target]]\nurl = 'a.example'\ninterval = '30s'\nip = 4\n\
                timeout = '2s'\nthroughput = false\necho = 0\n[[target]]\nurl = 'http://b.example/'\n\
                throughput_every = '1h'\n[[target]]\nurl = 'http://c.example/'\nthroughput = true\n";
    let file = read(text).unwrap();
    assert_eq!(file.interval, Some(Duration::from_secs(5)));
    let targets = file.targets(EVERY);
    let a = Target {
        interval: Some(Duration::from_secs(30)),
        timeout: Some(Duration::from_secs(2)),
        families: Some(Families::Only(Family::V4)),
        throughput: Some(Transfers::Never),
        echo: Some(0),
        ..Target::from(Url::parse("https://a.example/").unwrap())
    };
    assert_eq!(targets[0], a);
    assert_eq!(targets[1].throughput, Some(Transfers::Every(Duration::from_hours(1))));
    assert_eq!((targets[1].interval, targets[1].echo), (None, None), "as the others");
    assert_eq!(targets[2].throughput, Some(Transfers::Every(EVERY)));
    assert_eq!(read(""), Ok(File::default()), "nothing is said");
}

#[test]
fn what_cannot_be_used_is_named_with_its_line() {
    let target = "[[target]]\nurl = 'http://a.example/'\n";
    for (text, line, words) in [
        ("# x\nintervall = '5s'".to_owned(), 2, vec!["unknown key `intervall`", "`interval`"]),
        (
            format!("{target}ingest = 'http://b/'"),
            3,
            vec!["`ingest`", "above the first [[target]]"],
        ),
        (format!("{target}[target.http]\nx = 1"), 3, vec!["unknown key `http`"]),
        ("[[target]]\ninterval = '5s'".to_owned(), 1, vec!["missing", "`url`"]),
        ("\n\ninterval = 10".to_owned(), 3, vec!["10s"]),
        ("interval = '0s'".to_owned(), 1, vec!["1s or more"]),
        ("interval = true".to_owned(), 1, vec!["boolean", "a string or a number"]),
        ("ip = '5'".to_owned(), 1, vec!["both"]),
        ("\nresolver = 'dns.example'".to_owned(), 2, vec!["dns.example"]),
        ("echo = 101".to_owned(), 1, vec!["0 to 100"]),
        (format!("{target}{target}"), 4, vec!["http://a.example/", "already by line 2"]),
        ("[[target]]\nurl = 'ftp://a.example/'".to_owned(), 2, vec!["http or https"]),
        ("[[target]]\nurl = 'http://u:p@a.example/'".to_owned(), 2, vec!["password"]),
        ("ip = '4'\nip = '6'".to_owned(), 2, vec!["duplicate"]),
        ("interval = '5s".to_owned(), 1, vec![]),
    ] {
        let fault = read(&text).unwrap_err();
        assert_eq!(fault.line, line, "{text}: {fault:?}");
        let named = words.iter().all(|word| fault.what.contains(word));
        assert!(named && fault.what.lines().count() == 1, "{text}: {fault:?}");
    }
    let fault = read("\"\\u001b[2J\\n\" = 1").unwrap_err();
    assert!(fault.what.chars().all(|c| !c.is_control()), "{fault:?}");
    let fault = read(&format!("{} = 1", "x".repeat(10_000))).unwrap_err();
    assert!(fault.what.len() < 1_000, "{fault:?}");
    // What stands there may be a secret that strayed.
    let fault = read("token = 'qoe_secret'").unwrap_err();
    assert!(!fault.what.contains("secret"), "{fault:?}");
}

#[test]
fn there_is_a_limit_to_targets_and_bytes() {
    let many = |count: usize| -> String {
        (0..count).map(|n| format!("[[target]]\nurl = 'http://a.example/{n}'\n")).collect()
    };
    assert_eq!(read(&many(MOST_TARGETS)).unwrap().targets(EVERY).len(), 1_000);
    let fault = read(&many(MOST_TARGETS + 1)).unwrap_err();
    assert_eq!(fault.line, 2_002);
    assert!(fault.what.contains("1000 targets at most"), "{fault:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("probe.toml");
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load(&path).map_err(|error| error.to_string())
    };
    let mut long = "#".repeat(MOST_BYTES);
    assert_eq!(load(long.as_bytes()), Ok(File::default()));
    long.push('#');
    assert!(load(long.as_bytes()).unwrap_err().contains("1 MiB"));
    assert!(load(b"label = '\xff'").unwrap_err().contains("probe.toml"));
    assert!(load(b"\nx = 1").unwrap_err().contains("probe.toml:2: unknown key `x`"));
    fs::remove_file(&path).unwrap();
    let error = super::load(&path).unwrap_err().to_string();
    assert!(error.contains("probe.toml") && error.contains("No such file"), "{error}");
}
