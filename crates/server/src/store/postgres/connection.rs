//! A connection, and waiting for its answers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{self, Future};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Socket, Statement};

use super::{Failure, Settings};
use crate::store::StoreError;

/// How long a server may take to let us in.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long one answer is waited for. The server gives statements up before that (see
/// [`Purpose::session`]); this is for one that does not answer at all.
const PATIENCE: Duration = Duration::from_secs(40);
/// The same for migrations, which may rewrite a table.
const MIGRATION_PATIENCE: Duration = Duration::from_secs(3_600);

/// When a line that is silent is asked whether it is still there. Also of the server: who held a
/// lock and has lost power must not hold it for hours.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Statements that are sent before the first answer is waited for.
const TOGETHER: usize = 256;

/// The oldest server whose SQL will do, as `server_version_num` has it.
pub(crate) const OLDEST: i32 = 150_000;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Transactions that count, and chores.
    Write,
    /// Questions.
    Read,
    /// Migrations.
    Migrate,
}

/// A value for a place of a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);
/// Values for the places of a statement.
pub(super) type Values<'a> = [Value<'a>];

/// A connection with the statements it has prepared.
pub(super) struct Connection {
    pub(super) client: Client,
    statements: RefCell<HashMap<&'static str, Statement>>,
    patience: Duration,
}

/// Drives sockets and timers of every connection. Never ended: a runtime that is dropped where
/// async code runs panics.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("postgres")
        .enable_all()
        .build()
        .expect("a thread can be started")
});

impl Purpose {
    /// Plans of a writer must not depend on when statistics were taken: a plan that was made for an
    /// empty table is kept when it has grown. Those of a reader depend on what was asked.
    fn session(self) -> &'static str {
        match self {
            Self::Write => {
                "SET statement_timeout = '30s'; SET lock_timeout = '10s';
                 SET idle_in_transaction_session_timeout = '30s'; SET jit = off;
                 SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
            }
            Self::Read => {
                "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s';
                 SET jit = off; SET plan_cache_mode = force_custom_plan;
                 SET default_transaction_read_only = on"
            }
            Self::Migrate => "SET statement_timeout = 0; SET lock_timeout = '10s'",
        }
    }

    fn patience(self) -> Duration {
        match self {
            Self::Write | Self::Read => PATIENCE,
            Self::Migrate => MIGRATION_PATIENCE,
        }
    }
}

impl Connection {
    /// Connects, and refuses a server that would lose what it commits.
    pub(super) fn open(settings: &Settings, purpose: Purpose) -> Result<Self, StoreError> {
        let refused =
            |source| StoreError::Reach { at: settings.to_string(), source: Box::new(source) };
        let client = connect(settings).map_err(refused)?;
        let statements = RefCell::default();
        let conn = Self { client, statements, patience: purpose.patience() };
        let keepalive = format!(
            "SET tcp_keepalives_idle = {}; SET tcp_keepalives_interval = 5;
             SET tcp_keepalives_count = 3",
            KEEPALIVE.as_secs()
        );
        for session in [purpose.session(), &keepalive] {
            conn.batch(session).map_err(refused)?;
        }
        if purpose != Purpose::Read {
            conn.require_durable(settings)?;
        }
        Ok(conn)
    }

    fn require_durable(&self, settings: &Settings) -> Result<(), StoreError> {
        let failed = StoreError::postgres;
        let doing = "read the server's settings";
        let row = self
            .query_one(
                "SELECT current_setting('server_version_num')::integer,
                     current_setting('fsync'), current_setting('synchronous_commit')",
                &[],
            )
            .map_err(failed(doing))?;
        let version: i32 = row.get(0);
        if version < OLDEST {
            return Err(StoreError::ServerTooOld {
                found: version / 10_000,
                needed: OLDEST / 10_000,
            });
        }
        let (fsync, synchronous): (String, String) = (row.get(1), row.get(2));
        if settings.accepts_data_loss() {
            return Ok(());
        }
        if fsync != "on" {
            return Err(StoreError::ServerNotDurable { setting: "fsync", value: fsync });
        }
        if synchronous == "off" {
            // Ours to decide for a session, and what is answered 202 rests on it.
            self.batch("SET synchronous_commit = on").map_err(failed(doing))?;
        }
        Ok(())
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The statement, prepared once a connection.
    pub(super) fn prepare(&self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.wait(self.client.prepare(sql))?;
        self.statements.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Runs a statement and gives its rows.
    pub(super) fn query(
        &self,
        sql: &'static str,
        values: &Values<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.prepare(sql)?;
        self.wait(self.client.query(&statement, values))
    }

    /// Runs a statement that always gives one row.
    pub(super) fn query_one(&self, sql: &'static str, values: &Values<'_>) -> Result<Row, Failure> {
        let statement = self.prepare(sql)?;
        self.wait(self.client.query_one(&statement, values))
    }

    /// Runs a statement and says how many rows it changed.
    pub(super) fn execute(&self, sql: &'static str, values: &Values<'_>) -> Result<u64, Failure> {
        let statement = self.prepare(sql)?;
        self.wait(self.client.execute(&statement, values))
    }

    /// Runs a statement for each row of values, in order, and says how many rows each changed.
    /// What is asked is sent together.
    pub(super) fn execute_each(
        &self,
        sql: &'static str,
        rows: &[Vec<Value<'_>>],
    ) -> Result<Vec<u64>, Failure> {
        let statement = self.prepare(sql)?;
        let mut changed = Vec::with_capacity(rows.len());
        for rows in rows.chunks(TOGETHER) {
            let ask = |values| Box::pin(self.client.execute(&statement, values));
            changed.extend(self.wait(in_order(rows.iter().map(|row| ask(row)).collect()))?);
        }
        Ok(changed)
    }

    /// Runs statements without values.
    pub(super) fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Runs `work` in a transaction. Where it fails the connection must not be used again, so
    /// that the server takes back what was done.
    pub(super) fn transaction<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.batch("BEGIN").map_err(StoreError::postgres(doing))?;
        let done = work(self)?;
        self.batch("COMMIT").map_err(StoreError::postgres(doing))?;
        Ok(done)
    }

    /// Waits for an answer; what was asked together is sent together.
    pub(super) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        block(answer, self.patience).ok_or(Failure::TimedOut(self.patience))?.map_err(Failure::from)
    }
}

fn connect(settings: &Settings) -> Result<Client, Failure> {
    match settings.tls() {
        Some(tls) => connect_with(settings, tls.clone()),
        None => connect_with(settings, NoTls),
    }
}

fn connect_with<T>(settings: &Settings, tls: T) -> Result<Client, Failure>
where
    T: MakeTlsConnect<Socket> + Send + 'static,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as tokio_postgres::tls::TlsConnect<Socket>>::Future: Send,
{
    let mut config = settings.config().clone();
    config.keepalives_idle(KEEPALIVE);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_PATIENCE);
    }
    let (tell, told) = mpsc::sync_channel(1);
    RUNTIME.spawn(async move {
        // Its own bound is for the socket alone; a server that is stopped lets one in and is silent.
        let connecting = tokio::time::timeout(CONNECT_PATIENCE, config.connect(tls));
        let (client, connection) = match connecting.await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return drop(tell.send(Err(Failure::from(error)))),
            Err(_) => return drop(tell.send(Err(Failure::TimedOut(CONNECT_PATIENCE)))),
        };
        let _ = tell.send(Ok(client));
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    });
    told.recv().unwrap_or(Err(Failure::TimedOut(CONNECT_PATIENCE)))
}

/// Waits for several answers that are asked for in this order.
async fn in_order<F>(mut asked: Vec<F>) -> Result<Vec<u64>, tokio_postgres::Error>
where
    F: Future<Output = Result<u64, tokio_postgres::Error>> + Unpin,
{
    let mut answers = vec![None; asked.len()];
    future::poll_fn(|context| {
        let mut pending = false;
        for (answer, asked) in answers.iter_mut().zip(&mut asked).filter(|(a, _)| a.is_none()) {
            match Pin::new(asked).poll(context) {
                Poll::Ready(Ok(changed)) => *answer = Some(changed),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // One is asked for when it is first polled, so the rest are too.
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Blocks this thread until the future is done; `None` when that takes too long. Unlike a
/// runtime's own it may be called where async code runs.
pub(super) fn block<F: Future>(future: F, patience: Duration) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let until = Instant::now() + patience;
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        match until.checked_duration_since(Instant::now()) {
            Some(left) => thread::park_timeout(left),
            None => return None,
        }
    }
}
