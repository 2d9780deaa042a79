//! The trace a measurement belongs to: W3C Trace Context (`traceparent`, Recommendation of 2021-11-23).

use uuid::Uuid;

/// A trace that is to be kept, and the measurement's own span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Not 0.
    pub id: u128,
    /// Not 0.
    pub span: u64,
}

/// The flag that says that somebody keeps the trace.
const SAMPLED: u8 = 1;

impl Trace {
    /// The trace of a measurement, if it is among the share that is kept (0 to 1): which those are
    /// follows from the last 7 bytes of its id, which are random in a UUIDv7.
    pub fn of(measurement: Uuid, share: f64) -> Option<Self> {
        const BYTES: u32 = 56;
        let random = measurement.as_u128() & ((1 << BYTES) - 1);
        let kept = (random as f64) < share.clamp(0.0, 1.0) * (1_u64 << BYTES) as f64;
        let id = measurement.as_u128();
        let span = (id as u64) ^ (id >> 64) as u64;
        (kept && id != 0 && span != 0).then_some(Self { id, span })
    }

    /// Reads a `traceparent`; `None` where it is not to be kept, or is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version, id, span, flags] = [(); 4].map(|()| parts.next());
        let hex = |part: Option<&str>, digits: usize| {
            let part = part.filter(|part| part.len() == digits)?;
            let lower = part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            lower.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        // Version 0 has no more parts; later ones may.
        let version = hex(version, 2).filter(|version| *version != 0xff)?;
        if version == 0 && parts.next().is_some() {
            return None;
        }
        let id = hex(id, 32).filter(|id| *id != 0)?;
        let span = u64::try_from(hex(span, 16)?).ok().filter(|span| *span != 0)?;
        let flags = u8::try_from(hex(flags, 2)?).ok()?;
        (flags & SAMPLED != 0).then_some(Self { id, span })
    }

    /// As the header and the event have it.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{SAMPLED:02x}", self.id, self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_recommendation_shows_is_read_and_written() {
        let trace = Trace::parse(SPEC).unwrap();
        assert_eq!(trace.id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(trace.traceparent(), SPEC);
        let later = format!("{}-what", SPEC.replacen("00", "cc", 1));
        assert_eq!(Trace::parse(&later), Some(trace));
    }

    #[test]
    fn what_is_not_kept_or_is_none_is_not_read() {
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let upper = SPEC.to_uppercase();
        let more = format!("{SPEC}-what");
        let unkept = SPEC.replace("-01", "-00");
        let invalid = SPEC.replacen("00", "ff", 1);
        for text in ["", "00", &SPEC[1..], zero, &upper, &more, &unkept, &invalid] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_share_of_measurements_is_kept() {
        let ids = (0..20_000_u128).map(|n| {
            let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | random >> 66)
        });
        let ids: Vec<_> = ids.collect();
        let kept = |share| ids.iter().filter(|id| Trace::of(**id, share).is_some()).count();
        assert_eq!((kept(0.0), kept(1.0)), (0, ids.len()));
        assert!((800..1_200).contains(&kept(0.05)), "{}", kept(0.05));
        let trace = Trace::of(ids[1], 1.0).unwrap();
        assert_eq!(Trace::parse(&trace.traceparent()), Some(trace));
    }
}
