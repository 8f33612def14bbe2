//! One trigger's answer to "how much work waits?". A failed read is never zero: it is `Failed`, and only the workload layer decides what that means.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::units::MetricMilli;

/// What is known of one trigger at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// The broker answered.
    Value(Sample),
    /// The broker answered before, and fails now: the last answer, and why there is no newer one.
    Stale {
        /// The last good answer.
        last: Sample,
        /// Why the reads since then failed, for people; never holds a secret.
        error: String,
        /// How many reads have failed in a row.
        failures: u32,
    },
    /// The broker has not answered yet at all.
    Failed {
        /// Why, for people; never holds a secret.
        error: String,
        /// How many reads have failed in a row.
        failures: u32,
    },
}

/// A broker's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The number that the trigger's target is compared with.
    pub metric: MetricMilli,
    /// The target that the broker itself gives, where it does: it takes the place of the trigger's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<MetricMilli>,
    /// Whether there is work to activate for.
    pub activity: Activity,
    /// Messages that wait for a worker, where the broker tells.
    pub ready: Option<u64>,
    /// Messages that workers hold and have not finished, where the broker tells.
    pub in_flight: Option<u64>,
    /// Messages that ever arrived (a counter that only grows while the broker lives), where the broker tells.
    pub arrived: Option<u64>,
    /// Messages that were ever finished (a counter, as above), where the broker tells.
    pub done: Option<u64>,
    /// When the broker was asked: work that arrived later is not in this sample.
    pub as_of: Timestamp,
}

/// How a sample speaks of activity (0 <-> 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// The metric is compared with the trigger's activation value (strictly greater is active).
    Compare,
    /// The scaler knows by other means.
    Known(bool),
}

impl Reading {
    /// The newest sample that there is, fresh or stale.
    #[must_use]
    pub const fn last(&self) -> Option<&Sample> {
        match self {
            Self::Value(sample) | Self::Stale { last: sample, .. } => Some(sample),
            Self::Failed { .. } => None,
        }
    }

    /// The error and how often it has come, where the last read failed.
    #[must_use]
    pub fn failure(&self) -> Option<(&str, u32)> {
        match self {
            Self::Value(_) => None,
            Self::Stale { error, failures, .. } | Self::Failed { error, failures } => Some((error, *failures)),
        }
    }
}
