//! Random numbers by address: the seed picks the key, names pick the stream, time picks the place.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// Words of the stream kept apart for one place. What is drawn at one place fits in it: 64 words
/// are one refill of the generator.
const WORDS_A_PLACE: u128 = 256;

/// A generator that can be set to any place of any stream. `ChaCha8` is specified to the bit, and
/// what is random about it is not a matter of state, so the order of use does not matter.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

/// A stream of its own for each thing that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stream(u64);

impl Stream {
    /// The stream of the thing that these names name; the first says what kind of thing it is.
    pub(crate) fn of(names: &[&str]) -> Self {
        // FNV-1a, 64 bit: a closing byte that UTF-8 never holds keeps ("a", "b") from ("ab").
        let fold =
            |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(
            names.iter().fold(0xcbf2_9ce4_8422_2325, |hash, name| {
                fold(name.bytes().fold(hash, fold), 0xff)
            }),
        )
    }
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Goes to a place of a stream.
    pub(crate) fn at(&mut self, stream: Stream, place: u64) -> &mut Self {
        self.0.set_stream(stream.0);
        self.0.set_word_pos(u128::from(place) * WORDS_A_PLACE);
        self
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Uniform in [low, high).
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `low..=high`.
    pub(crate) fn whole(&mut self, low: u32, high: u32) -> u32 {
        self.0.random_range(low..=high)
    }

    /// Uniform in 0..n; 0 where there is nothing to choose from.
    pub(crate) fn index(&mut self, n: usize) -> usize {
        // By way of u32: a range of usize would draw differently on machines of other widths.
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if n == 0 { 0 } else { self.0.random_range(0..n) as usize }
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        self.0.sample(StandardNormal)
    }

    /// Log-normal around a median, with the standard deviation of the logarithm.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        log_normal(median, sigma, self.normal())
    }
}

/// A log-normal value from a standard normal one. `libm`, not the platform's `exp`, whose last bit
/// differs between platforms.
pub(crate) fn log_normal(median: f64, sigma: f64, normal: f64) -> f64 {
    median * libm::exp(sigma * normal)
}

/// Exponential with this mean from a uniform value in [0, 1).
pub(crate) fn exponential(mean: f64, unit: f64) -> f64 {
    -mean * libm::log(1.0 - unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_the_same_numbers_whatever_was_drawn_before() {
        let (a, b) = (Stream::of(&["cell", "a"]), Stream::of(&["cell", "b"]));
        let mut random = Random::new(7);
        let first = [random.at(a, 5).bits(), random.bits()];
        let other = [random.at(b, 5).bits(), random.at(a, 6).bits()];
        assert_eq!([random.at(a, 5).bits(), random.bits()], first);
        assert!(!first.contains(&other[0]) && !first.contains(&other[1]));
        assert_ne!(Random::new(8).at(a, 5).bits(), first[0]);
    }

    #[test]
    fn names_do_not_run_together() {
        assert_ne!(Stream::of(&["ab", "c"]), Stream::of(&["a", "bc"]));
    }

    #[test]
    fn the_generator_is_the_named_one() {
        // The first words of ChaCha8 under this key; another generator, or another way from the
        // seed to the key, would be another fleet.
        assert_eq!(Random::new(0).at(Stream(0), 0).bits(), 0xb585_f767_a79a_3b6c);
    }
}
