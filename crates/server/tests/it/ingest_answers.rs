//! The contract's table of answers, row by row: what a request as a whole is told, and that it
//! counts what was accepted and nothing else.

use std::io::Write;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;
use server::ingest::{Rate, Settings};
use server::store::{Scope, tokens};

use crate::platform::{Parts, Platform, Sent, array, bearer, wire};

const MIB: usize = 1 << 20;

/// One event of this client.
fn one(client: &str) -> Vec<u8> {
    wire(client, 0).to_string().into_bytes()
}

/// So many events of this client, as an array; short, so that many of them fit.
fn many(client: &str, n: usize) -> Vec<u8> {
    array(&vec![wire(client, 0).to_string(); n]).into_bytes()
}

/// One event, made so many bytes long by white space behind it.
fn padded(client: &str, bytes: usize) -> Vec<u8> {
    let mut body = one(client);
    body.resize(bytes, b' ');
    body
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 5);
    bytes
}

/// A row: what is sent, by which client and token, and status, code and number counted.
type Row = (&'static str, fn(&str, &str) -> Sent, u16, &'static str, u64);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // 202
    ("one event", |c, t| Sent::new(t, one(c)), 202, "", 1),
    ("an array", |c, t| Sent::new(t, array(&[wire(c, 0).to_string(), wire(c, 1).to_string()])), 202, "", 2),
    ("lines", |c, t| Sent::new(t, format!("\n{}\r\n\n{}", wire(c, 0), wire(c, 1))).ndjson(), 202, "", 2),
    ("the other name of lines", |c, t| Sent::new(t, one(c)).with("content-type", "application/ndjson"), 202, "", 1),
    ("a charset", |c, t| Sent::new(t, one(c)).with("content-type", "application/json; charset=UTF-8"), 202, "", 1),
    ("a charset of lines", |c, t| Sent::new(t, one(c)).with("content-type", "application/x-ndjson;charset=utf-8"), 202, "", 1),
    ("identity", |c, t| Sent::new(t, one(c)).with("content-encoding", "identity"), 202, "", 1),
    ("gzip", |c, t| Sent::new(t, gzip(&one(c))).with("content-encoding", "gzip"), 202, "", 1),
    ("zstd", |c, t| Sent::new(t, zstd(&one(c))).with("content-encoding", "zstd"), 202, "", 1),
    ("gzip of lines", |c, t| Sent::new(t, gzip(&[one(c), one(c)].join(&b'\n'))).ndjson().with("content-encoding", "gzip"), 202, "", 1),
    ("the header of older probes", |c, t| Sent::new(t, one(c)).without("authorization").with("x-api-token", t), 202, "", 1),
    ("a body of unknown length", |c, t| Sent::new(t, one(c)).in_pieces(), 202, "", 1),
    // 400
    ("no body", |_, t| Sent::new(t, ""), 400, "empty_body", 0),
    ("white space", |_, t| Sent::new(t, " \r\n\t"), 400, "empty_body", 0),
    ("an empty array", |_, t| Sent::new(t, "[]"), 400, "empty_body", 0),
    ("no lines", |_, t| Sent::new(t, "\n\n").ndjson(), 400, "empty_body", 0),
    ("nothing, packed", |_, t| Sent::new(t, gzip(b"")).with("content-encoding", "gzip"), 400, "empty_body", 0),
    ("not JSON", |_, t| Sent::new(t, "event"), 400, "bad_json", 0),
    ("half of it", |c, t| Sent::new(t, cut(one(c))), 400, "bad_json", 0),
    ("two bodies", |c, t| Sent::new(t, [one(c), one(c)].concat()), 400, "bad_json", 0),
    ("lines as JSON", |c, t| Sent::new(t, [one(c), one(c)].join(&b'\n')), 400, "bad_json", 0),
    ("a NUL behind", |c, t| Sent::new(t, [one(c), vec![0]].concat()), 400, "bad_json", 0),
    ("a raw control character", |c, t| Sent::new(t, one(c).replace("wifi", "wi\nfi")), 400, "bad_json", 0),
    ("no UTF-8", |c, t| Sent::new(t, one(c).replace("wifi", b"\xff")), 400, "bad_json", 0),
    ("UTF-16", |_, t| Sent::new(t, b"\xff\xfe{\0}\0"), 400, "bad_json", 0),
    ("a text", |_, t| Sent::new(t, "\"event\""), 400, "not_events", 0),
    ("null", |_, t| Sent::new(t, "null"), 400, "not_events", 0),
    ("a million brackets", |_, t| Sent::new(t, vec![b'['; 1_000_000]), 400, "bad_json", 0),
    ("gzip that is cut", |c, t| Sent::new(t, cut(gzip(&one(c)))).with("content-encoding", "gzip"), 400, "bad_encoding", 0),
    ("zstd that is cut", |c, t| Sent::new(t, cut(zstd(&one(c)))).with("content-encoding", "zstd"), 400, "bad_encoding", 0),
    ("gzip that is none", |c, t| Sent::new(t, one(c)).with("content-encoding", "gzip"), 400, "bad_encoding", 0),
    ("zstd that is gzip", |c, t| Sent::new(t, gzip(&one(c))).with("content-encoding", "zstd"), 400, "bad_encoding", 0),
    ("gzip of no bytes", |_, t| Sent::new(t, "").with("content-encoding", "gzip"), 400, "bad_encoding", 0),
    ("gzip that is not said to be", |c, t| Sent::new(t, gzip(&one(c))), 400, "bad_json", 0),
    // 401
    ("no token", |c, t| Sent::new(t, one(c)).without("authorization"), 401, "missing_token", 0),
    ("no token at all", |c, t| Sent::new(t, one(c)).with("authorization", "Bearer "), 401, "malformed_token", 0),
    ("another scheme", |c, t| Sent::new(t, one(c)).with("authorization", "Basic dXNlcjpwdw=="), 401, "malformed_token", 0),
    ("a token of another form", |c, t| Sent::new(&t[1..], one(c)), 401, "malformed_token", 0),
    ("an unknown token", |c, t| Sent::new(&format!("qoe_aaaaaaaa{}", &t[12..]), one(c)), 401, "invalid_token", 0),
    ("a known id with another secret", |c, t| Sent::new(&format!("{}{}", &t[..13], "A".repeat(43)), one(c)), 401, "invalid_token", 0),
    ("two tokens", |c, t| Sent::new(t, one(c)).and("authorization", &bearer(t)), 401, "malformed_token", 0),
    ("a token before anything else", |_, t| Sent::new(t, "x").without("authorization").without("content-type"), 401, "missing_token", 0),
    // 404, 405
    ("an unknown path", |c, t| Sent::new(t, one(c)).to(Method::POST, "/v2/events"), 404, "not_found", 0),
    ("a path and more", |c, t| Sent::new(t, one(c)).to(Method::POST, "/v1/events/"), 404, "not_found", 0),
    ("another method", |c, t| Sent::new(t, one(c)).to(Method::PUT, "/v1/events"), 405, "method_not_allowed", 0),
    ("reading", |_, t| Sent::new(t, "").to(Method::GET, "/events"), 405, "method_not_allowed", 0),
    ("deleting", |_, t| Sent::new(t, "").to(Method::DELETE, "/v1/events"), 405, "method_not_allowed", 0),
    // 413
    ("a full body", |c, t| Sent::new(t, padded(c, MIB)), 202, "", 1),
    ("a byte more", |c, t| Sent::new(t, padded(c, MIB + 1)), 413, "body_too_large", 0),
    ("a full body in pieces", |c, t| Sent::new(t, padded(c, MIB)).in_pieces(), 202, "", 1),
    ("a byte more in pieces", |c, t| Sent::new(t, padded(c, MIB + 1)).in_pieces(), 413, "body_too_large", 0),
    ("full when unpacked", |c, t| Sent::new(t, gzip(&padded(c, 8 * MIB))).with("content-encoding", "gzip"), 202, "", 1),
    ("a byte more when unpacked", |c, t| Sent::new(t, gzip(&padded(c, 8 * MIB + 1))).with("content-encoding", "gzip"), 413, "decoded_too_large", 0),
    ("full when unpacked, zstd", |c, t| Sent::new(t, zstd(&padded(c, 8 * MIB))).with("content-encoding", "zstd"), 202, "", 1),
    ("a byte more when unpacked, zstd", |c, t| Sent::new(t, zstd(&padded(c, 8 * MIB + 1))).with("content-encoding", "zstd"), 413, "decoded_too_large", 0),
    ("a bomb of gzip", |_, t| Sent::new(t, gzip(&vec![0; 64 * MIB])).with("content-encoding", "gzip"), 413, "decoded_too_large", 0),
    ("a bomb of zstd", |_, t| Sent::new(t, zstd(&vec![0; 64 * MIB])).with("content-encoding", "zstd"), 413, "decoded_too_large", 0),
    ("10,000 events", |c, t| Sent::new(t, zstd(&many(c, 10_000))).with("content-encoding", "zstd"), 202, "", 1),
    ("10,001 events", |c, t| Sent::new(t, zstd(&many(c, 10_001))).with("content-encoding", "zstd"), 413, "too_many_events", 0),
    ("10,001 lines", |c, t| Sent::new(t, zstd(&vec![one(c); 10_001].join(&b'\n'))).ndjson().with("content-encoding", "zstd"), 413, "too_many_events", 0),
    // 415
    ("no media type", |c, t| Sent::new(t, one(c)).without("content-type"), 415, "unsupported_media_type", 0),
    ("a form", |c, t| Sent::new(t, one(c)).with("content-type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type", 0),
    ("plain text", |c, t| Sent::new(t, one(c)).with("content-type", "text/plain"), 415, "unsupported_media_type", 0),
    ("another charset", |c, t| Sent::new(t, one(c)).with("content-type", "application/json; charset=latin1"), 415, "unsupported_media_type", 0),
    ("two media types", |c, t| Sent::new(t, one(c)).and("content-type", "application/json"), 415, "unsupported_media_type", 0),
    ("an unknown encoding", |c, t| Sent::new(t, one(c)).with("content-encoding", "br"), 415, "unsupported_encoding", 0),
    ("two encodings", |c, t| Sent::new(t, gzip(&zstd(&one(c)))).with("content-encoding", "zstd, gzip"), 415, "unsupported_encoding", 0),
    ("two encodings apart", |c, t| Sent::new(t, gzip(&zstd(&one(c)))).with("content-encoding", "zstd").and("content-encoding", "gzip"), 415, "unsupported_encoding", 0),
    // 422
    ("nothing good", |_, t| Sent::new(t, "[{},1]"), 422, "all_rejected", 0),
    ("no good line", |_, t| Sent::new(t, "{}\nx").ndjson(), 422, "all_rejected", 0),
];

/// Bytes with one part replaced.
trait Replace {
    fn replace(self, part: &str, by: impl AsRef<[u8]>) -> Vec<u8>;
}

impl Replace for Vec<u8> {
    fn replace(self, part: &str, by: impl AsRef<[u8]>) -> Vec<u8> {
        let at = self.windows(part.len()).position(|w| w == part.as_bytes()).unwrap();
        [&self[..at], by.as_ref(), &self[at + part.len()..]].concat()
    }
}

#[tokio::test]
async fn every_row_of_the_table_is_answered_so() {
    let platform = Platform::new();
    for (at, (name, request, status, code, counted)) in ROWS.iter().enumerate() {
        let client = format!("row-{at}");
        let token = platform.token_of(&client, Scope::Ingest);
        let answer = platform.send(request(&client, &token)).await;
        assert_eq!((answer.status, answer.code()), (*status, *code), "{name}: {answer:?}");
        assert_eq!(platform.counted(&client).await, *counted, "{name}");
        match status {
            202 => assert_eq!(answer.rejected(), [], "{name}"),
            405 => assert_eq!(answer.header("allow"), "POST", "{name}"),
            422 => assert_eq!(answer.rejected().len(), 2, "{name}"),
            _ => assert!(answer.body.get("rejected").is_none(), "{name}"),
        }
        if *code == "unsupported_encoding" {
            assert_eq!(answer.header("accept-encoding"), "gzip, zstd", "{name}");
        }
        // The connection can't go on where the rest of the body is not wanted.
        assert_eq!(answer.header("connection") == "close", *code == "body_too_large", "{name}");
    }
}

#[tokio::test]
async fn the_older_name_of_the_path_answers_alike() {
    let platform = Platform::new();
    for (at, (name, request, status, code, counted)) in ROWS.iter().enumerate() {
        let client = format!("row-{at}");
        let token = platform.token_of(&client, Scope::Ingest);
        let mut sent = request(&client, &token);
        if sent.path != "/v1/events" {
            continue;
        }
        sent.path = "/events".to_owned();
        let answer = platform.send(sent).await;
        assert_eq!((answer.status, answer.code()), (*status, *code), "{name}: {answer:?}");
        assert_eq!(platform.counted(&client).await, *counted, "{name}");
    }
}

#[tokio::test]
async fn a_mistake_in_json_is_told_by_line_and_column() {
    let platform = Platform::new();
    let good = wire("c", 0);
    let rows = [
        (format!("[{good},\n {{\"a\" 1}}]"), 2, 7),
        (format!("[{good},\n\n  1e999]"), 3, 3),
        ("x".to_owned(), 1, 1),
    ];
    for (body, line, column) in rows {
        let answer = platform.post(body.clone()).await;
        assert_eq!((answer.status, answer.code()), (400, "bad_json"), "{body}");
        assert_eq!((&answer.body["line"], &answer.body["column"]), (&line.into(), &column.into()));
    }
    assert_eq!(platform.counted("c").await, 0);
}

#[tokio::test]
async fn a_token_speaks_for_its_client_alone() {
    let platform = Platform::new();
    let token = platform.token_of("mine", Scope::Ingest);
    let event = |client: &str, n| wire(client, n).to_string();
    let foreign = |index| (index, "client_mismatch", Some("client_id"));

    let some = array(&[event("other", 0), event("mine", 1), "{}".to_owned(), event("mine ", 3)]);
    let answer = platform.send(Sent::new(&token, some)).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (202, &1.into()));
    let no_version = (2, "missing_field", Some("schema_version"));
    assert_eq!(answer.rejected(), [foreign(0), no_version, foreign(3)]);

    for body in [event("other", 4), array(&[event("other", 4), event("*", 5)])] {
        let answer = platform.send(Sent::new(&token, body)).await;
        assert_eq!((answer.status, answer.code()), (403, "client_mismatch"));
        assert_eq!(answer.rejected()[0], foreign(0));
    }
    let mixed = array(&[event("other", 6), "{}".to_owned()]);
    let answer = platform.send(Sent::new(&token, mixed)).await;
    assert_eq!((answer.status, answer.code()), (422, "all_rejected"));
    assert_eq!(answer.rejected().len(), 2);

    for (client, counted) in [("mine", 1), ("other", 0), ("*", 0), ("mine%20", 0)] {
        assert_eq!(platform.counted(client).await, counted, "{client}");
    }
}

#[tokio::test]
async fn a_scope_or_a_life_that_does_not_reach_is_told() {
    let platform = Platform::with_true_expiry();
    let tokens = platform.world.store.tokens();
    let make = |scope, life| tokens.create("c", scope, life).unwrap();
    let revoked = make(Scope::Ingest, None);
    assert!(tokens.revoke(&tokens::id_of(&revoked)).unwrap());
    let rows = [
        (make(Scope::Read, None), 403, "insufficient_scope"),
        (make(Scope::Ingest, Some(Duration::ZERO)), 401, "expired_token"),
        (revoked, 401, "revoked_token"),
        (make(Scope::Ingest, Some(Duration::from_secs(3_600))), 202, ""),
        (make(Scope::Admin, None), 202, ""),
    ];
    for (token, status, code) in rows {
        let answer = platform.send(Sent::new(&token, one("c"))).await;
        assert_eq!((answer.status, answer.code()), (status, code));
        if status != 202 {
            assert!(answer.header("www-authenticate").starts_with("Bearer error="), "{answer:?}");
        }
        // Not even a part of it comes back.
        assert!(!answer.body.to_string().contains(&token[4..12]), "{answer:?}");
    }
    assert_eq!(platform.counted("c").await, 1);
}

#[tokio::test]
async fn who_sends_too_often_is_told_when_to_come_again_and_costs_no_other() {
    let two_at_once = Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(2).unwrap() };
    let ingest = Settings { rate: two_at_once, ..Settings::default() };
    let platform = Platform::of(Parts { ingest, ..Parts::default() });
    let token = platform.token_of("eager", Scope::Ingest);
    let mut statuses = Vec::new();
    for n in 0..20 {
        let sent = Sent::new(&token, wire("eager", n).to_string());
        let answer = platform.send(sent).await;
        assert_eq!(answer.code() == "rate_limited", answer.status == 429);
        statuses.push(answer.status);
    }
    let taken = statuses.iter().filter(|&&status| status == 202).count();
    assert!(statuses.contains(&429) && taken >= 2, "{statuses:?}");
    // Said is done: what was refused is not counted.
    assert_eq!(platform.counted("eager").await, taken as u64);
    let other = platform.token_of("other", Scope::Ingest);
    assert_eq!(platform.send(Sent::new(&other, one("other"))).await.status, 202);
}
