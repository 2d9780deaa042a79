//! One measurement from look-up to last byte, and the prober that holds what measurements share.
//!
//! The stages, in order, each on the clock of its own socket: `resolve` (our own DNS queries),
//! `connect` (TCP), `tls` (a whole handshake), `http` (one GET on that connection), then
//! `throughput` (a fixed object on a fresh connection to the same address).

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::ErrorStage;
use thiserror::Error;
use tokio::time::Instant as Deadline;
use url::Url;

use crate::echo::{self, EchoOptions};
use crate::failure::{Failure, kind};
use crate::family::{Families, Family};
use crate::load::{self, Allowance, LoadOptions, Tests};
use crate::measurement::{Measurement, TcpInfo};
use http::BodyEnd;
use resolve::Resolver;

mod certificate;
pub(crate) mod connect;
pub(crate) mod dns;
mod exchange;
pub(crate) mod http;
#[cfg(feature = "http3")]
mod http3;
pub(crate) mod open;
mod redirect;
pub(crate) mod resolve;
mod server_timing;
pub(crate) mod socket;
pub(crate) mod stamp;
mod stream;
mod system;
pub(crate) mod tcp_info;
pub(crate) mod throughput;
pub(crate) mod tls;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The resolver to ask; the system's where none is named.
    pub resolver: Option<SocketAddr>,
    /// Over which address families.
    pub families: Families,
    /// Redirects that [`Prober::measure_all`] follows; 0 for none.
    pub max_redirects: u32,
    /// Certificates (PEM) to trust beside the built-in ones.
    pub ca_file: Option<PathBuf>,
    /// Limit for the first connection, from look-up to last byte.
    pub timeout: Duration,
    /// Limit for each stage, within `timeout`.
    pub stage_timeout: Option<Duration>,
    /// Whether HTTP/2 is offered beside HTTP/1.1 on https.
    pub http2: bool,
    /// Whether https targets are measured over HTTP/3 and nothing else.
    #[cfg(feature = "http3")]
    pub http3: bool,
    /// Whether [`Prober::measure`] measures throughput.
    pub throughput: bool,
    /// Limit for the transfer of the fixed object, its connection included.
    pub throughput_timeout: Duration,
    /// Body bytes to read on the first connection; of a longer body the rest is left there.
    pub max_body: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resolver: None,
            families: Families::Happy,
            max_redirects: 0,
            ca_file: None,
            timeout: Duration::from_secs(10),
            stage_timeout: None,
            http2: true,
            #[cfg(feature = "http3")]
            http3: false,
            throughput: true,
            throughput_timeout: Duration::from_secs(30),
            max_body: 1 << 20,
        }
    }
}

/// Why a prober could not be made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The file of trusted certificates.
    #[error("cannot read certificates from {path}: {detail}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The TLS library refused its own defaults.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Measures targets. Holds no connections, so it can be shared by any number of measurements.
#[derive(Debug)]
pub struct Prober {
    options: Options,
    resolver: Resolver,
    client: tls::Client,
}

impl Prober {
    /// Reads the certificates and sets up what all measurements share.
    ///
    /// # Errors
    /// The file of certificates cannot be read or holds none.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let alpn: &[&str] = if options.http2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
        Ok(Self {
            resolver: Resolver::new(options.resolver),
            client: tls::Client::new(options.ca_file.as_deref(), alpn)?,
            options,
        })
    }

    /// Measures a target once, throughput as the options say. Never fails: what goes wrong is
    /// part of what was measured. Of two families that are both wanted this is the first.
    pub async fn measure(&self, target: &Url) -> Measurement {
        let family = self.options.families.first();
        self.measure_over(target, family, self.options.throughput, None).await
    }

    /// All that the options ask for of one target: each family, and each redirect that is followed,
    /// is a measurement of its own, and they come in the order in which they were made. Throughput is
    /// measured, where asked, where a chain of redirects ends.
    pub async fn measure_all(&self, target: &Url, throughput: bool) -> Vec<Measurement> {
        let families: &[Option<Family>] = match self.options.families {
            Families::Happy => &[None],
            Families::Only(Family::V4) => &[Some(Family::V4)],
            Families::Only(Family::V6) => &[Some(Family::V6)],
            Families::Both => &[Some(Family::V6), Some(Family::V4)],
        };
        let mut all = Vec::new();
        for family in families {
            let hops = Hops { throughput, until: None, may_follow: &|_| true };
            all.extend(self.follow(target, *family, hops).await);
        }
        // A name that lives in one family alone is whole.
        if all.iter().any(|m| !lives_elsewhere(m)) && families.len() > 1 {
            all.retain(|m| !lives_elsewhere(m));
        }
        all
    }

    /// Loads the line to where a measurement was made, moving no more than it is allowed to, and adds
    /// to the measurement what was found.
    pub async fn load(
        &self,
        m: &mut Measurement,
        tests: Tests,
        options: &LoadOptions,
        allowance: &Allowance,
    ) {
        load::run(&self.client, m, tests, options, allowance).await;
    }

    /// Sends echoes to where a measurement was made, and adds to it what came back.
    pub async fn echo(&self, m: &mut Measurement, options: &EchoOptions) {
        if let (None, Some(address)) = (&m.failure, m.remote_addr) {
            m.echoes = Some(echo::echo(address, options).await);
        }
    }

    /// A target and the redirects from it, all of them together within a limit, over the first of the
    /// families; what may not be followed ends the chain. Throughput is not measured.
    pub async fn measure_chain(
        &self,
        target: &Url,
        within: Duration,
        may_follow: &(dyn Fn(&Url) -> bool + Sync),
    ) -> Vec<Measurement> {
        let family = self.options.families.first();
        let until = Some(Deadline::now() + within);
        self.follow(target, family, Hops { throughput: false, until, may_follow }).await
    }

    async fn follow(
        &self,
        target: &Url,
        family: Option<Family>,
        Hops { throughput, until, may_follow }: Hops<'_>,
    ) -> Vec<Measurement> {
        let mut hops = vec![self.measure_over(target, family, throughput, until).await];
        while let Some(next) = redirect::next(&mut hops, self.options.max_redirects) {
            if !may_follow(&next) {
                break;
            }
            hops.push(self.measure_over(&next, family, throughput, until).await);
        }
        hops
    }

    async fn measure_over(
        &self,
        target: &Url,
        family: Option<Family>,
        throughput: bool,
        until: Option<Deadline>,
    ) -> Measurement {
        let mut m = Measurement::started(target, now_ms());
        let mut run = Run {
            prober: self,
            family,
            m: &mut m,
            start: Instant::now(),
            deadline: Deadline::now(),
            until,
            watch: None,
        };
        let outcome = run.first_connection().await;
        let start = run.start;
        drop(run);
        m.elapsed = start.elapsed();
        match outcome {
            Err(failure) => m.failure = Some(failure),
            // The one the redirect leads to has it.
            Ok(_) if self.options.max_redirects > 0 && m.location.is_some() => {}
            Ok(address) if throughput => {
                let limit = self.options.throughput_timeout;
                let done = throughput::measure(&self.client, target, address, limit).await;
                m.throughput = done.throughput;
                m.transfers.download = done.transfer;
                m.throughput_failure = done.failure;
            }
            Ok(_) => {}
        }
        m
    }
}

/// How far a chain of redirects goes.
#[derive(Clone, Copy)]
struct Hops<'a> {
    throughput: bool,
    until: Option<Deadline>,
    may_follow: &'a (dyn Fn(&Url) -> bool + Sync),
}

/// Whether the name has no address of the family that was asked for.
fn lives_elsewhere(m: &Measurement) -> bool {
    m.failure.as_ref().is_some_and(|failure| failure.kind == kind::DNS_NAME_NOT_RESOLVED)
}

/// A measurement on its way.
struct Run<'a> {
    prober: &'a Prober,
    family: Option<Family>,
    m: &'a mut Measurement,
    start: Instant,
    deadline: Deadline,
    /// Of the chain that this is a part of.
    until: Option<Deadline>,
    /// The connection's socket once more, to ask the kernel by while others speak over it.
    watch: Option<OwnedFd>,
}

impl Run<'_> {
    /// Look-up, connection, handshake, request and body. Writes down every stage that
    /// completes; the error is the failure of the one that did not.
    async fn first_connection(&mut self) -> Result<SocketAddr, Failure> {
        let target = self.m.target.clone();
        let (Some(host), Some(port)) = (target.host(), target.port_or_known_default()) else {
            let what = format!("{target} names no host");
            return Err(Failure::new(ErrorStage::Dns, kind::DNS_NAME_NOT_RESOLVED, what));
        };
        let mut plan = self.prober.resolver.plan(&host);
        if let Some(family) = self.family {
            plan = plan.limited_to(family);
        }

        self.start = Instant::now();
        let deadline = Deadline::now() + self.prober.options.timeout;
        self.deadline = self.until.map_or(deadline, |until| until.min(deadline));
        let addresses = self.resolve(plan, port).await?;
        #[cfg(feature = "http3")]
        if self.prober.options.http3 && target.scheme() == "https" {
            return self.over_quic(&target, &host, &addresses).await;
        }
        let (stream, address) = self.connect(&addresses).await?;
        let opened = self.open(&target, stream).await?;
        self.request(&target, opened).await?;
        Ok(address)
    }

    async fn resolve(
        &mut self,
        plan: resolve::Plan,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let lookup = plan.run(self.stage_deadline()).await;
        self.m.dns = lookup.time;
        self.m.dns_server = lookup.server;
        self.m.dns_retries = lookup.retries;
        self.m.lookups = lookup.asked;
        match lookup.failure {
            Some(failure) => Err(failure),
            None => Ok(connect::order(&lookup.addresses, port)),
        }
    }

    async fn connect(
        &mut self,
        addresses: &[SocketAddr],
    ) -> Result<(socket::Socket, SocketAddr), Failure> {
        let tried = connect::connect_any(addresses, self.stage_deadline()).await;
        self.m.remote_addr = tried.attempts.last().map(|attempt| attempt.address);
        self.m.attempts = tried.attempts;
        let connected = tried.outcome?;
        self.m.remote_addr = Some(connected.address);
        self.m.local_addr = connected.stream.local_addr();
        self.m.tcp = Some(connected.time);
        self.m.transport.connected = connected.info;
        self.watch = connected.stream.as_fd().try_clone_to_owned().ok();
        Ok((connected.stream, connected.address))
    }

    async fn open(
        &mut self,
        target: &Url,
        stream: socket::Socket,
    ) -> Result<open::Opened, Failure> {
        let client = &self.prober.client;
        match open::open(client, target, stream, self.stage_deadline()).await {
            Ok(mut opened) => {
                self.m.certificate = opened.certificate.take();
                if let Some(shaken) = opened.tls.take() {
                    self.m.tls = Some(shaken.time);
                    self.m.tls_local = Some(shaken.local);
                    self.m.tls_session = Some(shaken.session);
                }
                Ok(opened)
            }
            Err(refused) => {
                self.m.certificate = refused.certificate;
                Err(refused.failure)
            }
        }
    }

    async fn request(&mut self, target: &Url, opened: open::Opened) -> Result<(), Failure> {
        let answer = opened.get(target, &[], self.stage_deadline()).await?;
        self.m.transport.answered = self.ask_kernel();
        self.answered(target, &answer.head, (answer.request, answer.ttfb));
        let answered = answer.answered;
        let (progress, end) =
            answer.read_body(self.prober.options.max_body, self.stage_deadline()).await;
        let ended = Instant::now();
        self.m.transport.ended = self.ask_kernel();
        self.ended(answered, ended, progress, end)
    }

    /// The same over QUIC, where connection and handshake are one. Addresses are tried one after
    /// another, each for an equal share of the time that is left.
    #[cfg(feature = "http3")]
    async fn over_quic(
        &mut self,
        target: &Url,
        host: &url::Host<&str>,
        addresses: &[SocketAddr],
    ) -> Result<SocketAddr, Failure> {
        let client = &self.prober.client;
        let mut outcome = Err(Failure::new(ErrorStage::Tls, kind::TLS_FAILED, "no address"));
        for (nth, &address) in addresses.iter().enumerate() {
            let left = u32::try_from(addresses.len() - nth).unwrap_or(1);
            let now = Deadline::now();
            let share = self.stage_deadline().saturating_duration_since(now) / left;
            self.m.remote_addr = Some(address);
            let (shaken, certificate) = http3::shake(client, host, address, now + share).await;
            self.m.certificate = certificate;
            outcome = shaken.map(|shaken| (shaken, address));
            if outcome.is_ok() {
                break;
            }
        }
        let (shaken, address) = outcome?;
        self.m.tls = Some(shaken.time);
        self.m.tls_session = Some(shaken.session.clone());
        let mut answer = http3::get(shaken, target, self.stage_deadline()).await?;
        self.answered(target, &answer.head, (answer.request, answer.ttfb));
        let most = self.prober.options.max_body;
        let (progress, end) = answer.read_body(most, self.stage_deadline()).await;
        let ended = Instant::now();
        self.m.quic = Some(answer.path());
        self.ended(answer.answered, ended, progress, end)?;
        Ok(address)
    }

    /// The head of the response has come.
    fn answered(
        &mut self,
        target: &Url,
        head: &::http::response::Parts,
        (request, ttfb): (Duration, Duration),
    ) {
        self.m.request = Some(request);
        self.m.ttfb = Some(ttfb);
        self.m.location = redirect::location(target, head);
        let timing = head.headers.get_all("server-timing");
        self.m.server_timing =
            server_timing::parse(timing.iter().filter_map(|value| value.to_str().ok()));
        self.m.status = Some(head.status.as_u16());
        self.m.http_version = Some(match head.version {
            ::http::Version::HTTP_3 => "3",
            ::http::Version::HTTP_2 => "2",
            ::http::Version::HTTP_10 => "1.0",
            _ => "1.1",
        });
    }

    /// Its body has ended, in one way or another.
    fn ended(
        &mut self,
        answered: Instant,
        ended: Instant,
        progress: http::Progress,
        end: BodyEnd,
    ) -> Result<(), Failure> {
        self.m.body_bytes = Some(progress.bytes);
        self.m.body_complete = matches!(end, BodyEnd::Complete);
        match end {
            BodyEnd::Failed(failure) => return Err(failure),
            BodyEnd::TimedOut => {
                let what = format!("{} bytes of the body in time", progress.bytes);
                return Err(Failure::new(ErrorStage::Http, kind::BODY_TIMED_OUT, what));
            }
            BodyEnd::Complete | BodyEnd::Capped => {}
        }
        self.m.transfer = Some(ended.saturating_duration_since(answered));
        self.m.total = Some(ended.saturating_duration_since(self.start));
        let status = self.m.status.unwrap_or_default();
        if status >= 400 {
            let what = format!("status {status}");
            return Err(Failure::new(ErrorStage::Http, kind::HTTP_ERROR, what));
        }
        Ok(())
    }

    fn ask_kernel(&self) -> Option<TcpInfo> {
        self.watch.as_ref().and_then(tcp_info::of)
    }

    /// When the stage that begins now must have ended.
    fn stage_deadline(&self) -> Deadline {
        match self.prober.options.stage_timeout {
            Some(limit) => self.deadline.min(Deadline::now() + limit),
            None => self.deadline,
        }
    }
}

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
