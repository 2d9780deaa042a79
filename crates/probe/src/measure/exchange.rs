//! Both questions to one server: over UDP from one connected socket, over TCP where the answer
//! did not fit.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{self, Instant as Deadline};

use super::dns::{self, Answer};
use super::resolve::{GRACE, Tally};

/// Larger than any answer without EDNS may be; what a server sends beyond is cut off and then
/// cannot be read.
const DATAGRAM: usize = 4_096;

/// Two questions on their way to one server. Kept over a resend, so that an answer to the first
/// sending still counts.
#[derive(Debug)]
pub(super) struct Exchange {
    server: SocketAddr,
    name: Name,
    socket: UdpSocket,
    questions: [Question; 2],
}

#[derive(Debug)]
struct Question {
    id: u16,
    kind: RecordType,
    bytes: Vec<u8>,
    answer: Option<(Answer, Instant)>,
}

/// What came back, both families together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) addresses: Vec<IpAddr>,
    /// When the last answer came.
    pub(super) arrived: Option<Instant>,
    pub(super) no_such_name: bool,
    pub(super) error: Option<ResponseCode>,
    pub(super) malformed: bool,
    /// Whether both were answered.
    pub(super) complete: bool,
}

impl Exchange {
    /// Opens the socket and writes the queries, with ids nobody can foresee.
    pub(super) fn open(server: SocketAddr, name: &Name) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        // Where the kernel can't stamp, the time of the reading stands.
        let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        let question = |kind| {
            let id = random_id()?;
            let bytes = dns::query(id, name, kind).to_vec().map_err(io::Error::other)?;
            Ok::<_, io::Error>(Question { id, kind, bytes, answer: None })
        };
        Ok(Self {
            server,
            name: name.clone(),
            socket: UdpSocket::from_std(socket)?,
            questions: [question(RecordType::A)?, question(RecordType::AAAA)?],
        })
    }

    /// Sends what is unanswered and listens until the answers suffice or time is out.
    ///
    /// # Errors
    /// The server's machine says that nobody listens, or there is no way to it.
    pub(super) async fn run(&mut self, until: Deadline, tally: &mut Tally) -> io::Result<Heard> {
        let sent = Instant::now();
        tally.asked.get_or_insert(sent);
        for question in self.questions.iter().filter(|q| q.answer.is_none()) {
            self.socket.send(&question.bytes).await?;
        }
        let mut buffer = [0; DATAGRAM];
        let mut limit = until;
        while !self.complete() {
            let receiving = self
                .socket
                .async_io(Interest::READABLE, || receive(&self.socket, &mut buffer, sent));
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
        let mut heard = Heard { complete: self.complete(), ..Heard::default() };
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

fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(u16::from_ne_bytes(bytes))
}

/// Reads one datagram and when the kernel took it from the network, which is before this
/// program was woken up for it.
fn receive(socket: &UdpSocket, buffer: &mut [u8], sent: Instant) -> io::Result<(usize, Instant)> {
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let (now, wall) = (Instant::now(), SystemTime::now());
    let stamp = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
        _ => None,
    });
    let waited = stamp
        .and_then(|at| wall.duration_since(UNIX_EPOCH + at).ok())
        .and_then(|waited| now.checked_sub(waited))
        // A wall clock that was set meanwhile tells nothing.
        .filter(|arrived| *arrived >= sent);
    Ok((message.bytes, waited.unwrap_or(now)))
}
