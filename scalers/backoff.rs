//! When a broker that fails is asked again. Between two polls it is tried again with growing, jittered pauses; after several failures in a row the breaker
//! opens, and until the next try is due nobody asks at all, so that a broker in trouble is not kept there by us.

use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first failure: most hiccups are over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause: a try that is refused costs next to nothing, and a broker that is back should not wait for us much longer than it took to start.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How many failures in a row open the breaker: by then about eight seconds have passed, longer than a failover of most brokers.
const FAILURES_TO_OPEN: u32 = 5;

/// The state of one connection's failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    retry_at: Option<Instant>,
    random: u64,
}

impl Backoff {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { failures: 0, retry_at: None, random: seed }
    }

    /// When to try again without being due, after a failure.
    pub(crate) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// How long the breaker still stays open.
    pub(crate) fn open_for(&self, now: Instant) -> Option<Duration> {
        let retry_at = self.retry_at.filter(|_| self.failures >= FAILURES_TO_OPEN)?;
        Some(retry_at.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    pub(crate) const fn succeed(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    pub(crate) fn fail(&mut self, now: Instant) {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        // Half of the pause is certain, the other half is chance: connections that failed together do not come back together.
        let chance = u32::try_from(self.next_random() >> 48).unwrap_or(0);
        self.retry_at = Some(now + pause / 2 + pause / 2 * chance / (1 << 16));
    }

    /// The next number of this connection's own stream (splitmix64).
    const fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_stay_in_bounds_and_repeat_with_their_seed() {
        let now = Instant::now();
        let pauses = |seed: u64| -> Vec<Duration> {
            let mut backoff = Backoff::new(seed);
            (0..12)
                .map(|_| {
                    backoff.fail(now);
                    backoff.retry_at().expect("it failed") - now
                })
                .collect()
        };
        let first = pauses(7);
        assert_eq!(first, pauses(7));
        assert_ne!(first, pauses(8));
        for (nth, pause) in first.iter().enumerate() {
            let full = FIRST_PAUSE.saturating_mul(1 << nth.min(16)).min(LONGEST_PAUSE);
            assert!(*pause >= full / 2 && *pause <= full, "{nth}: {pause:?}");
        }
    }

    #[test]
    fn the_breaker_opens_after_several_failures_and_closes_with_a_success() {
        let now = Instant::now();
        let mut backoff = Backoff::new(1);
        for _ in 1..FAILURES_TO_OPEN {
            backoff.fail(now);
            assert_eq!(backoff.open_for(now), None);
        }
        backoff.fail(now);
        assert!(backoff.open_for(now).is_some());
        assert_eq!(backoff.open_for(now + LONGEST_PAUSE), None);
        backoff.succeed();
        assert_eq!((backoff.open_for(now), backoff.retry_at()), (None, None));
    }
}
