//! Wall-clock times with milliseconds, which never run backwards.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A point in time. In text it is RFC 3339 in UTC with exactly three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// How long after `earlier` this is; nothing if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or_default()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3}", self.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads the wall clock once and the monotonic clock from then on, so that the times of one run can be subtracted from each other even if
/// somebody sets the clock, and so that paused time is seen in tests.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    at: Instant,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { wall: Timestamp::now(), at: Instant::now() }
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Moment {
        // An overflow would need a run of thousands of years.
        Moment(self.wall.checked_add(self.at.elapsed()).unwrap_or(self.wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_three_decimals_and_reads_back() {
        let moment = Moment("2026-11-21T04:05:06.1Z".parse().unwrap());
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(text, "\"2026-11-21T04:05:06.100Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), moment);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_follows_paused_time() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(90));
    }
}
