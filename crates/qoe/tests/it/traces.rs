//! Traces, as a collector gets them over HTTP and gRPC: all of one measurement in one tree.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, mpsc};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use tonic::transport::server::TcpIncoming;

use crate::http::{get, post};
use crate::running::{Server, create_token, event, eventually, now_ms};
use crate::site::{self, Site, counted};

/// Spans that came, each with the service that sent it.
type Got = Arc<Mutex<Vec<(String, Span)>>>;

fn keep(got: &Got, request: ExportTraceServiceRequest) {
    for of in request.resource_spans {
        let attributes = of.resource.unwrap().attributes;
        let service = attributes.iter().find(|a| a.key == "service.name").unwrap();
        let service = format!("{:?}", service.value);
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        got.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
    }
}

/// OTLP over HTTP, one connection after another.
fn over_http() -> (SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, got) = (listener.local_addr().unwrap(), Got::default());
    let kept = Arc::clone(&got);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, kept) = (stream.unwrap(), Arc::clone(&kept));
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut length = 0;
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 {
                            return;
                        }
                        assert!(!line.starts_with("GET") && !line.starts_with("POST /other"));
                        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                            length = text.trim().parse().unwrap();
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    keep(&kept, ExportTraceServiceRequest::decode(&body[..]).unwrap());
                    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                                  content-length: 0\r\n\r\n";
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    (addr, got)
}

struct Collector(Got);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        keep(&self.0, request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// OTLP over gRPC.
fn over_grpc() -> (SocketAddr, Got) {
    let (send, addr) = mpsc::channel();
    let got = Got::default();
    let service = TraceServiceServer::new(Collector(Arc::clone(&got)));
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            send.send(incoming.local_addr().unwrap()).unwrap();
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.unwrap();
        });
    });
    (addr.recv().unwrap(), got)
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An event whose trace is kept, and one whose is not.
fn two_events(client: &str) -> String {
    let mut kept = event(client, now_ms());
    kept["traceparent"] = format!("00-{TRACE}-00f067aa0ba902b7-01").into();
    let mut other = event(client, now_ms());
    other["traceparent"] = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00".into();
    serde_json::json!([kept, other]).to_string()
}

/// Each span's name under its parent's, `-` at the root, when there are so many.
fn tree(got: &Got, spans: usize) -> BTreeMap<String, String> {
    eventually("the spans have come", || (got.lock().unwrap().len() >= spans).then_some(()));
    let got = got.lock().unwrap();
    assert!(got.iter().all(|(_, span)| span.trace_id == hex(TRACE)), "{got:?}");
    let name = |id: &[u8]| got.iter().find(|(_, span)| span.span_id == id).map(|(_, s)| &*s.name);
    let named = got.iter().map(|(service, span)| {
        let role = service.split("qoe-").nth(1).unwrap().split('"').next().unwrap();
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        let parent = name(&span.parent_span_id).unwrap_or("-");
        (format!("{}: {}", role, span.name), parent.to_owned())
    });
    named.collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

const MEASURED: [(&str, &str); 6] = [
    ("GET", "-"),
    ("connect", "GET"),
    ("dns", "GET"),
    ("request", "GET"),
    ("tls", "GET"),
    ("transfer", "GET"),
];

fn expected(measured_by: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let measured = MEASURED.iter().map(|(name, of)| (format!("{measured_by}: {name}"), *of));
    let more = more.iter().map(|(name, of)| ((*name).to_owned(), *of));
    measured.chain(more).map(|(name, of)| (name, of.to_owned())).collect()
}

#[test]
fn one_program_traces_from_the_probe_to_the_store() {
    let (collector, got) = over_http();
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let token = create_token(&data, "c", "ingest");
    let log = dir.path().join("log");
    let server = Server::start(&data, |command| {
        command.args(["--otlp", &format!("http://{collector}"), "-vv"]);
        command.env("QOE_LOG_FORMAT", "json");
        command.stderr(std::fs::File::create(&log).unwrap());
    });
    assert_eq!(post(server.addr, &token, &two_events("c")).unwrap().status, 202);
    let all = expected(
        "all",
        &[("all: POST /v1/events", "GET"), ("all: count events", "POST /v1/events")],
    );
    assert_eq!(tree(&got, all.len()), all);
    let got = got.lock().unwrap();
    let span =
        |name: &str| got.iter().map(|(_, span)| span).find(|span| span.name == name).unwrap();
    let root = format!("{:?}", span("GET").attributes);
    assert!(root.contains("shop.example") && root.contains("user_agent.synthetic.type"), "{root}");
    let took = |name: &str| span(name).end_time_unix_nano - span(name).start_time_unix_nano;
    assert_eq!((took("dns"), took("connect"), took("tls")), (12_000_000, 20_000_000, 40_000_000));
    assert_eq!((took("GET"), took("transfer")), (155_000_000, 3_000_000));
    let log = std::fs::read_to_string(&log).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let steps = lines.filter(|line| line["trace_id"] == TRACE && line["event_id"].is_string());
    let steps: Vec<_> = steps.map(|line| line["message"].as_str().unwrap().to_owned()).collect();
    assert!(["POST /v1/events", "count events"].iter().all(|step| steps.contains(&(*step).into())));
}

#[test]
fn a_trace_goes_over_the_bus_and_a_collector_that_is_away_delays_nothing() {
    let (collector, got) = over_grpc();
    let site = Site::ready();
    let (send, read) = (site.token("ingest"), site.token("read"));
    let role = |name: &str, otlp: &str| {
        let mut command = site.command(&[name]);
        command.args(["--listen", "127.0.0.1:0", "--otlp", otlp]);
        let role = Server::run(command);
        eventually("it is ready", || (site::ready(&role).status == 200).then_some(()));
        role
    };
    let api = site.role_at_work("api");
    let grpc = format!("grpc://{collector}");
    let (ingest, aggregator) = (role("ingest", &grpc), role("aggregator", &grpc));
    assert_eq!(post(ingest.addr, &send, &two_events("c")).unwrap().status, 202);
    eventually("both are counted", || (counted(&api, &read) == 2).then_some(()));
    let all = expected(
        "ingest",
        &[
            ("ingest: POST /v1/events", "GET"),
            ("ingest: send events", "POST /v1/events"),
            ("aggregator: process events", "send events"),
            ("aggregator: count events", "process events"),
        ],
    );
    assert_eq!(tree(&got, all.len()), all);
    drop((ingest, aggregator));

    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ingest = role("ingest", &format!("http://{gone}"));
    assert_eq!(post(ingest.addr, &send, &two_events("c")).unwrap().status, 202);
    assert_eq!(get(ingest.addr, "/-/healthy", "").unwrap().status, 200);
    site::stops(ingest, "an ingest without its collector");
}
