//! Servers that are encrypted and ask who is there.

use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use server::bus::{Bus, Connect};
use tempfile::TempDir;
use testbed::servers::nats::{Nats, Options};

use crate::bus::streams;

fn start(more: String) -> Nats {
    Nats::start(&Options { sync_always: false, more, ..Options::default() }).unwrap()
}

async fn refused(connect: &Connect) -> String {
    let Err(error) = Bus::connect(connect).await else { panic!("connected") };
    error.to_string()
}

#[tokio::test]
async fn over_tls_and_with_a_password_that_is_never_shown() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let ca = file("cert.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let nats = start(format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n\
         authorization {{ user: u, password: \"s3cret\" }}",
        ca.display(),
        key.display(),
    ));
    let url = nats.url();
    let with = |password: &str| url.replace("nats://", &format!("tls://u:{password}@"));
    let connect = Connect { ca: Some(ca), ..Connect::to(with("s3cret")) };
    let bus = Bus::connect(&connect).await.unwrap();
    bus.make_streams(&streams()).await.unwrap();
    bus.check_streams().await.unwrap();

    let wrong = Connect { servers: with("wr0ng"), ..connect.clone() };
    let text = refused(&wrong).await;
    assert!(text.contains("authorization violation") && !text.contains("wr0ng"), "{text}");
    let unknown = Connect { ca: None, ..connect.clone() };
    let text = refused(&unknown).await;
    assert!(text.contains("certificate") && !text.contains("s3cret"), "{text}");
    let nobody = Connect { ca: Some(PathBuf::from("/nowhere/ca.pem")), ..connect };
    assert!(refused(&nobody).await.starts_with("read /nowhere/ca.pem: "));
}

/// A token of NATS' own kind: claims about `subject`, signed by `issuer`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: &Value) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(),
        "sub": subject.public_key(), "name": name, "nats": nats,
    });
    let text = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

#[tokio::test]
async fn with_a_file_of_credentials() {
    let (operator, account, user) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let operator_jwt = jwt(&operator, &operator, "o", &json!({"type": "operator", "version": 2}));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1,
        "consumer": -1,
    });
    let account_claims = json!({"type": "account", "version": 2, "limits": limits});
    let account_jwt = jwt(&operator, &account, "a", &account_claims);
    let system = KeyPair::new_account();
    // One that may keep no streams.
    let system_claims = json!({"type": "account", "version": 2});
    let system_jwt = jwt(&operator, &system, "SYS", &system_claims);
    let user_claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let user_jwt = jwt(&account, &user, "u", &user_claims);
    let nats = start(format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nsystem_account: {1}\n\
         resolver_preload: {{ {0}: {account_jwt}, {1}: {system_jwt} }}",
        account.public_key(),
        system.public_key(),
    ));

    let credentials = |jwt: &str, seed: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let good = credentials(&user_jwt, &user.seed().unwrap());
    let connect = Connect { credentials: Some(good.path().to_owned()), ..Connect::to(nats.url()) };
    let bus = Bus::connect(&connect).await.unwrap();
    bus.make_streams(&streams()).await.unwrap();
    bus.check_streams().await.unwrap();

    let other = KeyPair::new_user().seed().unwrap();
    let bad = credentials(&user_jwt, &other);
    let text =
        refused(&Connect { credentials: Some(bad.path().to_owned()), ..connect.clone() }).await;
    assert!(text.contains("authorization violation") && !text.contains(&other), "{text}");
    assert!(refused(&Connect { credentials: None, ..connect }).await.contains("authorization"));
}
