//! Measuring for modules other than HTTP: a look-up, then a connection, a query or an echo request.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use model::ErrorStage;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UdpSocket;
use tokio::time::{self, Instant as Deadline};

use super::others::{Answer, Asked, Kind, Outcome, Pinged};
use super::place::Place;
use crate::echo;
use crate::failure::{Failure, kind, of_io};
use crate::measure::resolve::Resolver;
use crate::measure::tls::Client;
use crate::measure::{SetupError, connect, now_ms, stamp};
use crate::{Family, Measurement};

/// What is asked of a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ask {
    /// A connection, and a handshake on it.
    Tcp { tls: bool },
    /// A query, by datagram or on a connection.
    Dns { question: Question, tcp: bool },
    /// An ICMP echo request.
    Icmp,
}

/// A question to a name server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: RecordType,
}

/// What all these measurements share.
pub(super) struct Tools {
    resolver: Resolver,
    client: Client,
}

/// Larger than a datagram without EDNS may be.
const DATAGRAM: usize = 4_096;

const DNS_PORT: u16 = 53;

impl Tools {
    pub(super) fn new(
        resolver: Option<SocketAddr>,
        ca_file: Option<&Path>,
    ) -> Result<Self, SetupError> {
        // What a port speaks is not known: no protocol is offered.
        Ok(Self { resolver: Resolver::new(resolver), client: Client::new(ca_file, &[])? })
    }

    /// Never fails: what goes wrong is part of what was measured.
    pub(super) async fn measure(
        &self,
        place: &Place,
        ask: &Ask,
        family: Option<Family>,
        within: Duration,
    ) -> Outcome {
        let deadline = Deadline::now() + within;
        let scheme = match ask {
            Ask::Tcp { tls: false } => "tcp",
            Ask::Tcp { tls: true } => "tls",
            Ask::Dns { .. } => "dns",
            Ask::Icmp => "icmp",
        };
        let mut m = Measurement::started(&place.url(scheme), now_ms());
        let start = Instant::now();
        let mut kind = match ask {
            Ask::Tcp { .. } => Kind::Tcp,
            Ask::Dns { .. } => Kind::Dns(Asked::default()),
            Ask::Icmp => Kind::Icmp(Pinged::default()),
        };
        let done = self.ask(place, ask, family, (&mut m, &mut kind), deadline).await;
        m.failure = done.err();
        m.elapsed = start.elapsed();
        Outcome { m, kind }
    }

    async fn ask(
        &self,
        place: &Place,
        ask: &Ask,
        family: Option<Family>,
        (m, kind): (&mut Measurement, &mut Kind),
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let addresses = self.look_up(place, family, m, deadline).await?;
        let Some(&first) = addresses.first() else {
            let what = format!("{place} has no address");
            return Err(Failure::new(ErrorStage::Dns, kind::DNS_NAME_NOT_RESOLVED, what));
        };
        match (ask, kind) {
            (Ask::Dns { question, tcp }, Kind::Dns(asked)) => {
                m.remote_addr = Some(first);
                match tcp {
                    false => over_udp(first, question, asked, deadline).await,
                    true => over_tcp(first, question, asked, deadline).await,
                }
            }
            (Ask::Icmp, Kind::Icmp(pinged)) => {
                m.remote_addr = Some(first);
                *pinged = ping(first, deadline).await;
                Ok(())
            }
            (Ask::Tcp { tls }, _) => self.connect(place, &addresses, *tls, m, deadline).await,
            // The kind was made for what is asked.
            _ => Ok(()),
        }
    }

    async fn look_up(
        &self,
        place: &Place,
        family: Option<Family>,
        m: &mut Measurement,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let mut plan = self.resolver.plan(&place.host());
        if let Some(family) = family {
            plan = plan.limited_to(family);
        }
        let found = plan.run(deadline).await;
        (m.dns, m.dns_server, m.dns_retries) = (found.time, found.server, found.retries);
        m.lookups = found.asked;
        match found.failure {
            Some(failure) => Err(failure),
            None => Ok(connect::order(&found.addresses, place.port.unwrap_or(DNS_PORT))),
        }
    }

    async fn connect(
        &self,
        place: &Place,
        addresses: &[SocketAddr],
        tls: bool,
        m: &mut Measurement,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let tried = connect::connect_any(addresses, deadline).await;
        m.remote_addr = tried.attempts.last().map(|attempt| attempt.address);
        m.attempts = tried.attempts;
        let connected = tried.outcome?;
        m.remote_addr = Some(connected.address);
        m.local_addr = connected.stream.local_addr();
        (m.tcp, m.transport.connected) = (Some(connected.time), connected.info);
        if !tls {
            return Ok(());
        }
        match self.client.handshake(connected.stream, &place.host(), deadline).await {
            Ok(shaken) => {
                (m.tls, m.tls_local) = (Some(shaken.time), Some(shaken.local));
                (m.tls_session, m.certificate) = (Some(shaken.session), shaken.certificate);
                Ok(())
            }
            Err(refused) => {
                m.certificate = refused.certificate;
                Err(refused.failure)
            }
        }
    }
}

async fn ping(address: SocketAddr, deadline: Deadline) -> Pinged {
    let patience = deadline.saturating_duration_since(Deadline::now());
    match echo::ping(address.ip(), patience).await {
        Ok(ping) => Pinged {
            setup: Some(ping.setup),
            round_trip: ping.round_trip,
            failure: match ping.round_trip {
                Some(_) => None,
                None => Some(("icmp.timed_out", "nothing came back in time".to_owned())),
            },
        },
        Err(why) => Pinged { failure: Some(("icmp.not_allowed", why)), ..Pinged::default() },
    }
}

async fn over_udp(
    server: SocketAddr,
    question: &Question,
    asked: &mut Asked,
    deadline: Deadline,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("ask {server}: {error}");
        Failure::new(ErrorStage::Dns, kind::DNS_UNREACHABLE, what)
    };
    let (id, query) = question.query()?;
    let start = Instant::now();
    let socket = open(server).map_err(failed)?;
    let sent = Instant::now();
    asked.connect = Some(sent - start);
    socket.send(&query).await.map_err(failed)?;
    let mut buffer = [0; DATAGRAM];
    let answer = async {
        loop {
            let received = socket
                .async_io(Interest::READABLE, || stamp::receive(&socket, &mut buffer, sent))
                .await
                .map_err(failed)?;
            // What answers another question is nobody's.
            if let Some(answer) = question.answer(&buffer[..received.0], id) {
                return Ok((answer, received.1));
            }
        }
    };
    let (answer, came) = in_time(server, deadline, answer).await?;
    asked.request = Some(came.saturating_duration_since(sent));
    judge(&answer, asked)
}

async fn over_tcp(
    server: SocketAddr,
    question: &Question,
    asked: &mut Asked,
    deadline: Deadline,
) -> Result<(), Failure> {
    let (id, query) = question.query()?;
    let connected = connect::connect(server, deadline).await?;
    asked.connect = Some(connected.time);
    let mut stream = connected.stream;
    let failed = |error: std::io::Error| of_io(ErrorStage::Dns, &error, "ask the name server");
    let length = u16::try_from(query.len()).map_err(|e| failed(std::io::Error::other(e)))?;
    let exchange = async {
        stream
            .write_all(&[&length.to_be_bytes(), query.as_slice()].concat())
            .await
            .map_err(failed)?;
        let length = stream.read_u16().await.map_err(failed)?;
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await.map_err(failed)?;
        Ok(message)
    };
    let message = in_time(server, deadline, exchange).await?;
    let log = stream.log();
    let (sent, came) = (log.last_write().map(|(before, _)| before), log.last_arrival());
    asked.request = sent.zip(came).map(|(sent, came)| came.saturating_duration_since(sent));
    let answer = question.answer(&message, id).ok_or_else(|| {
        let what = format!("{server} answered another question");
        Failure::new(ErrorStage::Dns, kind::DNS_FAILED, what)
    })?;
    judge(&answer, asked)
}

async fn in_time<T>(
    server: SocketAddr,
    deadline: Deadline,
    asking: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = || {
        let what = format!("no answer from {server}");
        Failure::new(ErrorStage::Dns, kind::DNS_TIMEOUT, what)
    };
    time::timeout_at(deadline, asking).await.unwrap_or_else(|_| Err(late()))
}

fn open(server: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    stamp::enable(&socket);
    UdpSocket::from_std(socket)
}

/// Writes down what was said. Anything but NOERROR is a failure, and is counted all the same.
fn judge(message: &Message, asked: &mut Asked) -> Result<(), Failure> {
    let serial = message.answers.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    });
    asked.answer = Some(Answer {
        answers: message.answers.len(),
        authorities: message.authorities.len(),
        // The codec takes this one out of its section.
        additionals: message.additionals.len() + usize::from(message.edns.is_some()),
        serial,
    });
    let kind = match message.metadata.response_code {
        ResponseCode::NoError => return Ok(()),
        ResponseCode::NXDomain => kind::DNS_NXDOMAIN,
        ResponseCode::ServFail => kind::DNS_SERVFAIL,
        _ => kind::DNS_FAILED,
    };
    let what = format!("the server answered {}", message.metadata.response_code);
    Err(Failure::new(ErrorStage::Dns, kind, what))
}

impl Question {
    /// An id that nobody can foresee, and the query.
    fn query(&self) -> Result<(u16, Vec<u8>), Failure> {
        let id = rand::random();
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.kind));
        let bytes = message.to_vec().map_err(|error| {
            Failure::new(ErrorStage::Dns, kind::DNS_FAILED, format!("write the query: {error}"))
        })?;
        Ok((id, bytes))
    }

    /// A message that answers it.
    fn answer(&self, bytes: &[u8], id: u16) -> Option<Message> {
        let message = Message::from_vec(bytes).ok()?;
        let ours = message.metadata.id == id
            && message.metadata.message_type == MessageType::Response
            && message.metadata.op_code == OpCode::Query;
        let asked = |q: &Query| {
            q.query_type == self.kind
                && q.query_class == DNSClass::IN
                && q.name.eq_ignore_root(&self.name)
        };
        let same = match message.queries.as_slice() {
            [question] => asked(question),
            // Servers that can't read a query answer without repeating it.
            [] => message.metadata.response_code == ResponseCode::FormErr,
            _ => false,
        };
        (ours && same).then_some(message)
    }
}
