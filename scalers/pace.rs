//! How often a trigger is read. A period that is written down is kept. Where there is none, the moment decides: once a second while a number moves, then
//! step by step more seldom while nothing happens, and never more often than a broker's budget of requests allows.

use std::time::Duration;

/// Periods of a trigger that has none of its own, in seconds: from what follows a queue closely to KEDA's default. Each moment of a longer one is one of 1 s
/// too, so that triggers of one broker are often due together, and read by one request.
const STEPS: [u64; 6] = [1, 2, 5, 10, 15, 30];

/// So often a number has to be the same before it is read more seldom: from the first step to the last it takes about two minutes.
const LINGER: u32 = 4;

/// Triggers without a period of their own make a broker no more requests than this, as far as the longest period allows.
const REQUESTS_PER_SECOND: u64 = 10;

/// How often to read a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// With this period.
    Every(Duration),
    /// As the moment asks, between 1 s and 30 s.
    Adaptive,
}

impl From<Duration> for Pace {
    fn from(period: Duration) -> Self {
        Self::Every(period)
    }
}

impl Pace {
    /// The same, but for periods that would be a busy loop.
    pub(crate) fn at_least(self, shortest: Duration) -> Self {
        match self {
            Self::Every(period) => Self::Every(period.max(shortest)),
            Self::Adaptive => Self::Adaptive,
        }
    }
}

/// How one trigger is read at present.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stride {
    pace: Pace,
    step: usize,
    unchanged: u32,
}

impl Stride {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self { pace, step: 0, unchanged: 0 }
    }

    /// Takes over another pace; what was learnt of the number stays.
    pub(crate) const fn change(&mut self, pace: Pace) {
        self.pace = pace;
    }

    pub(crate) fn is_adaptive(&self) -> bool {
        self.pace == Pace::Adaptive
    }

    /// Takes in that it was read, and whether the number was another.
    pub(crate) const fn read(&mut self, moved: bool) {
        if moved {
            (self.step, self.unchanged) = (0, 0);
            return;
        }
        self.unchanged += 1;
        if self.unchanged >= LINGER {
            self.unchanged = 0;
            if self.step + 1 < STEPS.len() {
                self.step += 1;
            }
        }
    }

    /// The present period. `requests` are made of the broker when all its triggers of this kind are read once.
    pub(crate) fn period(&self, requests: usize) -> Duration {
        let Pace::Every(period) = self.pace else {
            let budget = u64::try_from(requests).unwrap_or(u64::MAX).div_ceil(REQUESTS_PER_SECOND);
            let wanted = STEPS[self.step].max(budget);
            let allowed = STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(STEPS[STEPS.len() - 1]);
            return Duration::from_secs(allowed);
        };
        period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_moves_is_read_often_and_what_rests_seldom() {
        let mut stride = Stride::new(Pace::Adaptive);
        let mut periods = Vec::new();
        for _ in 0..24 {
            periods.push(stride.period(1).as_secs());
            stride.read(false);
        }
        assert_eq!(periods, [[1; 4], [2; 4], [5; 4], [10; 4], [15; 4], [30; 4]].concat());
        for _ in 0..100 {
            stride.read(false);
        }
        assert_eq!(stride.period(1), 30 * SECOND);
        stride.read(true);
        assert_eq!(stride.period(1), SECOND);
    }

    #[test]
    fn a_broker_is_asked_no_more_often_than_its_budget_allows() {
        let stride = Stride::new(Pace::Adaptive);
        let periods = [1, 10, 11, 21, 51, 150, 151, 100_000].map(|requests| stride.period(requests).as_secs());
        assert_eq!(periods, [1, 1, 2, 5, 10, 15, 30, 30]);
    }

    #[test]
    fn a_period_that_is_written_down_is_kept() {
        let mut stride = Stride::new(Pace::Every(7 * SECOND));
        for _ in 0..50 {
            stride.read(false);
        }
        assert_eq!(stride.period(100_000), 7 * SECOND);
    }
}
