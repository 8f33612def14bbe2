//! Pods as the planner sees them: how they schedule, where they are, and whether they count.

use std::sync::Arc;

use super::selector::Identity;
use super::shape::ShapeId;
use crate::name::Name;
use crate::{Span, Timestamp};

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its UID.
    pub uid: Name,
    /// Its resource version.
    pub version: u64,
    /// How it schedules.
    pub shape: ShapeId,
    /// What selectors ask of it.
    pub identity: Arc<Identity>,
    /// The node that it is bound to.
    pub node: Option<Name>,
    /// UID of the object that controls it.
    pub controller: Option<Name>,
    /// What kind of pod it is to the planner.
    pub role: PodRole,
    /// How far it has come.
    pub phase: PodPhase,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether scheduling gates hold it back.
    pub gated: bool,
    /// How long it may take to stop.
    pub grace: Span,
    /// When it was created.
    pub created: Timestamp,
}

/// What a pod is to the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodRole {
    /// It does work, and has to be placed.
    Work,
    /// A DaemonSet's: it comes with each node.
    Daemon,
    /// The node's own (a mirror pod).
    Static,
}

/// How far a pod has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kubernetes' phases; ended is Succeeded or Failed")]
pub enum PodPhase {
    Pending,
    Running,
    Ended,
}

impl Pod {
    /// Whether it holds room on its node or will need some.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        !matches!(self.phase, PodPhase::Ended)
    }

    /// Whether it counts as a replica: alive and not on its way out.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.is_alive() && !self.deleting
    }

    /// The node on which it holds room, where it does, and as what.
    pub(super) fn occupies(&self) -> Option<(&Name, PodRole, &Name)> {
        self.node.as_ref().filter(|_| self.is_alive()).map(|node| (node, self.role, &self.uid))
    }

    /// Whether it waits for a node.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.counts() && self.node.is_none() && !self.gated && self.role == PodRole::Work && self.phase == PodPhase::Pending
    }
}
