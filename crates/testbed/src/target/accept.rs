//! Listening sockets that can refuse, the accept loop, and the tasks that a stop ends.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::faults::Accept;
use super::switch::Slot;

/// Connections of one listener at a time; more wait in the backlog. Stalled ones count too.
const MAX_CONNECTIONS: usize = 4096;

/// Handshakes the kernel completes ahead of us; it takes less where `somaxconn` is smaller.
const BACKLOG: i32 = 4096;

/// Rest after an `accept` that failed for want of something (file descriptors, mostly).
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// The tasks of one target: all end when it stops, wherever they wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Runs `future` until it is done or the target stops.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move { shutdown.run_until_cancelled(future).await });
    }

    /// Tells every task to end, without waiting.
    pub(super) fn cancel(&self) {
        self.shutdown.cancel();
        self.tracker.close();
    }

    /// Waits until every task has ended; [`Tasks::cancel`] first.
    pub(super) async fn ended(&self) {
        self.tracker.wait().await;
    }
}

/// hyper's HTTP/2 streams are tasks of their own; they have to end with the others.
impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

/// A listening TCP socket that can be shut and opened again on the same port.
///
/// It is switched from outside the accept loop and at once: when [`Gate::refuse`] returns, the kernel
/// refuses connections.
#[derive(Debug)]
pub(super) struct Gate {
    addr: SocketAddr,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    door: Door,
    /// The accept loop, which has to look again when a door opens.
    acceptor: Option<Waker>,
}

#[derive(Debug)]
enum Door {
    Open(TcpListener),
    /// Bound and not listening: it refuses, and nobody else is given the port meanwhile.
    Shut(Option<Socket>),
    Closed,
}

impl Gate {
    /// Listens on `addr`, on the current runtime.
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let listener = listen(bound(addr)?)?;
        let addr = listener.local_addr()?;
        let state = Mutex::new(State { door: Door::Open(listener), acceptor: None });
        Ok(Self { addr, runtime: Handle::current(), state })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state().door, Door::Closed)
    }

    /// Closes the listening socket and keeps the port.
    pub(super) fn refuse(&self) {
        let mut state = self.state();
        if let Door::Open(_) = state.door {
            // The listener has to be gone before its port can be bound. Should the port be lost in
            // between it is still refused, and `listen` says what is wrong.
            drop(mem::replace(&mut state.door, Door::Shut(None)));
            state.door = Door::Shut(bound(self.addr).ok());
        }
    }

    /// Listens again after [`Gate::refuse`].
    pub(super) fn listen(&self) -> io::Result<()> {
        let mut state = self.state();
        if let Door::Shut(reserved) = &mut state.door {
            let socket = match reserved.take() {
                Some(socket) => socket,
                None => bound(self.addr)?,
            };
            let _runtime = self.runtime.enter();
            state.door = Door::Open(listen(socket)?);
            if let Some(acceptor) = state.acceptor.take() {
                acceptor.wake();
            }
        }
        Ok(())
    }

    /// Closes the socket for good.
    pub(super) fn close(&self) {
        self.state().door = Door::Closed;
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let mut state = self.state();
        let accepted = match &state.door {
            Door::Open(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| stream),
            Door::Shut(_) | Door::Closed => Poll::Pending,
        };
        // Kept while the door is open too: the waker inside a listener goes with it.
        if accepted.is_pending()
            && state.acceptor.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            state.acceptor = Some(cx.waker().clone());
        }
        accepted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections for as long as the target runs, each served by a task of its own.
pub(super) async fn run<F>(slot: Arc<Slot>, tasks: Tasks, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(gate) = slot.gate() else { return };
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let stream = match gate.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(addr = %gate.addr(), %error, "accept a connection");
                sleep(ACCEPT_REST).await;
                continue;
            }
        };
        match slot.faults().tcp.accept {
            // Refused: it had been accepted by the kernel before the port was shut.
            Accept::Reset | Accept::Refuse => reset(stream),
            Accept::Stall => tasks.spawn(async move {
                stall(stream).await;
                drop(permit);
            }),
            Accept::Ok => {
                // A probe measures the network, not Nagle's algorithm. Failing that, it is still served.
                let _ = stream.set_nodelay(true);
                let served = serve(stream);
                tasks.spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
        }
    }
}

/// With no linger time, closing sends RST in place of FIN.
fn reset(stream: TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "set no linger time");
    }
    drop(stream);
}

/// Reads until the client has had enough, and says nothing.
async fn stall(mut stream: TcpStream) {
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

fn bound(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of the last listener may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
