//! A role of the platform as a process that is started many times.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use testbed::proxy::Proxy;
use testbed::servers::free_port;
use testbed::servers::guard::Guarded;

use crate::plan::Part;

pub(super) struct Role {
    name: String,
    args: Vec<String>,
    port: u16,
    logs: PathBuf,
    starts: u32,
    pub(super) bus: Option<Proxy>,
    pub(super) store: Proxy,
    pub(super) process: Option<Guarded>,
}

impl Role {
    pub(super) fn new(
        part: Part,
        qoe: &Path,
        args: Vec<String>,
        dir: &Path,
        bus: Option<Proxy>,
        store: Proxy,
    ) -> anyhow::Result<Self> {
        let port = free_port()?;
        let qoe = qoe.to_str().context("a program with a plain name")?;
        let mut all = vec![qoe.to_owned()];
        all.extend(args);
        // The same port each time, so that clients find it again.
        all.extend(["--listen".to_owned(), format!("127.0.0.1:{port}")]);
        Ok(Self {
            name: part.to_string(),
            args: all,
            port,
            logs: dir.to_owned(),
            starts: 0,
            bus,
            store,
            process: None,
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it with nothing of our surroundings, and with a log of its own each time.
    pub(super) fn start(&mut self, crash_at: Option<&str>) -> anyhow::Result<i32> {
        self.process = None;
        self.starts += 1;
        let log = self.logs.join(format!("{}.{}.log", self.name, self.starts));
        let crash_at = crash_at.map(|point| format!("QOE_CRASH_AT={point}"));
        let mut args = vec!["-i", "PATH=/usr/bin:/bin", "RUST_BACKTRACE=1"];
        args.extend(crash_at.as_deref());
        args.extend(self.args.iter().map(String::as_str));
        let process = Guarded::run(Path::new("env"), &args, &log)?;
        let pid = process.pid();
        self.process = Some(process);
        Ok(pid)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.process.as_ref().is_none_or(Guarded::is_gone)
    }
}
