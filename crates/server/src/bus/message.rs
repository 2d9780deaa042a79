//! The format of one message on the bus: events as their senders wrote them, and when they came.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0, 1 | `QE` |
//! | 2 | the version, 1 |
//! | 3 | flags; bit 0: the events are packed with zstd |
//! | 4 to 11 | when the first of them was received, milliseconds since the Unix epoch |
//! | 12 to 15 | how many events |
//! | 16 to 19 | how many bytes the events take, unpacked |
//! | 20 on | the events, each as the length of its JSON text (4 bytes) and the text |
//!
//! Numbers are little-endian. Nothing here is trusted when it is read: whoever can publish on the
//! subject can send anything.

use bytes::Bytes;

/// The version this program writes, and the only one it reads.
pub const VERSION: u8 = 1;
/// Bytes before the events.
pub const HEAD: usize = 20;
/// The most events a message may say it has.
pub const MAX_EVENTS: usize = 20_000;
/// The most bytes its events may take, unpacked.
pub const MAX_BYTES: usize = 8 << 20;

const MAGIC: [u8; 2] = *b"QE";
const PACKED: u8 = 1;
/// What an event takes beside its text.
pub(super) const PER_EVENT: usize = 4;
/// Below that, making a packer costs more than packing saves.
const WORTH_PACKING: usize = 4 << 10;
/// The fastest; the next ones cost more than the server saves.
const ZSTD_LEVEL: i32 = 1;

/// Whether a message travels and is kept packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// With zstd, where that makes it smaller.
    #[default]
    Zstd,
}

/// A message that is being filled.
#[derive(Debug)]
pub struct Draft {
    bytes: Vec<u8>,
    events: u32,
}

impl Draft {
    /// An empty one with room for so many bytes of events, [`PER_EVENT`] each included.
    pub fn with_room(bytes: usize) -> Self {
        let mut draft = Vec::with_capacity(HEAD + bytes);
        draft.resize(HEAD, 0);
        Self { bytes: draft, events: 0 }
    }

    /// Adds an event's JSON text. The caller keeps within [`MAX_EVENTS`] and [`MAX_BYTES`].
    pub fn push(&mut self, text: &[u8]) {
        let length = u32::try_from(text.len()).expect("an event is far below 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(text);
        self.events += 1;
    }

    /// Bytes of events in it.
    pub fn len(&self) -> usize {
        self.bytes.len() - HEAD
    }

    /// Whether there is no event in it.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// How many events are in it.
    pub fn events(&self) -> usize {
        self.events as usize
    }

    /// The message, with the time its first event was received.
    pub fn finish(mut self, received_ms: i64, packing: Packing) -> Bytes {
        let unpacked = u32::try_from(self.len()).expect("MAX_BYTES is kept by who fills it");
        let mut head = [0; HEAD];
        head[..2].copy_from_slice(&MAGIC);
        head[2] = VERSION;
        head[4..12].copy_from_slice(&received_ms.to_le_bytes());
        head[12..16].copy_from_slice(&self.events.to_le_bytes());
        head[16..].copy_from_slice(&unpacked.to_le_bytes());
        if packing == Packing::Zstd
            && self.len() >= WORTH_PACKING
            && let Ok(packed) = zstd::bulk::compress(&self.bytes[HEAD..], ZSTD_LEVEL)
            && packed.len() < self.len()
        {
            head[3] = PACKED;
            return [head.as_slice(), &packed].concat().into();
        }
        self.bytes[..HEAD].copy_from_slice(&head);
        self.bytes.into()
    }
}

/// A message that was read. Its bounds are checked, its events are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When the first of its events was received, milliseconds since the Unix epoch.
    pub received_ms: i64,
    count: usize,
    events: Bytes,
}

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It does not begin as one.
    #[error("it is no message of qoe")]
    Foreign,
    /// It is of another version.
    #[error("it has format version {0}, and this program reads {VERSION}")]
    Version(u8),
    /// It asks for what this program does not know.
    #[error("it has flags {0:#04x}, which this program does not know")]
    Flags(u8),
    /// It says it holds more than a message may.
    #[error("it says it holds {events} events of {bytes} bytes")]
    TooLarge {
        /// How many it says.
        events: u32,
        /// Of how many bytes.
        bytes: u32,
    },
    /// It ends early, or goes on after its end.
    #[error("it does not hold what it says it holds")]
    Length,
    /// It can't be unpacked to what it says.
    #[error("it can't be unpacked")]
    Packing,
}

impl FormatError {
    /// A name for it that stays.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign => "foreign_message",
            Self::Version(_) | Self::Flags(_) => "unknown_format_version",
            Self::TooLarge { .. } | Self::Length | Self::Packing => "broken_message",
        }
    }
}

impl Message {
    /// Reads a message, within bounds whatever it claims.
    pub fn read(payload: &Bytes) -> Result<Self, FormatError> {
        if !payload.starts_with(&MAGIC) {
            return Err(FormatError::Foreign);
        }
        let [_, _, version, flags] = *payload.first_chunk().ok_or(FormatError::Length)?;
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        if flags & !PACKED != 0 {
            return Err(FormatError::Flags(flags));
        }
        let head: &[u8; HEAD] = payload.first_chunk().ok_or(FormatError::Length)?;
        let [.., a, b, c, d, e, f, g, h] = *head;
        let (events, bytes) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let (count, unpacked) = (events as usize, bytes as usize);
        if count > MAX_EVENTS || unpacked > MAX_BYTES {
            return Err(FormatError::TooLarge { events, bytes });
        }
        let body = payload.slice(HEAD..);
        let body = if flags & PACKED == 0 { body } else { unpack(&body, unpacked)? };
        let received_ms = head[4..].first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
        if body.len() != unpacked || !holds(&body, count) {
            return Err(FormatError::Length);
        }
        Ok(Self { received_ms, count, events: body })
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The JSON text of each event, as it was sent.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        Texts(&self.events)
    }
}

fn unpack(packed: &[u8], unpacked: usize) -> Result<Bytes, FormatError> {
    // Fails where more would come out.
    let bytes = zstd::bulk::decompress(packed, unpacked).map_err(|_| FormatError::Packing)?;
    Ok(bytes.into())
}

/// Whether the lengths lead from the first byte to the last in so many steps.
fn holds(events: &[u8], count: usize) -> bool {
    let mut texts = Texts(events);
    texts.by_ref().take(count).count() == count && texts.0.is_empty()
}

/// Takes events apart; ends at the first that is cut.
struct Texts<'a>(&'a [u8]);

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<PER_EVENT>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(texts: &[Vec<u8>], packing: Packing) -> Bytes {
        let mut draft = Draft::with_room(0);
        texts.iter().for_each(|text| draft.push(text));
        draft.finish(1_700_000_000_123, packing)
    }

    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let repetitive = (any::<u8>(), 0..3_000_usize).prop_map(|(byte, n)| vec![byte; n]);
        prop::collection::vec(prop_oneof![any::<Vec<u8>>(), repetitive], 0..20)
    }

    fn packings() -> impl Strategy<Value = Packing> {
        prop_oneof![Just(Packing::Plain), Just(Packing::Zstd)]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(texts in texts(), packing in packings()) {
            let read = Message::read(&message(&texts, packing)).unwrap();
            prop_assert_eq!(read.received_ms, 1_700_000_000_123);
            prop_assert_eq!(read.len(), texts.len());
            prop_assert_eq!(read.texts().collect::<Vec<_>>(), texts);
        }

        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, ours: bool) {
            let bytes = if ours { [b"QE\x01\x00".as_slice(), &bytes].concat() } else { bytes };
            if let Ok(read) = Message::read(&bytes.into()) {
                prop_assert_eq!(read.texts().count(), read.len());
            }
        }

        #[test]
        fn a_changed_message_is_judged(
            texts in texts(),
            packing in packings(),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let mut bytes = message(&texts, packing).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Message::read(&bytes.into()) {
                prop_assert_eq!(read.texts().count(), read.len());
            }
        }

        #[test]
        fn a_cut_or_lengthened_message_is_refused(
            texts in texts(),
            packing in packings(),
            at: prop::sample::Index,
        ) {
            let whole = message(&texts, packing);
            prop_assert!(Message::read(&whole.slice(..at.index(whole.len()))).is_err());
            prop_assert!(Message::read(&[&whole, &b"\0"[..]].concat().into()).is_err());
        }
    }

    #[test]
    fn claims_are_bounded_before_they_are_believed() {
        let whole = message(&[b"{}".to_vec()], Packing::Plain).to_vec();
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = whole.clone();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            Message::read(&changed.into()).unwrap_err()
        };
        let giant = u32::MAX.to_le_bytes();
        assert_eq!(with(12, &giant), FormatError::TooLarge { events: u32::MAX, bytes: 6 });
        assert_eq!(with(16, &giant), FormatError::TooLarge { events: 1, bytes: u32::MAX });
        assert_eq!(with(20, &giant), FormatError::Length);
        assert_eq!(with(12, &2_u32.to_le_bytes()), FormatError::Length);
        assert_eq!(with(12, &0_u32.to_le_bytes()), FormatError::Length);
        assert_eq!(with(3, &[PACKED]), FormatError::Packing);
        assert_eq!(with(3, &[2]), FormatError::Flags(2));
    }

    #[test]
    fn another_version_is_named() {
        let mut whole = message(&[], Packing::Plain).to_vec();
        whole[2] = 7;
        let error = Message::read(&whole.into()).unwrap_err();
        assert_eq!(error.to_string(), "it has format version 7, and this program reads 1");
        for foreign in [&b""[..], b"Q", b"{\"event_id\":1}", b"\0\0\0\0", b"[]"] {
            let read = Message::read(&Bytes::copy_from_slice(foreign));
            assert_eq!(read, Err(FormatError::Foreign));
        }
    }

    /// 8 MiB of zeros pack to a few hundred bytes; twice that must not come out.
    #[test]
    fn a_message_that_unpacks_to_more_than_it_says_is_refused() {
        let mut bomb = vec![0; HEAD];
        bomb[..4].copy_from_slice(b"QE\x01\x01");
        let says = u32::try_from(MAX_BYTES).unwrap().to_le_bytes();
        bomb[16..20].copy_from_slice(&says);
        bomb.extend(zstd::bulk::compress(&vec![0; 2 * MAX_BYTES], 1).unwrap());
        assert_eq!(Message::read(&bomb.into()), Err(FormatError::Packing));
    }

    #[test]
    fn events_that_are_alike_are_packed() {
        let texts = vec![vec![b'x'; 400]; 100];
        let (plain, packed) = (message(&texts, Packing::Plain), message(&texts, Packing::Zstd));
        assert_eq!(plain.len(), HEAD + 100 * (400 + PER_EVENT));
        assert!(packed.len() < plain.len() / 10, "{}", packed.len());
    }
}
