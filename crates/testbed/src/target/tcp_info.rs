//! The target's own side of a connection, as its kernel sees it (Linux `TCP_INFO`): what a probe that
//! receives can't know of the sender.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use model::wire::WireTcpInfo;
// The macro names both by their bare names.
use nix::{getsockopt_impl, libc, sockopt_impl};
use serde::Serialize;

/// The front part of the kernel's structure, as Linux 5.4 has it, in words: all its numbers are of one
/// or two of them.
#[expect(unreachable_pub, reason = "the macro below makes a public option of it")]
pub type Words = [u32; 58];

sockopt_impl!(Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, Words);

/// The socket of a connection once more, to ask by while others speak over it. `None` where there was
/// no file descriptor left for that.
#[derive(Debug)]
pub(super) struct Watch(Option<OwnedFd>);

/// What is told: the event's names and units, with bytes beside them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Side {
    #[serde(flatten)]
    info: WireTcpInfo,
    out_of_order: u32,
    bytes_sent: u64,
    bytes_retrans: u64,
    bytes_received: u64,
}

impl Watch {
    pub(super) fn of(socket: &impl AsFd) -> Self {
        Self(socket.as_fd().try_clone_to_owned().ok())
    }

    /// As it is now; `None` where the kernel is too old to say all of it.
    pub(super) fn ask(&self) -> Option<Side> {
        let socket = self.0.as_ref().filter(|_| kernel_knows())?;
        nix::sys::socket::getsockopt(socket, Info).ok().map(|words| read(&words))
    }
}

/// The library takes a shorter answer than it asked for as a fault of its caller, so kernels that
/// would give one are not asked.
fn kernel_knows() -> bool {
    static KNOWS: OnceLock<bool> = OnceLock::new();
    *KNOWS.get_or_init(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut parts = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().ok());
        matches!((parts.next().flatten(), parts.next().flatten()), (Some(major), Some(minor))
            if (major, minor) >= (5, 4))
    })
}

fn read(words: &Words) -> Side {
    let long = |at: usize| {
        let [a, b, c, d] = words[at].to_ne_bytes();
        let [e, f, g, h] = words[at + 1].to_ne_bytes();
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    };
    // The kernel has 0, or all ones for the minimum, where it has no sample.
    let sample =
        |at: usize| Some(words[at]).filter(|us| *us != 0 && *us != u32::MAX).map(u64::from);
    let rtt = sample(17);
    let rate = Some(long(40)).filter(|bytes| *bytes > 0);
    Side {
        info: WireTcpInfo {
            rtt_ms: rtt.map(thousandths),
            min_rtt_ms: sample(37).map(thousandths),
            rttvar_ms: rtt.and(sample(18)).map(thousandths),
            retrans: Some(words[25]),
            delivery_rate_kbps: rate.map(|bytes| thousandths(bytes.saturating_mul(8))),
            busy_ms: Some(thousandths(long(42))),
            rwnd_limited_ms: Some(thousandths(long(44))),
            sndbuf_limited_ms: Some(thousandths(long(46))),
        },
        out_of_order: words[56],
        bytes_sent: long(50),
        bytes_retrans: long(52),
        bytes_received: long(32),
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds and rates are far below 2^53")]
fn thousandths(n: u64) -> f64 {
    n as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn both_sides_count_the_same_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        stream.write_all(&[7; 1000]).unwrap();
        other.read_exact(&mut [0; 1000]).unwrap();
        let (sender, receiver) = (Watch::of(&stream).ask(), Watch::of(&other).ask());
        let (sender, receiver) = (sender.unwrap(), receiver.unwrap());
        assert_eq!((sender.bytes_sent, sender.bytes_retrans, sender.bytes_received), (1000, 0, 0));
        assert_eq!((receiver.bytes_sent, receiver.bytes_received), (0, 1000));
        let told = serde_json::to_value(sender).unwrap();
        assert!(told["min_rtt_ms"].as_f64().unwrap() > 0.0, "{told}");
        assert!(told["rwnd_limited_ms"].is_number() && told["retrans"] == 0, "{told}");
    }

    #[test]
    fn no_sample_is_absent() {
        let mut words = [0; 58];
        (words[18], words[37]) = (250_000, u32::MAX);
        let info = read(&words).info;
        assert_eq!((info.rtt_ms, info.min_rtt_ms, info.rttvar_ms), (None, None, None));
        assert_eq!((info.delivery_rate_kbps, info.retrans), (None, Some(0)));
    }
}
