//! Karpenter's kinds, `karpenter.sh/v1`, and the NodeClass of its kwok provider: pools of machines, claims to single ones.

pub mod kwok;
pub mod node_claim;
pub mod node_pool;
pub mod requirement;
pub mod spans;
pub mod validate;

pub use kwok::{KwokNodeClass, KwokNodeClassSpec};
pub use node_claim::{NodeClaim, NodeClaimSpec, NodeClaimStatus};
pub use node_pool::{Budget, Disruption, NodeClaimTemplate, NodeClaimTemplateSpec, NodePool, NodePoolSpec, NodePoolStatus};
pub use requirement::{NodeClassRef, Operator, Requirement};
pub use spans::{BudgetNodes, BudgetWindow, NillableDuration, PlainDuration};

/// When a node expires unless its pool says otherwise: 30 days.
pub(crate) const EXPIRE_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(720);
