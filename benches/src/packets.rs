//! What a capture of the loopback holds: its packets with the instant of each, in nanoseconds.
//!
//! Reads the one format that `tcpdump --time-stamp-precision=nano -w` writes here: nanosecond
//! pcap in this machine's byte order, Ethernet frames (which loopback has too), IPv4. Any other
//! packet is passed over.

use std::time::Duration;

use anyhow::{Context as _, bail};

/// The magic of a nanosecond capture.
const MAGIC: u32 = 0xa1b2_3c4d;
const FILE_HEADER: usize = 24;
const PACKET_HEADER: usize = 16;
/// Link type: Ethernet.
const ETHERNET: u32 = 1;
const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Since the Unix epoch.
    pub(crate) at: Duration,
    /// Port it came from.
    pub(crate) from: u16,
    /// Port it went to.
    pub(crate) to: u16,
    pub(crate) kind: Kind,
}

/// What it carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Udp,
    Tcp { syn: bool, ack: bool, payload: Vec<u8> },
}

/// Reads a capture from its first packet to its last whole one.
///
/// # Errors
/// It is no capture of this format.
pub(crate) fn read(file: &[u8]) -> anyhow::Result<Vec<Packet>> {
    if word(file, 0) != Some(MAGIC) {
        bail!("not a nanosecond capture of this machine's byte order");
    }
    let link = word(file, 20).context("reading a capture's header")?;
    if link != ETHERNET {
        bail!("link type {link} in the capture, not Ethernet");
    }
    let mut packets = Vec::new();
    let mut rest = file.get(FILE_HEADER..).context("reading a capture's header")?;
    while let (Some(seconds), Some(nanos), Some(length)) =
        (word(rest, 0), word(rest, 4), word(rest, 8))
    {
        let Some(body) = rest.get(PACKET_HEADER..) else { break };
        let Some((frame, next)) = body.split_at_checked(usize::try_from(length)?) else { break };
        let at = Duration::new(seconds.into(), nanos);
        packets.extend(frame_of(at, frame));
        rest = next;
    }
    Ok(packets)
}

fn frame_of(at: Duration, frame: &[u8]) -> Option<Packet> {
    if frame.get(12..ETHERNET_HEADER)? != ETHERTYPE_IPV4 {
        return None;
    }
    let ip = &frame[ETHERNET_HEADER..];
    let header = usize::from(*ip.first()? & 0x0f) * 4;
    // What is beyond the packet's own length is padding of the frame.
    let ip = ip.get(..usize::from(short(ip, 2)?))?;
    let segment = ip.get(header..)?;
    let kind = match *ip.get(9)? {
        UDP => Kind::Udp,
        TCP => {
            let data = usize::from(*segment.get(12)? >> 4) * 4;
            let flags = *segment.get(13)?;
            let payload = segment.get(data..)?.to_vec();
            Kind::Tcp { syn: flags & 0x02 != 0, ack: flags & 0x10 != 0, payload }
        }
        _ => return None,
    };
    Some(Packet { at, from: short(segment, 0)?, to: short(segment, 2)?, kind })
}

/// A word of the file, which is in the byte order of who wrote it.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A number of the network.
fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(protocol: u8, segment: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ETHERTYPE_IPV4);
        let length = u16::try_from(20 + segment.len()).unwrap();
        let mut ip = vec![0; 20];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[9] = protocol;
        frame.extend(ip);
        frame.extend(segment);
        frame
    }

    fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut file = vec![0; FILE_HEADER];
        file[..4].copy_from_slice(&MAGIC.to_ne_bytes());
        file[20..].copy_from_slice(&ETHERNET.to_ne_bytes());
        for (i, frame) in frames.iter().enumerate() {
            let length = u32::try_from(frame.len()).unwrap();
            for word in [7, u32::try_from(i).unwrap(), length, length] {
                file.extend(word.to_ne_bytes());
            }
            file.extend(frame);
        }
        file
    }

    #[test]
    fn datagrams_and_segments_are_read() {
        let mut tcp = vec![0; 24];
        tcp[..4].copy_from_slice(&[0x01, 0xbb, 0x12, 0x34]);
        tcp[12] = 6 << 4;
        tcp[13] = 0x12;
        tcp.extend(b"hi");
        let mut padded = frame(TCP, &tcp);
        padded.extend([0; 6]);
        let udp = frame(UDP, &[0x12, 0x34, 0, 53, 0, 8, 0, 0]);
        let mut arp = udp.clone();
        arp[12..14].copy_from_slice(&[8, 6]);
        let packets = read(&capture(&[udp, arp, padded])).unwrap();
        let payload = b"hi".to_vec();
        let at = |nanos| Duration::new(7, nanos);
        assert_eq!(
            packets,
            [
                Packet { at: at(0), from: 0x1234, to: 53, kind: Kind::Udp },
                Packet {
                    at: at(2),
                    from: 443,
                    to: 0x1234,
                    kind: Kind::Tcp { syn: true, ack: true, payload }
                },
            ]
        );
    }

    #[test]
    fn what_is_cut_short_is_left_out() {
        let whole = capture(&[frame(UDP, &[0; 8]), frame(UDP, &[0; 8])]);
        for length in FILE_HEADER..whole.len() {
            assert!(read(&whole[..length]).unwrap().len() < 2, "{length}");
        }
        assert_eq!(read(&whole).unwrap().len(), 2);
        assert!(read(&whole[..3]).is_err());
        assert!(read(&capture(&[frame(UDP, &[0; 3]), frame(TCP, &[0; 5])])).unwrap().is_empty());
    }
}
