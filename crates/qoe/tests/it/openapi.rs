//! The document of the HTTP API as it is kept, printed and served, and the examples of docs/api.md.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::http::{get, post};
use crate::running::{Server, create_token, now_ms, qoe};

#[test]
fn the_document_is_kept_printed_and_served_alike() {
    let printed = qoe().arg("openapi").output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let how = "cargo run -p qoe -- openapi > docs/openapi.json";
    assert!(printed == kept("openapi.json"), "docs/openapi.json is of other code: {how}");

    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("data"), |_| {});
    let served = get(server.addr, "/api/openapi.json", "none").unwrap();
    assert!(served.status == 200 && served.body == printed);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
}

#[test]
fn the_examples_of_the_document_do_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start(&data, |_| {});
    let ingest = create_token(&data, "lab-1", "ingest");
    let read = create_token(&data, "me", "read");

    let text = kept("api.md");
    let examples: Vec<_> = text.split("```sh\ncurl ").skip(1).collect();
    let [send, summary, incidents] = &examples[..] else { panic!("{}", examples.len()) };
    let path = |example: &str| {
        let (_, rest) = example.split_once("http://127.0.0.1:8460").unwrap();
        rest.split(['\'', ' ']).next().unwrap().to_owned()
    };
    assert!(path(send) == "/v1/events" && send.contains("Bearer $INGEST_TOKEN"));
    let (_, body) = send.split_once("-d '").unwrap();
    let (body, _) = body.split_once("}'\n").unwrap();
    let event = body
        .replace("'$(uuidgen)'", "0198c5d2-3c1e-7a44-9d6f-6f2b1d0c4e11")
        .replace("'$(date +%s000)'", &now_ms().to_string());
    let sent = post(server.addr, &ingest, &format!("{event}}}")).unwrap();
    assert!(sent.status == 202 && sent.body.contains(r#""accepted":1"#), "{}", sent.body);

    for (example, shown) in [(summary, r#""client_id":"lab-1""#), (incidents, r#""incidents":[]"#)]
    {
        assert!(example.contains("Bearer $READ_TOKEN"));
        let answer = get(server.addr, &path(example), &read).unwrap();
        assert!(answer.status == 200 && answer.body.contains(shown), "{}", answer.body);
    }
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
}

fn kept(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}
