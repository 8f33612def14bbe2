//! Chance as data: one stream for each purpose, so that a change of one does not reshuffle the others.

use fastrand::Rng;
use springtide_core::Span;

/// A world's streams of chance.
#[derive(Debug)]
pub struct Chance {
    /// How long messages take.
    pub service: Rng,
    /// How long machines and pods take to start.
    pub starts: Rng,
    /// Prices.
    pub prices: Rng,
    /// Which machines are taken back.
    pub fate: Rng,
}

impl Chance {
    /// The streams of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // The generator scrambles its seed; numbers far apart are enough to keep streams apart.
        let stream = |purpose: u64| Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(purpose << 48));
        Self { service: stream(1), starts: stream(2), prices: stream(3), fate: stream(4) }
    }
}

/// A length of time between two others.
pub fn between(rng: &mut Rng, least: Span, most: Span) -> Span {
    let (least, most) = (least.as_millis(), most.as_millis());
    let (least, most) = (i64::try_from(least).unwrap_or(i64::MAX), i64::try_from(most).unwrap_or(i64::MAX));
    Span::from_millis(if least < most { rng.i64(least..=most) } else { least })
}
