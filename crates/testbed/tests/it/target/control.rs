//! Switching faults over HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use testbed::target::{
    Accept, Certificate, DnsAnswer, DnsFault, EchoFault, FaultSet, HttpFault, Listener, Target,
    TargetConfig, TcpFault, TlsFault,
};

use super::client::{get, send};

async fn start() -> (Target, SocketAddr) {
    let target = Target::start(TargetConfig::default()).await.unwrap();
    let control = target.control_addr().unwrap();
    (target, control)
}

async fn put(control: SocketAddr, listener: &str, body: impl ToString) -> (u16, Value) {
    let got = send(control, "PUT", &format!("/faults/{listener}"), body.to_string()).await;
    (got.status.as_u16(), serde_json::from_slice(&got.body).unwrap())
}

#[tokio::test]
async fn faults_are_set_shown_and_cleared() {
    let (target, control) = start().await;
    let (status, _) = put(
        control,
        "https",
        json!({
            "tcp": {"accept": "stall"},
            "tls": {"delay_ms": 5, "certificate": "self_signed"},
            "http": {"delay_ms": 6, "delay_every": 2, "status": 503, "rate_bps": 1000, "truncate_at": 7},
        }),
    )
    .await;
    assert_eq!(status, 200);
    let https = FaultSet {
        dns: DnsFault::default(),
        tcp: TcpFault { accept: Accept::Stall },
        tls: TlsFault { delay_ms: 5, certificate: Certificate::SelfSigned },
        http: HttpFault {
            delay_ms: 6,
            delay_every: 2,
            status: Some(503),
            rate_bps: Some(1000),
            truncate_at: Some(7),
        },
        echo: EchoFault::default(),
    };
    assert_eq!(target.faults().get(Listener::Https), Some(https));

    let (status, told) = put(control, "dns", json!({"dns": {"answer": "servfail"}})).await;
    assert_eq!((status, &told["dns"]["dns"]["answer"]), (200, &json!("servfail")));
    let dns = DnsFault { answer: DnsAnswer::Servfail, ..DnsFault::default() };
    assert_eq!(target.faults().get(Listener::Dns), Some(dns.into()));

    let shown: Value = serde_json::from_slice(&get(control, "/faults").await.body).unwrap();
    assert_eq!(shown["https"]["tls"], json!({"delay_ms": 5, "certificate": "self_signed"}));
    assert_eq!(
        shown["http"]["http"],
        json!({
            "delay_ms": 0, "delay_every": 0, "status": null, "rate_bps": null, "truncate_at": null,
        })
    );

    assert_eq!(send(control, "DELETE", "/faults", "").await.status, 200);
    for listener in Listener::ALL {
        assert_eq!(target.faults().get(listener), Some(FaultSet::default()));
    }
}

#[tokio::test]
async fn errors_name_the_key() {
    let (target, control) = start().await;
    for (listener, body, status, key, text) in [
        ("http", r#"{"htp": {}}"#, 400, "htp", "unknown field `htp`"),
        ("http", r#"{"http": {"dely_ms": 1}}"#, 400, "http.dely_ms", "unknown field `dely_ms`"),
        ("http", r#"{"http": {"delay_ms": "1"}}"#, 400, "http.delay_ms", "invalid type"),
        ("http", r#"{"http": {"delay_ms": -1}}"#, 400, "http.delay_ms", "invalid value"),
        ("http", r#"{"http": {"delay_ms": 600001}}"#, 400, "http.delay_ms", "out of range"),
        ("http", r#"{"http": {"status": 199}}"#, 400, "http.status", "out of range"),
        ("http", r#"{"http": {"rate_bps": 0}}"#, 400, "http.rate_bps", "out of range"),
        (
            "https",
            r#"{"tls": {"certificate": "bad"}}"#,
            400,
            "tls.certificate",
            "unknown variant `bad`",
        ),
        ("http", r#"{"tls": {"delay_ms": 1}}"#, 400, "tls", "do not apply to the http listener"),
        ("dns", r#"{"http": {"delay_ms": 1}}"#, 400, "http", "do not apply to the dns listener"),
    ] {
        let (got, problem) = put(control, listener, body).await;
        assert_eq!((got, problem["key"].as_str()), (status, Some(key)), "{body}: {problem}");
        assert!(problem["error"].as_str().unwrap().contains(text), "{body}: {problem}");
    }
    for listener in Listener::ALL {
        assert_eq!(target.faults().get(listener), Some(FaultSet::default()), "nothing was set");
    }
}

#[tokio::test]
async fn other_errors_are_json_too() {
    let (_target, control) = start().await;
    for (method, path, body, status) in [
        ("PUT", "/faults/http", "{", 400),
        ("PUT", "/faults/http", "{} {}", 400),
        ("PUT", "/faults/http", "", 400),
        ("PUT", "/faults/http", &" ".repeat(70_000), 400),
        ("PUT", "/faults/ftp", "{}", 404),
        ("GET", "/faults/http", "", 405),
        ("POST", "/faults", "{}", 405),
        ("GET", "/", "", 404),
    ] {
        let got = send(control, method, path, body.to_owned()).await;
        assert_eq!(got.status.as_u16(), status, "{method} {path}: {}", got.text());
        assert_eq!(got.header("content-type"), Some("application/json"));
        let problem: Value = serde_json::from_slice(&got.body).unwrap();
        assert!(problem["error"].is_string() && problem.get("key").is_none(), "{problem}");
        assert_eq!(got.header("allow").is_some(), status == 405);
    }
}

#[tokio::test]
async fn listeners_that_are_not_served_are_said() {
    let config = TargetConfig { dns: None, ..TargetConfig::default() };
    let target = Target::start(config).await.unwrap();
    let control = target.control_addr().unwrap();
    let (status, problem) = put(control, "dns", "{}").await;
    assert_eq!((status, problem["error"].as_str()), (404, Some("the target does not serve dns")));
    let shown: Value = serde_json::from_slice(&get(control, "/faults").await.body).unwrap();
    assert!(shown.get("dns").is_none() && shown.get("http").is_some());
}

#[tokio::test]
async fn control_stays_on_this_machine() {
    let config = TargetConfig {
        control: Some((Ipv4Addr::UNSPECIFIED, 0).into()),
        ..TargetConfig::default()
    };
    let error = Target::start(config).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("loopback"), "{error}");
}
