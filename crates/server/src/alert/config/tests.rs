//! What a file of alerts can say, and what is said of one that can't be used.

use super::*;

/// Reads a text from a directory with a good secret in it.
fn read(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "0123456789abcdef\n").unwrap();
    std::fs::write(dir.path().join("short"), "abc\n").unwrap();
    std::fs::write(dir.path().join("two"), "0123456789abcdef\nmore\n").unwrap();
    std::fs::write(dir.path().join("url"), "https://hooks.example/T0/B0/xyzzy\n").unwrap();
    let path = dir.path().join("alerts.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path, Some(dir.path())).map_err(|error| {
        let error = error.to_string();
        error.replace(dir.path().to_str().unwrap(), "DIR")
    })
}

fn webhook(more: &str) -> String {
    format!(
        "[[receivers]]\nname = 'ops'\nkind = 'webhook'\nurl = 'https://x.example/'\n\
         secret_file = 'secret'\n{more}"
    )
}

#[test]
fn the_sample_file_is_understood() {
    let sample = include_str!("../../../../../config/alerts.toml");
    let dir = tempfile::tempdir().unwrap();
    let sample = sample.replace("/etc/qoe/", &format!("{}/", dir.path().display()));
    for (name, holds) in [
        ("ops.secret", "0123456789abcdef"),
        ("slack.url", "https://hooks.slack.com/services/T0/B0/x"),
        ("ntfy.token", "tk_x"),
    ] {
        std::fs::write(dir.path().join(name), holds).unwrap();
    }
    let path = dir.path().join("alerts.toml");
    std::fs::write(&path, sample).unwrap();
    let config = Config::load(&path, None).unwrap();
    let kinds: Vec<Kind> = config.receivers.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::Webhook, Kind::Slack, Kind::Alertmanager, Kind::Ntfy]);
    assert_eq!(config.maintenance.len(), 2);
    assert_eq!(config.policy, Policy { remind_every_ms: None, ..Policy::default() });
}

#[test]
fn little_is_needed() {
    let config = read(&webhook("")).unwrap();
    let [ops] = &config.receivers[..] else { panic!() };
    assert_eq!(
        (ops.name.as_str(), ops.kind, ops.min_severity),
        ("ops", Kind::Webhook, Severity::Minor)
    );
    assert_eq!((config.policy, config.maintenance.len()), (Policy::default(), 0));
    let config = read(&webhook(
        "labels = ['outage', 'dns-bound']\nscopes = ['site']\nmin_severity = 'critical'\n\
         [policy]\nopen_after = '5m'\nremind_every = '4h'\ngroup_window = '0s'",
    ))
    .unwrap();
    assert_eq!((config.policy.open_after_ms, config.policy.group_window_ms), (300_000, 0));
    assert_eq!(config.policy.remind_every_ms, Some(4 * 3_600_000));
    assert_eq!(
        config.receivers[0].labels,
        [LabelFilter::Outages, LabelFilter::One(Label::DnsBound)]
    );
}

#[test]
fn what_is_secret_is_shown_by_nothing() {
    let config = read(
        "[[receivers]]\nname = 'slack'\nkind = 'slack'\nurl_file = 'credential:url'\n\
         token_file = 'secret'",
    )
    .unwrap();
    assert_eq!(config.receivers[0].url.path(), "/T0/B0/xyzzy");
    let shown = format!("{config:?} {}", config.receivers[0].shown());
    assert!(shown.contains("https://hooks.example"), "{shown}");
    for secret in ["xyzzy", "0123456789abcdef"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_cannot_be_used_is_told_by_its_line_with_the_way_out() {
    let slack = |url: &str, more: &str| {
        format!("[[receivers]]\nname = 's'\nkind = 'slack'\nurl = '{url}'\n{more}")
    };
    let maintenance = |text: &str| webhook(&format!("[[maintenance]]\nname = 'm'\n{text}"));
    for (text, line, said) in [
        (String::new(), 1, "add [[receivers]]"),
        (
            "[policy]\nopen_afer = '1m'".to_owned(),
            2,
            "unknown key `open_afer`, expected one of `open_after`",
        ),
        (webhook("colour = 'red'"), 6, "unknown key `colour`"),
        (webhook("min_severity = 'bad'"), 6, "expected one of `info`, `minor`"),
        (webhook("labels = ['slow']"), 6, "no label \"slow\""),
        (webhook("scopes = ['town']"), 6, "none of global, target"),
        (webhook("[policy]\nopen_after = 'soon'"), 7, "write 90s, 10m or 2h"),
        (webhook("[policy]\nopen_after = '2d'"), 7, "open_after is 1day at most"),
        (webhook("[policy]\nremind_every = '1m'"), 7, "remind_every is 30m or more"),
        (
            webhook("[[receivers]]\nname = 'ops'\nkind = 'ntfy'\nurl = 'https://n.example/t'"),
            6,
            "a receiver `ops` already",
        ),
        (webhook("").replace("'ops'", "'o ps'"), 2, "name: 1 to 64"),
        (webhook("").replace("webhook", "pager"), 3, "expected one of `webhook`"),
        (webhook("").replace("'secret'", "'nowhere'"), 5, "cannot read DIR/nowhere: No such file"),
        (webhook("").replace("'secret'", "'short'"), 1, "less than 16 characters"),
        (webhook("").replace("'secret'", "'two'"), 5, "more than one line"),
        (webhook("").replace("'secret'", "'credential:a/b'"), 5, "no name of a credential"),
        (webhook("").replace("secret_file = 'secret'", ""), 1, "openssl rand -hex 32"),
        (slack("https://s.example/", "secret_file = 'secret'"), 1, "take token_file"),
        (slack("https://s.example/", "url_file = 'url'"), 1, "either url or url_file"),
        (slack("http://s.example/", ""), 4, "allow_private = true"),
        (slack("ftp://s.example/", ""), 4, "`ftp` is neither"),
        (slack("https://u:p@s.example/", ""), 4, "token_file"),
        (slack("s.example", ""), 4, "not a URL"),
        (slack("https://127.0.0.1/", ""), 4, "127.0.0.1 is this machine itself"),
        (slack("https://[::ffff:10.0.0.1]/", ""), 4, "a private address"),
        (slack("https://2130706433/", ""), 4, "127.0.0.1 is this machine itself"),
        (slack("http://169.254.169.254/", "allow_private = true"), 4, "never sent to"),
        (slack("http://[fd00:ec2::254]/", "allow_private = true"), 4, "never sent to"),
        (maintenance("from = '2026-11-28'\nuntil = '2026-11-29T00:00:00Z'"), 8, "no moment"),
        (
            maintenance("from = '2026-11-29T00:00:00Z'\nuntil = '2026-11-28T00:00:00Z'"),
            9,
            "ends before it begins",
        ),
        (maintenance("from = '02:00'"), 6, "wants from and until (once), or days"),
        (maintenance("days = ['sun']\nfrom = '25:00'\nfor = '1h'"), 9, "write 02:00"),
        (maintenance("days = ['soonday']\nfrom = '02:00'\nfor = '1h'"), 8, "is no day"),
        (maintenance("days = []\nfrom = '02:00'\nfor = '1h'"), 6, "on no day"),
        (maintenance("days = ['sun']\nfrom = '02:00'\nfor = '8d'"), 10, "for is 7days at most"),
        (
            maintenance("days = ['sun']\nfrom = '02:00'\nfor = '1h'\ntimezone = 'Mars'"),
            11,
            "Europe/Berlin",
        ),
        ("incident_url = 'qoe'".to_owned(), 1, "write https://HOST/PATH{id}"),
        ("incident_url = 'https://qoe.example/'".to_owned(), 1, "write https://HOST/PATH{id}"),
        ("[[receivers]\n".to_owned(), 1, "]"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.starts_with(&format!("DIR/alerts.toml:{line}: ")), "{text}\n{error}");
        assert!(error.contains(said), "{said}\n{error}");
        assert!(!error.contains("xyzzy") && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn credentials_are_of_systemd_and_a_file_has_a_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.toml");
    std::fs::write(&path, webhook("").replace("'secret'", "'credential:ops'")).unwrap();
    let error = Config::load(&path, None).unwrap_err().to_string();
    assert!(error.contains("LoadCredential=ops:"), "{error}");
    std::fs::write(&path, "#".repeat(2 << 20)).unwrap();
    let error = Config::load(&path, None).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
    let error = Config::load(&dir.path().join("none"), None).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the alerts from"), "{error}");
}
