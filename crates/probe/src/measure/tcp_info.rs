//! Asking the kernel what it knows of a TCP connection (Linux `TCP_INFO`).

use std::fs;
use std::mem::size_of;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

// The macro names both by their bare names.
use nix::{getsockopt_impl, libc, sockopt_impl};

use crate::measurement::TcpInfo;

/// The front part of the kernel's structure, as Linux 5.4 has it; later ones only add to its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(unreachable_pub, reason = "the macro below makes a public option of it")]
pub struct Raw {
    state: u8,
    ca_state: u8,
    retransmits: u8,
    probes: u8,
    backoff: u8,
    options: u8,
    wscale: u8,
    flags: u8,
    rto: u32,
    ato: u32,
    snd_mss: u32,
    rcv_mss: u32,
    unacked: u32,
    sacked: u32,
    lost: u32,
    retrans: u32,
    fackets: u32,
    last_data_sent: u32,
    last_ack_sent: u32,
    last_data_recv: u32,
    last_ack_recv: u32,
    pmtu: u32,
    rcv_ssthresh: u32,
    rtt: u32,
    rttvar: u32,
    snd_ssthresh: u32,
    snd_cwnd: u32,
    advmss: u32,
    reordering: u32,
    rcv_rtt: u32,
    rcv_space: u32,
    total_retrans: u32,
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
    bytes_received: u64,
    segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    min_rtt: u32,
    data_segs_in: u32,
    data_segs_out: u32,
    delivery_rate: u64,
    busy_time: u64,
    rwnd_limited: u64,
    sndbuf_limited: u64,
    delivered: u32,
    delivered_ce: u32,
    bytes_sent: u64,
    bytes_retrans: u64,
    dsack_dups: u32,
    reord_seen: u32,
    rcv_ooopack: u32,
    snd_wnd: u32,
}

const _: () = assert!(size_of::<Raw>() == 232, "as long as the kernel's front part");

sockopt_impl!(Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, Raw);

/// What the kernel says; `None` where it is too old to say all of it.
pub(crate) fn of(socket: &impl AsFd) -> Option<TcpInfo> {
    if !kernel_knows() {
        return None;
    }
    let raw = nix::sys::socket::getsockopt(socket, Info).ok()?;
    Some(read(&raw))
}

/// The library takes a shorter answer than it asked for as a fault of its caller, so kernels that
/// would give one are not asked.
fn kernel_knows() -> bool {
    static KNOWS: OnceLock<bool> = OnceLock::new();
    *KNOWS.get_or_init(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        is_new_enough(&release)
    })
}

fn is_new_enough(release: &str) -> bool {
    let mut parts = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().ok());
    matches!((parts.next().flatten(), parts.next().flatten()), (Some(major), Some(minor))
        if (major, minor) >= (5, 4))
}

fn read(raw: &Raw) -> TcpInfo {
    let micros = |n: u64| Duration::from_micros(n);
    // The kernel has 0, or all ones for the minimum, where it has no sample.
    let sample = |n: u32| (n != 0 && n != u32::MAX).then(|| micros(n.into()));
    TcpInfo {
        rtt: sample(raw.rtt),
        min_rtt: sample(raw.min_rtt),
        rttvar: sample(raw.rtt).and(sample(raw.rttvar)),
        retransmits: raw.total_retrans,
        out_of_order: raw.rcv_ooopack,
        delivery_rate: Some(raw.delivery_rate.saturating_mul(8)).filter(|rate| *rate > 0),
        busy: micros(raw.busy_time),
        rwnd_limited: micros(raw.rwnd_limited),
        sndbuf_limited: micros(raw.sndbuf_limited),
        bytes_acked: raw.bytes_acked,
        bytes_received: raw.bytes_received,
        bytes_sent: raw.bytes_sent,
        bytes_retransmitted: raw.bytes_retrans,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_has_round_trips_and_counts_its_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let before = of(&stream).unwrap();
        assert!(before.rtt.is_some() && before.retransmits == 0, "{before:?}");
        stream.write_all(&[7; 1000]).unwrap();
        other.read_exact(&mut [0; 1000]).unwrap();
        let after = of(&stream).unwrap();
        assert_eq!((after.bytes_sent, after.bytes_retransmitted), (1000, 0));
    }

    #[test]
    fn no_sample_is_none() {
        let none = read(&Raw { min_rtt: u32::MAX, rttvar: 250_000, ..Raw::default() });
        assert_eq!(
            (none.rtt, none.min_rtt, none.rttvar, none.delivery_rate),
            (None, None, None, None)
        );
    }

    #[test]
    fn kernels_before_5_4_are_not_asked() {
        for (release, new) in [
            ("6.1.0-13-amd64\n", true),
            ("5.4.0", true),
            ("5.3.18-lp", false),
            ("4.19", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(release), new, "{release}");
        }
    }
}
