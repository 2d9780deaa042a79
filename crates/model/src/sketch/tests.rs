//! A sketch against the sorted samples, in every order and tree of merges.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn of(values: impl IntoIterator<Item = u64>) -> Sketch {
    let mut sketch = Sketch::new();
    values.into_iter().for_each(|v| sketch.insert(v));
    sketch
}

fn encoded(sketch: &Sketch) -> Vec<u8> {
    let mut out = Vec::new();
    sketch.encode_into(&mut out);
    out
}

fn exact_quantile(values: &[u64], q: Quantile) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * usize::from(q.0)).div_ceil(10_000).max(1);
    sorted[rank - 1]
}

/// Values of every magnitude, the small ones often equal.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..200,
        8 => 1_000_u64..2_000_000,
        2 => (0_u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift),
        1 => Just(1 << 53),
        1 => Just(u64::MAX),
    ]
}

#[test]
fn percentiles_of_one_to_twenty_by_hand() {
    let s = of(1..=20);
    assert_eq!((s.count(), s.sum(), s.mean()), (20, 210, Some(10.5)));
    assert_eq!((s.min(), s.max()), (Some(1), Some(20)));
    let q = |q| s.quantile(q).unwrap();
    assert_eq!([q(Quantile::P50), q(Quantile::P95)], [10, 19]);
    assert_eq!([q(Quantile::P99), q(Quantile::P999)], [20, 20]);
    assert_eq!(s.quantile(Quantile::new(2_500).unwrap()), Some(5));
    assert_eq!(s.quantile(Quantile::new(2_501).unwrap()), Some(6));
    assert_eq!([s.rank(0), s.rank(1), s.rank(10), s.rank(99)], [0, 1, 10, 20]);
}

#[test]
fn percentiles_of_few_samples_by_hand() {
    assert_eq!(of([]).quantile(Quantile::P50), None);
    assert_eq!((of([]).min(), of([]).mean(), of([]).rank(9)), (None, None, 0));
    assert_eq!(of([7]).quantile(Quantile::P999), Some(7));
    assert_eq!(of([9, 3]).quantile(Quantile::P50), Some(3));
    assert_eq!(of([9, 3, 5]).quantile(Quantile::P50), Some(5));
    assert_eq!(of([9, 3, 5, 5]).quantile(Quantile::P95), Some(9));
    assert_eq!(Quantile::new(10_001), None);
}

#[test]
fn the_sixty_fifth_sample_turns_it_to_buckets() {
    let exact = of((0..64).map(|i| 100_000 + i));
    assert_eq!(exact.quantile(Quantile::P50), Some(100_031));
    let mut buckets = exact.clone();
    buckets.insert(100_064);
    assert_eq!((buckets.count(), buckets.sum()), (65, exact.sum() + 100_064));
    assert!(buckets.quantile(Quantile::P50).unwrap().abs_diff(100_032) <= 787);
}

#[test]
fn percentiles_of_a_thousand_are_within_one_percent() {
    let s = of((1..=1000).map(|i| i * 1_000));
    for (q, exact) in [(Quantile::P50, 500_000), (Quantile::P95, 950_000), (Quantile::P99, 990_000)]
    {
        let got: u64 = s.quantile(q).unwrap();
        assert!(got.abs_diff(exact) * 100 <= exact, "{got} for {exact}");
    }
    assert!(s.rank(500_000).abs_diff(500) <= 8);
}

#[test]
fn the_byte_form_is_fixed() {
    assert_eq!(encoded(&of([])), [1, 0]);
    assert_eq!(encoded(&of([300, 2, 2])), [1, 6, 2, 0, 0xaa, 2]);
    let many = of(std::iter::repeat_n(1, 63).chain([300, 300]));
    assert_eq!(encoded(&many), [1, 5, 0x97, 5, 1, 62, 0xc9, 1, 1]);
}

#[test]
fn subtraction_refuses_what_is_not_contained_and_leaves_the_sketch() {
    let small = of([1, 2, 2]);
    let large = of(1_000..1_100);
    let cases = [
        (small.clone(), of([3])),
        (small.clone(), of([1, 1])),
        (small.clone(), large.clone()),
        (large.clone(), small.clone()),
        (large.clone(), of([1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000])),
        (of([1_000; 65]), of([1_001; 65])),
    ];
    for (mut from, what) in cases {
        let before = from.clone();
        assert_eq!(from.subtract(&what), Err(SubtractError));
        assert_eq!(from, before);
    }
}

#[test]
fn hostile_sketches_are_refused_by_name() {
    let refused = |bytes: &[u8]| Sketch::decode(&mut &*bytes).unwrap_err();
    assert_eq!(refused(&[]), DecodeError::Truncated);
    assert_eq!(refused(&[2, 0]), DecodeError::UnknownVersion(2));
    assert_eq!(refused(&[1, 4, 7]), DecodeError::Truncated);
    // 65 exact samples, 3777 buckets, no bucket, a number of buckets no memory could hold
    for header in [130_u128, 2 * 3_777 + 1, 1, u128::from(u64::MAX)] {
        let mut bytes = vec![1];
        write_varint(&mut bytes, header);
        bytes.extend([0; 100]);
        assert!(matches!(refused(&bytes), DecodeError::Invalid(_)), "{header}");
    }
    // two samples of bucket 5 can't add up to 11, and no window holds 2^60 samples
    assert!(Sketch::decode(&mut &[1, 3, 10, 5, 1][..]).is_ok());
    assert!(matches!(refused(&[1, 3, 11, 5, 1]), DecodeError::Invalid(_)));
    let mut crowd = vec![1, 3, 0, 0];
    write_varint(&mut crowd, 1 << 60);
    assert!(matches!(refused(&crowd), DecodeError::Invalid(_)));
}

proptest! {
    #[test]
    fn order_batching_and_merge_tree_do_not_show(
        (values, shuffled) in vec(value(), 0..200)
            .prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle())),
        cuts in vec(0_usize..200, 0..6),
        fold_left: bool,
    ) {
        let whole = of(values.iter().copied());
        let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(shuffled.len())).collect();
        cuts.extend([0, shuffled.len()]);
        cuts.sort_unstable();
        let mut parts: Vec<_> =
            cuts.windows(2).map(|w| of(shuffled[w[0]..w[1]].iter().copied())).collect();
        while parts.len() > 1 {
            let last = parts.pop().unwrap();
            let at = if fold_left { 0 } else { parts.len() - 1 };
            parts[at].merge(&last);
        }
        prop_assert_eq!(&parts[0], &whole);
        prop_assert_eq!(encoded(&parts[0]), encoded(&whole));
    }

    #[test]
    fn quantiles_are_exact_then_within_one_percent(
        values in vec(value(), 1..300), q in 0_u16..=10_000,
    ) {
        let (s, q) = (of(values.iter().copied()), Quantile(q));
        let (got, exact) = (s.quantile(q).unwrap(), exact_quantile(&values, q));
        if values.len() <= EXACT {
            prop_assert_eq!(got, exact);
        } else {
            prop_assert!(u128::from(got.abs_diff(exact)) * 127 <= u128::from(exact));
        }
        prop_assert_eq!(s.sum(), values.iter().map(|&v| u128::from(v)).sum());
        prop_assert!(s.rank(got) >= q.rank(s.count()));
    }

    #[test]
    fn bytes_round_trip_and_are_read_one_after_another(
        a in vec(value(), 0..200), b in vec(value(), 0..100),
    ) {
        let (a, b) = (of(a), of(b));
        let mut bytes = encoded(&a);
        b.encode_into(&mut bytes);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(Sketch::decode(&mut rest).unwrap(), a);
        prop_assert_eq!(Sketch::decode(&mut rest).unwrap(), b);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn subtraction_undoes_a_merge(a in vec(value(), 0..150), b in vec(value(), 0..150)) {
        let small = a.len() + b.len() <= EXACT;
        let (a, b) = (of(a), of(b));
        let mut c = a.clone();
        c.merge(&b);
        c.subtract(&b).unwrap();
        prop_assert_eq!((c.count(), c.sum()), (a.count(), a.sum()));
        let same_form = small || a.count() > EXACT as u64 || b.is_empty() || a.is_empty();
        if same_form {
            prop_assert_eq!(&c, &a);
        } else {
            prop_assert_eq!(c, Sketch(Form::Buckets(a.0.to_buckets())));
        }
    }

    #[test]
    fn any_bytes_decode_to_a_sketch_that_works_or_to_an_error(
        mut bytes in vec(any::<u8>(), 0..400), many: bool,
    ) {
        if let [version, header, ..] = bytes.as_mut_slice() {
            *version = 1;
            *header = *header & 0x3e | u8::from(many);
        }
        if let Ok(mut s) = Sketch::decode(&mut bytes.as_slice()) {
            let again = s.clone();
            prop_assert_eq!(Sketch::decode(&mut encoded(&s).as_slice()).unwrap(), again.clone());
            s.insert(5);
            s.merge(&again);
            prop_assert!(s.quantile(Quantile::P95).is_some());
            prop_assert!(s.subtract(&again).is_ok());
        }
    }

    #[test]
    fn one_broken_byte_never_panics(
        values in vec(value(), 0..200), at in any::<prop::sample::Index>(), xor in 1_u8..,
    ) {
        let mut bytes = encoded(&of(values));
        let at = at.index(bytes.len());
        bytes[at] ^= xor;
        if let Ok(s) = Sketch::decode(&mut bytes.as_slice()) {
            prop_assert!(s.rank(u64::MAX) == s.count());
        }
    }
}
