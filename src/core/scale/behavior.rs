//! How quickly replicas may follow what the metrics ask for: stabilization windows and rates, as the HPA applies them (`horizontal.go` upstream).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::policy::{Amount, Behavior, Policy, Rules, SCALE_IN_WINDOW, SYNC_PERIOD, Select};
use crate::reason::ScaleReason;
use crate::units::Replicas;
use crate::{Span, Timestamp};

/// Recommendations and changes of the recent past. Its loss is repaired by starting from the present number, so that nothing is scaled in early.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    recommended: VecDeque<(Timestamp, Replicas)>,
    changes: VecDeque<(Timestamp, i64)>,
}

impl History {
    /// A history that begins now, with the present number as its only recommendation.
    #[must_use]
    pub fn starting(now: Timestamp, present: Replicas) -> Self {
        Self { recommended: VecDeque::from([(now, present)]), changes: VecDeque::new() }
    }

    /// Takes in that the replicas were changed by us.
    pub fn changed(&mut self, at: Timestamp, from: Replicas, to: Replicas) {
        self.changes.push_back((at, i64::from(to.0) - i64::from(from.0)));
    }

    fn forget(&mut self, now: Timestamp) {
        let old = |at: Timestamp| now.duration_since(at) > LONGEST;
        while self.recommended.front().is_some_and(|(at, _)| old(*at)) {
            self.recommended.pop_front();
        }
        while self.changes.front().is_some_and(|(at, _)| old(*at)) {
            self.changes.pop_front();
        }
    }

    /// Recommendations are kept as a staircase: one that repeats the last but one and the last moves the last's time, so that a steady state keeps two entries.
    fn recommend(&mut self, now: Timestamp, replicas: Replicas) {
        let n = self.recommended.len();
        if n >= 2 && self.recommended[n - 1].1 == replicas && self.recommended[n - 2].1 == replicas {
            self.recommended[n - 1].0 = now;
        } else {
            self.recommended.push_back((now, replicas));
        }
    }

    fn within(&self, now: Timestamp, window: Span) -> impl Iterator<Item = Replicas> + '_ {
        self.recommended.iter().filter(move |(at, _)| now.duration_since(*at) < window).map(|(_, replicas)| *replicas)
    }

    /// The replicas at the start of a period that ends now, our own changes taken back.
    fn at_start(&self, now: Timestamp, period: Span, present: Replicas) -> i64 {
        let changed: i64 = self.changes.iter().filter(|(at, _)| now.duration_since(*at) < period).map(|(_, by)| by).sum();
        (i64::from(present.0) - changed).max(0)
    }
}

/// Windows and periods are no longer than an hour and half an hour in the HPA.
const LONGEST: Span = Span::from_hours(1);

/// The replicas to have now when the metrics ask for `desired`, from `present`.
#[must_use]
pub fn shape(
    now: Timestamp,
    policy: &Policy,
    present: Replicas,
    desired: Replicas,
    history: &mut History,
    reasons: &mut Vec<ScaleReason>,
) -> Replicas {
    history.forget(now);
    let held = match &policy.behavior {
        None => history.within(now, SCALE_IN_WINDOW).fold(desired, Replicas::max),
        Some(behavior) => stabilized(now, behavior, present, desired, history),
    };
    history.recommend(now, desired);
    if held != desired {
        reasons.push(ScaleReason::Stabilized { wanted: desired, held });
    }
    let limited = limit(now, policy, present, held, history);
    if limited != held.clamp(policy.floor(), policy.max.max(policy.floor())) {
        reasons.push(ScaleReason::RateLimited { wanted: held, allowed: limited });
    } else if held > policy.max {
        reasons.push(ScaleReason::AtMaximum { wanted: held, max: policy.max });
    } else if held < policy.floor() {
        reasons.push(ScaleReason::AtMinimum { min: policy.floor() });
    }
    limited
}

fn stabilized(now: Timestamp, behavior: &Behavior, present: Replicas, desired: Replicas, history: &History) -> Replicas {
    let up = history.within(now, behavior.up.window).fold(desired, Replicas::min);
    let down = history.within(now, behavior.down.window).fold(desired, Replicas::max);
    present.max(up).min(down)
}

fn limit(now: Timestamp, policy: &Policy, present: Replicas, wanted: Replicas, history: &History) -> Replicas {
    let (floor, max) = (policy.floor(), policy.max.max(policy.floor()));
    let Some(behavior) = &policy.behavior else {
        // One step of the default ramp in each sync period, however often we look.
        let start = history.at_start(now, SYNC_PERIOD, present);
        let most = replicas((2 * start).max(4)).max(present);
        return wanted.clamp(floor, max.min(most).max(floor));
    };
    if wanted > present {
        let most = bound(now, &behavior.up, present, history, true).max(present);
        wanted.min(max.min(most)).max(floor.min(most))
    } else if wanted < present {
        let least = bound(now, &behavior.down, present, history, false).min(present);
        wanted.max(floor.max(least)).min(max)
    } else {
        wanted.clamp(floor, max)
    }
}

/// How far the rates let the replicas go in one direction.
fn bound(now: Timestamp, rules: &Rules, present: Replicas, history: &History, up: bool) -> Replicas {
    let ends = rules.policies.iter().map(|rate| {
        let start = history.at_start(now, rate.period, present);
        match rate.amount {
            Amount::Pods(pods) if up => start + i64::from(pods),
            Amount::Pods(pods) => start - i64::from(pods),
            Amount::Percent(percent) if up => (start * (100 + i64::from(percent)) + 99) / 100,
            Amount::Percent(percent) => start * (100 - i64::from(percent)).max(0) / 100,
        }
    });
    // Going down, the policy that allows the most change is the one that ends lowest.
    let end = match rules.select {
        Select::Disabled => None,
        Select::Max if up => ends.max(),
        Select::Min if up => ends.min(),
        Select::Max => ends.min(),
        Select::Min => ends.max(),
    };
    end.map_or(present, replicas)
}

fn replicas(count: i64) -> Replicas {
    Replicas(u32::try_from(count.max(0)).unwrap_or(u32::MAX))
}
