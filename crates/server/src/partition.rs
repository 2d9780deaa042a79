//! Which part of the work a client belongs to.

/// How many parts there are. Every ingest must use the same number: a client whose events come in
/// two parts would have two aggregators wait for each other's rows.
pub const PARTITIONS: usize = 16;

/// The part of a client. The same on every machine, in every version: FNV-1a of its bytes, mixed as
/// MurmurHash3 ends, since names often differ in their last byte alone.
pub fn of(client_id: &str) -> usize {
    let mut hash = client_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)) as usize % PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_stays_where_it_is_and_many_spread() {
        assert_eq!([of("probe-1"), of("probe-2"), of("")], EXPECTED);
        let mut counts = [0; PARTITIONS];
        (0..16_000).for_each(|n| counts[of(&format!("probe-{n}"))] += 1);
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    /// Noted when this was written: changing them moves every client.
    const EXPECTED: [usize; 3] = [13, 4, 6];
}
