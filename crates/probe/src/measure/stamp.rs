//! Receiving with the kernel's own time: when it took the bytes from the network, which is before
//! this program was woken up for them.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

/// Has the kernel stamp what this socket receives from now on. Where it can't, the time of the
/// reading stands.
pub(crate) fn enable(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &true);
}

/// Reads without waiting: how much, and when it came. Not before `not_before`: a wall clock that
/// was set meanwhile tells nothing, and then the time of the reading stands.
pub(crate) fn receive(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
    not_before: Instant,
) -> io::Result<(usize, Instant)> {
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let (now, wall) = (Instant::now(), SystemTime::now());
    let stamp = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
        _ => None,
    });
    let arrived = stamp
        .and_then(|at| wall.duration_since(UNIX_EPOCH + at).ok())
        .and_then(|waited| now.checked_sub(waited))
        .filter(|arrived| *arrived >= not_before);
    Ok((message.bytes, arrived.unwrap_or(now)))
}
