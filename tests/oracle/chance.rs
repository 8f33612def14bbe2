//! Chance from a seed: one stream for each purpose, so that a change in one of them, or a feature that is switched off, leaves the others as they were.

use fastrand::Rng;

/// A stream of choices.
pub struct Chance(Rng);

impl Chance {
    /// The stream of a purpose, numbered where there are several of its kind.
    pub fn of(seed: u64, purpose: &str, number: usize) -> Self {
        // FNV-1a: purposes need to differ, not to be secret.
        let bytes = seed.to_le_bytes().into_iter().chain(purpose.bytes()).chain(number.to_le_bytes());
        Self(Rng::with_seed(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))))
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.0.usize(0..times) == 0
    }

    /// A number between the two, both included.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        self.0.usize(least..=most)
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.0.usize(0..all.len())].clone()
    }

    /// So many of these at the most, at least one, each once, in their order.
    pub fn some<T: Clone>(&mut self, all: &[T], most: usize) -> Vec<T> {
        let mut places: Vec<usize> = (0..all.len()).collect();
        self.0.shuffle(&mut places);
        places.truncate(self.between(1, most.min(all.len())));
        places.sort_unstable();
        places.into_iter().map(|place| all[place].clone()).collect()
    }

    /// Puts them into another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        self.0.shuffle(all);
    }
}
