//! Why something was decided, or was not: typed values that print. Status, events, metrics, `explain` and the dashboard are renderings of these.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::nodes::intent::PATIENCE;
use crate::nodes::offer::CapacityType;
use crate::nodes::resources;
use crate::nodes::shape::Beyond;
use crate::units::{MetricMilli, Replicas};
use crate::{Span, Timestamp};

/// A reason in the workload layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the sentence that each prints is its documentation")]
pub enum ScaleReason {
    Metric { trigger: Name, value: MetricMilli, target: MetricMilli, wants: Replicas },
    Active { triggers: Vec<Name> },
    Inactive,
    WithinTolerance,
    AtMaximum { wanted: Replicas, max: Replicas },
    AtMinimum { min: Replicas },
    RateLimited { wanted: Replicas, allowed: Replicas },
    Stabilized { wanted: Replicas, held: Replicas },
    Cooldown { until: Timestamp },
    InFlight { messages: u64 },
    ReadFailed { trigger: Name, error: String },
    Unread,
    HeldByFailure,
    Fallback { replicas: Replicas },
    Paused,
    PausedAt { replicas: Replicas },
    ScaleInPaused,
    ScaleOutPaused,
    Forced,
}

impl fmt::Display for ScaleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metric { trigger, value, target, wants } => {
                write!(f, "trigger {trigger} reads {value} against a target of {target}: {wants} replicas")
            }
            Self::Active { triggers } => write!(f, "active by {}", triggers.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")),
            Self::Inactive => f.write_str("no trigger is active"),
            Self::WithinTolerance => f.write_str("the metric is within the tolerance of its target"),
            Self::AtMaximum { wanted, max } => write!(f, "{wanted} replicas wanted, and maxReplicaCount is {max}"),
            Self::AtMinimum { min } => write!(f, "held at the minimum of {min}"),
            Self::RateLimited { wanted, allowed } => write!(f, "{wanted} replicas wanted; the scaling policy allows {allowed} for now"),
            Self::Stabilized { wanted, held } => write!(f, "{wanted} replicas wanted; the stabilization window holds {held}"),
            Self::Cooldown { until } => write!(f, "idle, and the cooldown lasts until {until:.0}"),
            Self::InFlight { messages } => write!(f, "workers still hold {messages} unfinished messages"),
            Self::ReadFailed { trigger, error } => write!(f, "trigger {trigger} could not be read: {error}"),
            Self::Unread => f.write_str("no trigger has been read yet"),
            Self::HeldByFailure => f.write_str("nothing is scaled in while a trigger cannot be read"),
            Self::Fallback { replicas } => write!(f, "fallback asks for {replicas} replicas"),
            Self::Paused => f.write_str("paused by annotation"),
            Self::PausedAt { replicas } => write!(f, "paused by annotation at {replicas} replicas"),
            Self::ScaleInPaused => f.write_str("scale-in is paused by annotation"),
            Self::ScaleOutPaused => f.write_str("scale-out is paused by annotation"),
            Self::Forced => f.write_str("activated by annotation"),
        }
    }
}

/// Why pods that are wanted are not counted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the sentence that each prints is its documentation")]
pub enum IntentReason {
    Quota { quota: Name, room: u32, wanted: u32 },
    NoPodCame { after: Span, missing: u32 },
    NotWritten { after: Span, wanted: Replicas },
    Failure { message: String },
    Refused { message: String },
    TemplateUnknown,
}

impl fmt::Display for IntentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota { quota, room, wanted } => {
                write!(
                    f,
                    "{wanted} more pods are wanted and ResourceQuota {quota} leaves room for {room}; no node is started for the rest: raise the quota or lower maxReplicaCount"
                )
            }
            Self::NoPodCame { missing, .. } => {
                write!(
                    f,
                    "{missing} pods are missing and none has appeared for {} s; no node is started for them: look at the events of the ReplicaSet",
                    PATIENCE.as_secs()
                )
            }
            Self::NotWritten { wanted, .. } => write!(
                f,
                "{wanted} replicas are wanted and could not be written for {} s; no node is started for them: look at the daemon's log for the answer of the API server",
                PATIENCE.as_secs()
            ),
            Self::Failure { message } => write!(f, "its controller cannot create pods: {message}"),
            Self::Refused { message } => write!(f, "a pod of its template would be refused: {message}"),
            Self::TemplateUnknown => f.write_str("it is not known yet what its pods look like"),
        }
    }
}

/// Why a pod gets no node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the sentence that each prints is its documentation")]
pub enum NoNode {
    NoPools,
    Beyond { what: Beyond },
    PoolUnusable { pool: Name, why: String },
    Taint { pool: Name, key: Name },
    Label { pool: Name, key: Name },
    NothingFits { pool: Name, types: usize },
    Requirements { pool: Name, types: usize },
    OutOfStock { pool: Name, types: usize, of: BTreeSet<CapacityType>, zones: usize, until: Timestamp },
    Limit { pool: Name, resource: Name, used: i64, limit: i64, least: i64 },
    Volume { claim: Name, why: String },
    Spread { key: Name, max_skew: u32 },
    Near { key: Name },
    Apart { key: Name },
    Refused { key: Name },
    NoRoom,
    MinValues { pool: Name, key: Name, wanted: u32, types: usize },
    EffortSpent,
}

impl fmt::Display for NoNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPools => f.write_str("there is no NodePool"),
            Self::Beyond { what } => write!(f, "it has {what}, which is not planned for yet"),
            Self::PoolUnusable { pool, why } => write!(f, "pool {pool} cannot be used: {why}"),
            Self::Taint { pool, key } => write!(f, "pool {pool} is excluded by its taint {key}"),
            Self::Label { pool, key } => write!(f, "pool {pool} is excluded by the label {key}"),
            Self::NothingFits { pool, types: 0 } => {
                write!(f, "no instance type is known that pool {pool} may buy: its cloud has not said yet what it sells, or sells none")
            }
            Self::NothingFits { pool, types } => write!(f, "none of the {types} types of pool {pool} has room for it"),
            Self::Requirements { pool, types } => {
                write!(
                    f,
                    "the requirements of pool {pool} exclude all {types} types that its cloud sells; widen spec.template.spec.requirements of it"
                )
            }
            Self::OutOfStock { pool, types, of, zones, until } => {
                let of = of.iter().map(|kind| kind.label()).collect::<Vec<_>>().join(" and ");
                let s = |n: usize| if n == 1 { "" } else { "s" };
                write!(
                    f,
                    "{types} type{} of pool {pool} fit{}, all out of {of} stock in {zones} zone{} until {until:.0}",
                    s(*types),
                    if *types == 1 { "s" } else { "" },
                    s(*zones)
                )
            }
            Self::Limit { pool, resource, used, limit, least } => {
                let amount = |n: i64| resources::amount(resource, n);
                write!(
                    f,
                    "pool {pool} has reached its limit of {resource}: {} of {} are used, and the smallest machine that would do adds {}; raise spec.limits.{resource} of NodePool {pool} to {} or more, or free some of it",
                    amount(*used),
                    amount(*limit),
                    amount(*least),
                    amount(used.saturating_add(*least))
                )
            }
            Self::Volume { claim, why } => write!(f, "its volume claim {claim} keeps it from any node: {why}"),
            Self::Spread { key, max_skew } => write!(
                f,
                "its topology spread by {key} leaves it no domain: one more in any that can still hold it would be more than maxSkew {max_skew} above the emptiest"
            ),
            Self::Near { key } => {
                write!(
                    f,
                    "its required pod affinity by {key} leaves it no domain: the pods that it wants to be with are nowhere that can still hold it"
                )
            }
            Self::Apart { key } => {
                write!(
                    f,
                    "its required pod anti-affinity by {key} leaves it no domain: in each that can hold it there is a pod that it refuses"
                )
            }
            Self::Refused { key } => {
                write!(
                    f,
                    "the required pod anti-affinity by {key} of other pods leaves it no domain: in each that can hold it there is one that refuses it"
                )
            }
            Self::NoRoom => f.write_str("what it asks of the pods beside it leaves it no node that could be started now"),
            Self::MinValues { pool, key, wanted, types } => write!(
                f,
                "pool {pool} asks for at least {wanted} values of {key} to choose from (minValues), and the {types} types that have room for it have fewer"
            ),
            Self::EffortSpent => f.write_str("the planner's effort for this turn was spent; the next turn goes on"),
        }
    }
}
