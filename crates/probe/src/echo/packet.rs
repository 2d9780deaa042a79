//! Packets to be sent back, and which of what comes are ours. Pure.

/// How a packet looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Datagram,
    /// Of a socket that sees all of ICMP: the checksum is ours to make, and IPv4 comes with its header.
    Icmp {
        six: bool,
        raw: bool,
    },
}

const REQUEST: [u8; 2] = [8, 128];
const REPLY: [u8; 2] = [0, 129];
const ICMP_HEADER: usize = 8;
const CONTENT: usize = 10;

/// How a datagram begins: our test target answers nothing else, and turns the mark in its answer, so
/// that two such servers never answer each other. Others send back what came.
const DATAGRAM: &[u8] = b"qoe?";
const TURNED: &[u8] = b"qoe!";

/// The packet of this number.
pub(super) fn write(kind: Kind, number: u16, nonce: u64) -> Vec<u8> {
    let mut content = nonce.to_be_bytes().to_vec();
    content.extend(number.to_be_bytes());
    let Kind::Icmp { six, .. } = kind else { return [DATAGRAM, &content].concat() };
    let [id_high, id_low, ..] = nonce.to_be_bytes();
    let [high, low] = number.to_be_bytes();
    let mut packet = vec![REQUEST[usize::from(six)], 0, 0, 0, id_high, id_low, high, low];
    packet.extend(content);
    // The kernel makes that of IPv6, for its header is in it.
    if !six {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// The number of an answer to a packet of this nonce; `None`: it is none.
pub(super) fn read(kind: Kind, bytes: &[u8], nonce: u64) -> Option<u16> {
    let content = match kind {
        Kind::Datagram => bytes.strip_prefix(TURNED).or_else(|| bytes.strip_prefix(DATAGRAM))?,
        Kind::Icmp { six, raw } => {
            let icmp = if raw && !six { behind_ip(bytes)? } else { bytes };
            if *icmp.first()? != REPLY[usize::from(six)] {
                return None;
            }
            icmp.get(ICMP_HEADER..)?
        }
    };
    let (sign, number) = content.get(..CONTENT)?.split_at(8);
    (sign == nonce.to_be_bytes()).then(|| u16::from_be_bytes([number[0], number[1]]))
}

fn behind_ip(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(usize::from(bytes.first()? & 0x0f) * 4..)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: u64 = 0x0123_4567_89ab_cdef;

    #[test]
    fn an_answer_is_known_by_its_nonce_and_its_type() {
        let datagram = write(Kind::Datagram, 7, NONCE);
        assert_eq!(read(Kind::Datagram, &datagram, NONCE), Some(7));
        assert_eq!(read(Kind::Datagram, &datagram, NONCE + 1), None);
        assert_eq!(read(Kind::Datagram, &datagram[..13], NONCE), None);
        let turned = [TURNED, &datagram[4..]].concat();
        assert_eq!(read(Kind::Datagram, &turned, NONCE), Some(7));
        assert_eq!(read(Kind::Datagram, &datagram[4..], NONCE), None);
        for six in [false, true] {
            for raw in [false, true] {
                let kind = Kind::Icmp { six, raw };
                let mut packet = write(kind, 7, NONCE);
                let mut header = vec![0x45];
                header.resize(if raw && !six { 20 } else { 0 }, 0);
                let with_header = |packet: &[u8]| [header.clone(), packet.to_vec()].concat();
                assert_eq!(read(kind, &with_header(&packet), NONCE), None, "our own request");
                packet[0] = REPLY[usize::from(six)];
                assert_eq!(read(kind, &with_header(&packet), NONCE), Some(7));
                assert_eq!(read(kind, &[], NONCE), None);
            }
        }
    }

    #[test]
    fn the_checksum_makes_the_whole_add_up() {
        let packet = write(Kind::Icmp { six: false, raw: true }, 513, NONCE);
        assert_eq!(checksum(&packet), 0);
        assert_eq!(checksum(&[0x01]), !0x0100);
    }
}
