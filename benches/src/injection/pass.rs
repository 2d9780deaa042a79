//! A way between network namespaces that is not the link: connections are passed on through sockets in
//! the file system, which no namespace divides. So what probes hand in is not slowed by what they
//! measure, and the bench reaches servers that listen on a loopback elsewhere.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::probing::process::one_thread;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A socket's path or an address, to listen at
    from: PathBuf,
    /// The other of them, to pass on to
    to: PathBuf,
}

/// Passes connections on, until it is killed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (from, to) = (args.from.clone(), args.to.clone());
    let address = |path: &Path| path.to_str().unwrap_or_default().to_owned();
    one_thread()?.block_on(async {
        if from.is_absolute() {
            let listener = UnixListener::bind(&from).context("listening at a path")?;
            loop {
                let (mut here, _) = listener.accept().await.context("accepting")?;
                let to = address(&to);
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut here, &mut there).await
                });
            }
        }
        let listener = TcpListener::bind(address(&from)).await.context("listening")?;
        loop {
            let (mut here, _) = listener.accept().await.context("accepting")?;
            let to = to.clone();
            tokio::spawn(async move {
                let mut there = tokio::net::UnixStream::connect(to).await?;
                copy_bidirectional(&mut here, &mut there).await
            });
        }
    })
}

/// One request through such a socket: the JSON that is answered.
pub(super) fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    more: &Ask<'_>,
) -> anyhow::Result<Value> {
    const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));
    let told = || format!("{method} {path}");
    let mut stream = UnixStream::connect(socket).with_context(told)?;
    stream.set_read_timeout(PATIENCE)?;
    stream.set_write_timeout(PATIENCE)?;
    let Ask { token, body } = more;
    let auth = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    // HTTP/1.0 is answered whole, and the end is the end.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\n{auth}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).with_context(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(told)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").with_context(|| format!("{}: no answer", told()))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    anyhow::ensure!(status == "200", "{}: {status}: {}", told(), body.trim());
    serde_json::from_str(body).with_context(|| format!("{}: reading the answer", told()))
}

/// What a request has beside its path.
#[derive(Debug, Default)]
pub(super) struct Ask<'a> {
    pub(super) token: Option<&'a str>,
    pub(super) body: &'a str,
}
