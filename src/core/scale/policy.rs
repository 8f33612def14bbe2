//! What a ScaledObject asks for, typed once.

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::units::{MetricMilli, Replicas};
use crate::{Span, Timestamp};

/// How one target is to be scaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Never fewer while idle replicas are not in force.
    pub min: Replicas,
    /// Never more.
    pub max: Replicas,
    /// Replicas while nothing is active, where they differ from `min`.
    pub idle: Option<Replicas>,
    /// Quiet time after the last activity before replicas go to the minimum of zero or to `idle`.
    pub cooldown: Span,
    /// The same before there was any activity, counted from `created`.
    pub initial_cooldown: Span,
    /// When the object was created.
    pub created: Timestamp,
    /// Rates and windows; none is the HPA's behaviour of old (windows of 5 minutes down and none up, doubling with at least 4 in 15 s).
    pub behavior: Option<Behavior>,
    /// What to do when triggers cannot be read.
    pub fallback: Option<Fallback>,
    /// What annotations hold back.
    pub pause: Pause,
    /// Active whatever the triggers say.
    pub forced: bool,
    /// The triggers, in the order of their readings.
    pub triggers: Vec<TriggerPolicy>,
}

/// One trigger's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerPolicy {
    /// The metric's name, with its index: `s0-rabbitmq-orders`.
    pub name: Name,
    /// What the metric is to be per replica, or altogether.
    pub target: MetricMilli,
    /// Which of the two.
    pub kind: TargetKind,
    /// Strictly more than this is activity.
    pub activation: MetricMilli,
}

/// How a metric's target is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the HPA's own")]
pub enum TargetKind {
    AverageValue,
    Value,
}

/// What annotations hold back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// Nothing.
    #[default]
    None,
    /// All scaling.
    All,
    /// All scaling, at this number.
    At(Replicas),
    /// Fewer replicas.
    ScaleIn,
    /// More replicas.
    ScaleOut,
}

/// Replicas to have when triggers cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// More failures in a row than this.
    pub after_failures: u32,
    /// So many replicas.
    pub replicas: Replicas,
    /// In which relation to those that there are.
    pub behavior: FallbackBehavior,
}

/// How fallback replicas relate to the present ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are KEDA's own")]
pub enum FallbackBehavior {
    Static,
    CurrentReplicas,
    CurrentReplicasIfHigher,
    CurrentReplicasIfLower,
}

/// Rates and windows in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behavior {
    /// Upwards.
    pub up: Rules,
    /// Downwards.
    pub down: Rules,
}

/// Rates and window in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The most cautious recommendation of this stretch counts.
    pub window: Span,
    /// Which of the policies counts.
    pub select: Select,
    /// How much may change in which time.
    pub policies: Vec<Rate>,
    /// Deviation from the target that changes nothing, in thousandths.
    pub tolerance_milli: u32,
}

/// Which of several rates counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the HPA's own")]
pub enum Select {
    Max,
    Min,
    Disabled,
}

/// How much may change in which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The amount.
    pub amount: Amount,
    /// The time.
    pub period: Span,
}

/// An amount of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount {
    /// So many pods.
    Pods(u32),
    /// Such a share of the pods that there were at the period's start.
    Percent(u32),
}

/// The HPA's tolerance where none is set: a tenth.
pub const TOLERANCE_MILLI: u32 = 100;
/// The HPA's window before it scales in, where none is set.
pub const SCALE_IN_WINDOW: Span = Span::from_mins(5);
/// The HPA's step in time; its default ramp is one step in each.
pub const SYNC_PERIOD: Span = Span::from_secs(15);

impl Rules {
    /// What the API server fills in upwards where a behaviour is given: 4 pods or 100 % in 15 s, whichever is more.
    #[must_use]
    pub fn default_up() -> Self {
        let rate = |amount| Rate { amount, period: SYNC_PERIOD };
        let policies = vec![rate(Amount::Pods(4)), rate(Amount::Percent(100))];
        Self { window: Span::ZERO, select: Select::Max, policies, tolerance_milli: TOLERANCE_MILLI }
    }

    /// What the API server fills in downwards where a behaviour is given: 100 % in 15 s, after a window of 5 minutes.
    #[must_use]
    pub fn default_down() -> Self {
        let policies = vec![Rate { amount: Amount::Percent(100), period: SYNC_PERIOD }];
        Self { window: SCALE_IN_WINDOW, select: Select::Max, policies, tolerance_milli: TOLERANCE_MILLI }
    }
}

impl Policy {
    /// The least that the HPA's mathematics may ask for: it never goes to zero.
    #[must_use]
    pub fn floor(&self) -> Replicas {
        self.min.max(Replicas(1))
    }

    /// Tolerances down and up.
    #[must_use]
    pub fn tolerances(&self) -> (u32, u32) {
        self.behavior.as_ref().map_or((TOLERANCE_MILLI, TOLERANCE_MILLI), |b| (b.down.tolerance_milli, b.up.tolerance_milli))
    }
}
