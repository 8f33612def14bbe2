//! Replicas from a metric: the HPA's mathematics for external metrics (`replica_calculator.go` upstream).

use super::policy::TargetKind;
use crate::units::{MetricMilli, Replicas};

/// The present state of the target, as the HPA would see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// `spec.replicas`.
    pub replicas: Replicas,
    /// `status.replicas`.
    pub existing: Replicas,
    /// Pods that are running and ready.
    pub ready: Replicas,
}

/// What one trigger asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// The replicas.
    pub replicas: Replicas,
    /// Whether the metric is so near its target that nothing is to change.
    pub within_tolerance: bool,
}

/// Replicas for this metric. `tolerances` are the deviations down and up that change nothing, in thousandths.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "the HPA computes in doubles, and so do we, to come to the same number")]
pub fn proposal(kind: TargetKind, target: MetricMilli, value: MetricMilli, present: Present, tolerances: (u32, u32)) -> Proposal {
    let (usage, target) = (value.0.max(0) as f64, target.0.max(1) as f64);
    let within = |ratio: f64| 1.0 - f64::from(tolerances.0) / 1000.0 <= ratio && ratio <= 1.0 + f64::from(tolerances.1) / 1000.0;
    let steady = |replicas| Proposal { replicas, within_tolerance: true };
    let ratio = usage / target;
    match kind {
        TargetKind::AverageValue => {
            let existing = f64::from(present.existing.0);
            if existing > 0.0 && within(usage / (target * existing)) {
                return steady(present.existing);
            }
            Proposal { replicas: up_to(ratio), within_tolerance: false }
        }
        TargetKind::Value if present.replicas.0 == 0 => Proposal { replicas: up_to(ratio), within_tolerance: false },
        TargetKind::Value if within(ratio) => steady(present.replicas),
        TargetKind::Value => Proposal { replicas: up_to(ratio * f64::from(present.ready.0)), within_tolerance: false },
    }
}

fn up_to(replicas: f64) -> Replicas {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the HPA's range of numbers before")]
    Replicas(replicas.ceil().clamp(0.0, f64::from(i32::MAX)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_target_follow_the_hpa() {
        let present =
            |replicas, existing, ready| Present { replicas: Replicas(replicas), existing: Replicas(existing), ready: Replicas(ready) };
        use TargetKind::{AverageValue, Value};
        let table = [
            // kind, target, value, replicas, existing, ready => proposal, within
            (AverageValue, 10_000, 1_000_000, (0, 0, 0), 100, false),
            (AverageValue, 10_000, 1_000_000, (100, 100, 50), 100, true),
            (AverageValue, 10_000, 1_090_000, (100, 100, 50), 100, true),
            (AverageValue, 10_000, 1_110_000, (100, 100, 50), 111, false),
            (AverageValue, 10_000, 1, (1, 0, 0), 1, false),
            (AverageValue, 10_000, 0, (5, 5, 5), 0, false),
            (Value, 10_000, 25_000, (0, 0, 0), 3, false),
            (Value, 10_000, 25_000, (4, 4, 2), 5, false),
            (Value, 10_000, 10_500, (4, 4, 2), 4, true),
            (Value, 10_000, 25_000, (4, 4, 0), 0, false),
        ];
        for (kind, target, value, (replicas, existing, ready), wants, within) in table {
            let got = proposal(kind, MetricMilli(target), MetricMilli(value), present(replicas, existing, ready), (100, 100));
            assert_eq!(got, Proposal { replicas: Replicas(wants), within_tolerance: within }, "{kind:?} {value} of {target}");
        }
    }
}
