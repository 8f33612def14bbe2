//! Lag as KEDA counts it: from the offsets of partitions to the number that a trigger's target is compared with. Plain arithmetic, which knows no broker.

/// What is done about a partition for which the group has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Uncommitted {
    /// It counts as one message, so that a worker starts and commits.
    One,
    /// All of it counts: the group will begin at its beginning.
    All,
    /// It counts as nothing, until somebody commits.
    Nothing,
}

/// How high the lag may count: more workers than partitions would be idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bound {
    /// As high as it is.
    None,
    /// A worker for each partition.
    Partitions,
    /// A worker for each partition that has lag.
    Lagging,
}

/// How many workers share the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shares {
    /// As many as the lag asks for.
    Any,
    /// As many as leave each of them the same number of partitions.
    Even,
}

/// What of the lag counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// All of it.
    All,
    /// None of a partition on which the group has committed nothing new since the read before: its worker is stuck.
    Moving,
}

/// How lag is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    pub uncommitted: Uncommitted,
    pub counted: Counted,
    pub shares: Shares,
    pub bound: Bound,
    /// The trigger's target: bounds and shares are in workers, and the lag that stands for a worker is this much.
    pub threshold: i64,
}

/// The offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// The next one that the group will read; `None` where it has committed none.
    pub committed: Option<i64>,
    /// The next one that will be written; `None` where the broker leaves the partition out, as Azure Event Hubs does now and then.
    pub end: Option<i64>,
    /// What was committed at the read before, where that matters.
    pub before: Option<i64>,
}

/// The lag of a partition, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lag {
    /// What counts.
    pub counted: i64,
    /// With what does not count.
    pub all: i64,
}

/// The lag of all partitions, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Total {
    /// What counts, within its bound: what the target is compared with. May be negative where a topic was made anew.
    pub counted: i64,
    /// All of it: what the activation value is compared with.
    pub all: i64,
}

impl Offsets {
    /// The lag of the partition.
    pub(crate) fn lag(self, rules: &Rules) -> Lag {
        let same = |count| Lag { counted: count, all: count };
        match (self.committed, self.end) {
            // These need no end.
            (None, _) if rules.uncommitted == Uncommitted::One => same(1),
            (None, _) if rules.uncommitted == Uncommitted::Nothing => same(0),
            (_, None) => same(0),
            (None, Some(end)) => same(end),
            (Some(committed), Some(end)) => {
                let all = end.saturating_sub(committed);
                let is_stuck = rules.counted == Counted::Moving && self.before == Some(committed);
                Lag { counted: if is_stuck { 0 } else { all }, all }
            }
        }
    }

    /// How many messages were ever written to the partition: its offsets begin at 0.
    pub(crate) fn arrived(self) -> u64 {
        self.end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0)
    }

    /// How many of them are behind the group. A group without a commit stands where its lag says, so that its first commit is no leap.
    pub(crate) fn done(self, rules: &Rules) -> u64 {
        match (self.committed, rules.uncommitted) {
            (Some(committed), _) => u64::try_from(committed).unwrap_or(0),
            (None, Uncommitted::All) => 0,
            (None, Uncommitted::One | Uncommitted::Nothing) => self.arrived(),
        }
    }
}

impl Rules {
    /// The lag of partitions together.
    pub(crate) fn total(&self, lags: &[Lag]) -> Total {
        let sum = |of: fn(&Lag) -> i64| lags.iter().map(of).fold(0_i64, i64::saturating_add);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (mut counted, all, partitions) = (sum(|lag| lag.counted), sum(|lag| lag.all), count(lags.len()));
        if self.shares == Shares::Even {
            counted = even_share(counted, partitions, self.threshold).saturating_mul(self.threshold);
        }
        let most = match self.bound {
            Bound::None => return Total { counted, all },
            Bound::Partitions => partitions,
            Bound::Lagging => count(lags.iter().filter(|lag| lag.counted > 0).count()),
        };
        // Whole workers, so a rest below one more threshold stays.
        if counted / self.threshold.max(1) > most {
            counted = most.saturating_mul(self.threshold);
        }
        Total { counted, all }
    }
}

/// The smallest divisor of the number of partitions that is enough workers, else that number.
fn even_share(lag: i64, partitions: i64, threshold: i64) -> i64 {
    // A topic has some thousand partitions at the most, so each number is tried.
    (1..=partitions).find(|share| partitions % share == 0 && share.saturating_mul(threshold) >= lag).unwrap_or(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules =
        Rules { uncommitted: Uncommitted::One, counted: Counted::All, shares: Shares::Any, bound: Bound::Partitions, threshold: 10 };

    fn offsets(committed: Option<i64>, end: Option<i64>, before: Option<i64>) -> Offsets {
        Offsets { committed, end, before }
    }

    #[test]
    fn a_partition_counts_by_its_rules() {
        use Counted::{All as Everything, Moving};
        use Uncommitted::{All, Nothing, One};
        for (offsets, uncommitted, counted, lag) in [
            (offsets(Some(100), Some(150), None), One, Everything, (50, 50)),
            (offsets(Some(150), Some(150), None), One, Everything, (0, 0)),
            (offsets(None, Some(150), None), One, Everything, (1, 1)),
            (offsets(None, None, None), One, Everything, (1, 1)),
            (offsets(None, Some(150), None), All, Everything, (150, 150)),
            (offsets(None, None, None), All, Everything, (0, 0)),
            (offsets(None, Some(150), None), Nothing, Everything, (0, 0)),
            (offsets(Some(100), None, None), All, Everything, (0, 0)),
            (offsets(Some(100), Some(150), None), One, Moving, (50, 50)),
            (offsets(Some(100), Some(150), Some(100)), One, Moving, (0, 50)),
            (offsets(Some(100), Some(150), Some(90)), One, Moving, (50, 50)),
            (offsets(Some(100), Some(150), Some(100)), One, Everything, (50, 50)),
            // The topic was made anew.
            (offsets(Some(100), Some(3), None), One, Everything, (-97, -97)),
            (offsets(Some(i64::MIN), Some(i64::MAX), None), One, Everything, (i64::MAX, i64::MAX)),
        ] {
            let rules = Rules { uncommitted, counted, ..RULES };
            let (counted, all) = lag;
            assert_eq!(offsets.lag(&rules), Lag { counted, all }, "{offsets:?} {rules:?}");
        }
    }

    #[test]
    fn totals_stay_within_their_bound() {
        let even = |count| vec![Lag { counted: count, all: count }; 4];
        let uneven = [25, 0, 0, 0].map(|count| Lag { counted: count, all: count + 1 });
        for (lags, bound, shares, counted) in [
            (even(5), Bound::Partitions, Shares::Any, 20),
            (even(100), Bound::Partitions, Shares::Any, 40),
            (even(100), Bound::None, Shares::Any, 400),
            // 49 / 10 is 4 workers, which is allowed.
            (vec![Lag { counted: 49, all: 49 }, Lag::default(), Lag::default(), Lag::default()], Bound::Partitions, Shares::Any, 49),
            (uneven.to_vec(), Bound::Lagging, Shares::Any, 10),
            (uneven.to_vec(), Bound::Partitions, Shares::Even, 40),
            (even(0), Bound::Partitions, Shares::Even, 10),
            (even(5), Bound::Partitions, Shares::Even, 20),
            (even(-5), Bound::Partitions, Shares::Any, -20),
            (uneven.to_vec(), Bound::Lagging, Shares::Even, 10),
            (Vec::new(), Bound::Partitions, Shares::Any, 0),
        ] {
            let rules = Rules { bound, shares, ..RULES };
            assert_eq!(rules.total(&lags).counted, counted, "{lags:?} {rules:?}");
        }
        assert_eq!(RULES.total(&uneven).all, 29);
        let huge = [Lag { counted: i64::MAX, all: i64::MAX }; 3];
        assert_eq!(Rules { bound: Bound::None, ..RULES }.total(&huge), Total { counted: i64::MAX, all: i64::MAX });
    }

    #[test]
    fn shares_are_divisors_of_the_partitions() {
        for (lag, partitions, share) in [
            (10, 100, 1),
            (20, 100, 2),
            (40, 100, 4),
            (50, 100, 5),
            (99, 100, 10),
            (100, 100, 10),
            (101, 100, 20),
            (2000, 100, 100),
            (11, 13, 13),
            (30, 0, 0),
        ] {
            assert_eq!(even_share(lag, partitions, 10), share, "{lag} over {partitions}");
        }
        // All divisors there are.
        for (partitions, divisors) in [
            (10, &[1, 2, 5, 10][..]),
            (13, &[1, 13]),
            (17, &[1, 17]),
            (25, &[1, 5, 25]),
            (50, &[1, 2, 5, 10, 25, 50]),
            (100, &[1, 2, 4, 5, 10, 20, 25, 50, 100]),
        ] {
            let mut shares: Vec<i64> = (1..=partitions).map(|lag| even_share(lag, partitions, 1)).collect();
            shares.dedup();
            assert_eq!(shares, divisors);
        }
    }

    #[test]
    fn counters_go_with_the_offsets() {
        let latest = |offsets: Offsets| (offsets.arrived(), offsets.done(&RULES));
        let earliest = |offsets: Offsets| (offsets.arrived(), offsets.done(&Rules { uncommitted: Uncommitted::All, ..RULES }));
        assert_eq!(latest(offsets(Some(3), Some(10), None)), (10, 3));
        assert_eq!(latest(offsets(None, Some(10), None)), (10, 10));
        assert_eq!(earliest(offsets(None, Some(10), None)), (10, 0));
        assert_eq!(earliest(offsets(None, None, None)), (0, 0));
    }
}
