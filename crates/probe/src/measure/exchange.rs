//! Both questions to one server: over UDP from one connected socket, over TCP where the answer
//! did not fit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{self, Instant as Deadline};

use super::dns::{self, Answer};
use super::resolve::{GRACE, Tally};
use super::stamp;
use crate::family::Family;
use crate::measurement::Lookup;

/// Larger than any answer without EDNS may be; what a server sends beyond is cut off and then
/// cannot be read.
const DATAGRAM: usize = 4_096;

/// A question for each family on its way to one server. Kept over a resend, so that an answer to the first
/// sending still counts.
#[derive(Debug)]
pub(super) struct Exchange {
    server: SocketAddr,
    name: Name,
    socket: UdpSocket,
    questions: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    id: u16,
    kind: RecordType,
    bytes: Vec<u8>,
    /// When it was first sent.
    sent: Option<Instant>,
    answer: Option<(Answer, Instant)>,
}

/// What came back, the families together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) addresses: Vec<IpAddr>,
    /// When the last answer came.
    pub(super) arrived: Option<Instant>,
    pub(super) no_such_name: bool,
    pub(super) error: Option<ResponseCode>,
    pub(super) malformed: bool,
    /// Whether all were answered.
    pub(super) complete: bool,
    /// Each question apart.
    pub(super) lookups: Vec<Lookup>,
}

impl Exchange {
    /// Opens the socket and writes the queries, with ids nobody can foresee.
    pub(super) fn open(server: SocketAddr, name: &Name, families: &[Family]) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        stamp::enable(&socket);
        let question = |family: &Family| {
            let kind = match family {
                Family::V4 => RecordType::A,
                Family::V6 => RecordType::AAAA,
            };
            let id = random_id()?;
            let bytes = dns::query(id, name, kind).to_vec().map_err(io::Error::other)?;
            Ok::<_, io::Error>(Question { id, kind, bytes, sent: None, answer: None })
        };
        Ok(Self {
            server,
            name: name.clone(),
            socket: UdpSocket::from_std(socket)?,
            questions: families.iter().map(question).collect::<io::Result<_>>()?,
        })
    }

    /// Sends what is unanswered and listens until the answers suffice or time is out.
    ///
    /// # Errors
    /// The server's machine says that nobody listens, or there is no way to it.
    pub(super) async fn run(&mut self, until: Deadline, tally: &mut Tally) -> io::Result<Heard> {
        let sent = Instant::now();
        tally.asked.get_or_insert(sent);
        for question in self.questions.iter_mut().filter(|q| q.answer.is_none()) {
            question.sent.get_or_insert_with(Instant::now);
            self.socket.send(&question.bytes).await?;
        }
        let mut buffer = [0; DATAGRAM];
        let mut limit = until;
        while !self.complete() {
            let receiving = self
                .socket
                .async_io(Interest::READABLE, || stamp::receive(&self.socket, &mut buffer, sent));
            match time::timeout_at(limit, receiving).await {
                Err(_) => break,
                Ok(Err(_)) if self.found() => break,
                Ok(Err(e)) => return Err(e),
                Ok(Ok((length, arrived))) => {
                    let found = self.found();
                    self.take(&buffer[..length], arrived);
                    if !found && self.found() {
                        limit = until.min(Deadline::now() + GRACE);
                    }
                }
            }
        }
        if self.truncated() {
            // A server that can't be asked over TCP has still been heard over UDP.
            match time::timeout_at(until, self.ask_over_tcp()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(e)) => return Err(io::Error::new(e.kind(), format!("over TCP: {e}"))),
            }
        }
        Ok(self.heard())
    }

    fn take(&mut self, bytes: &[u8], arrived: Instant) {
        for question in &mut self.questions {
            if question.answer.is_none()
                && let Some(answer) = dns::answer(bytes, question.id, &self.name, question.kind)
            {
                question.answer = Some((answer, arrived));
            }
        }
    }

    async fn ask_over_tcp(&mut self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        for question in &mut self.questions {
            if matches!(question.answer, Some((Answer::Truncated, _))) {
                question.answer = None;
                let length = u16::try_from(question.bytes.len()).map_err(io::Error::other)?;
                request.extend_from_slice(&length.to_be_bytes());
                request.extend_from_slice(&question.bytes);
            }
        }
        stream.write_all(&request).await?;
        while !self.complete() {
            let length = stream.read_u16().await?;
            let mut message = vec![0; usize::from(length)];
            stream.read_exact(&mut message).await?;
            self.take(&message, Instant::now());
        }
        Ok(())
    }

    fn complete(&self) -> bool {
        self.questions.iter().all(|q| q.answer.is_some())
    }

    fn found(&self) -> bool {
        let has =
            |q: &Question| matches!(&q.answer, Some((Answer::Addresses(a), _)) if !a.is_empty());
        self.questions.iter().any(has)
    }

    fn truncated(&self) -> bool {
        self.questions.iter().any(|q| matches!(q.answer, Some((Answer::Truncated, _))))
    }

    fn heard(&self) -> Heard {
        let lookups = self.questions.iter().map(Question::told).collect();
        let mut heard = Heard { complete: self.complete(), lookups, ..Heard::default() };
        for (answer, arrived) in self.questions.iter().filter_map(|q| q.answer.as_ref()) {
            heard.arrived = heard.arrived.max(Some(*arrived));
            match answer {
                Answer::Addresses(addresses) => heard.addresses.extend(addresses),
                Answer::NoSuchName => heard.no_such_name = true,
                Answer::Error(code) => heard.error = Some(*code),
                Answer::Malformed => heard.malformed = true,
                Answer::Truncated => heard.complete = false,
            }
        }
        heard
    }
}

impl Question {
    fn told(&self) -> Lookup {
        let sent_and_answered = self.sent.zip(self.answer.as_ref());
        Lookup {
            question: if self.kind == RecordType::A { "A" } else { "AAAA" },
            time: sent_and_answered.map(|(sent, (_, at))| at.saturating_duration_since(sent)),
            rcode: self.answer.as_ref().and_then(|(answer, _)| match answer {
                Answer::Addresses(_) => Some("NOERROR".to_owned()),
                Answer::NoSuchName => Some("NXDOMAIN".to_owned()),
                Answer::Error(code) => Some(dns::code_name(*code)),
                Answer::Truncated | Answer::Malformed => None,
            }),
            addresses: match &self.answer {
                Some((Answer::Addresses(addresses), _)) => addresses.len(),
                _ => 0,
            },
        }
    }
}

fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_ne_bytes(bytes))
}
