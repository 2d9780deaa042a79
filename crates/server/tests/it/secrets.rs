//! Nothing of a token and nothing of a body reaches the log, whatever goes wrong and however
//! much is logged.

use std::fmt::{Debug, Write};
use std::sync::Mutex;

use server::store::{Scope, schema};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::ingest_bodies::{PATIENT, start};
use crate::platform::wire;
use crate::raw_http::Raw;

/// All that was logged, of every test in this process.
static LOGGED: Mutex<String> = Mutex::new(String::new());

/// Hears everything, down to the traces of the libraries.
struct Everything;

struct Text;

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut logged = LOGGED.lock().unwrap();
        writeln!(logged, "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut Text);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Text);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Text);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn neither_token_nor_body_is_logged() {
    tracing::subscriber::set_global_default(Everything).unwrap();
    let served = start(PATIENT).await;
    let tokens = [
        served.platform.token.clone(),
        served.platform.token_of("other", Scope::Ingest),
        served.platform.token_of("other", Scope::Read),
        format!("qoe_secretid_{}", "secret".repeat(8)),
        format!("qoe_aaaaaaaa_{}s", "secret".repeat(7)),
    ];
    let mut event = wire("client-in-body", 0);
    event["network_context"]["user_label"] = "label-in-body".into();
    let good = event.to_string();
    let bad = good.replace("\"1.0\"", "\"version-in-body\"");
    let cut = &good[..good.len() - 1];
    let mut statuses = Vec::new();
    for round in 0..2 {
        for token in &tokens {
            for body in [good.as_str(), &bad, cut, "\"text-in-body\""] {
                let mut raw = Raw::connect(served.addr).await;
                let length = body.len();
                raw.send(format!(
                    "POST /v1/events?token={token} HTTP/1.1\r\nHost: t\r\n\
                     Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n\
                     Content-Length: {length}\r\n\r\n{body}"
                ))
                .await;
                statuses.push(raw.reply().await.status);
            }
        }
        if round == 0 {
            // And again where nothing can be stored.
            schema::down(&served.platform.world.dir(), 0).unwrap();
        }
    }
    for status in [202, 400, 401, 403, 422, 503] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
    let logged = LOGGED.lock().unwrap().clone();
    for expected in ["refused", "events not taken", "a transaction failed", "can't look a token up"]
    {
        assert!(logged.contains(expected), "not heard: {expected}");
    }
    let secrets = tokens.iter().map(|token| &token[13..]);
    for secret in secrets.chain(["in-body", "secretsecret"]) {
        let line = logged.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
