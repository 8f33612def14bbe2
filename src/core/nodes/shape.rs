//! Shapes: pods that schedule alike are one shape with a count, so that a plan costs shapes x types and not pods x nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::requirement::{Labels, Requirements};
use super::resources::Resources;
use super::taint::{Taint, Toleration, in_the_way};

/// All that decides where a pod may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// What it asks for, `pods: 1` included.
    pub requests: Resources,
    /// Wishes for the node's labels: one of these must hold. A pod that asks for nothing has one empty entry.
    pub wishes: Vec<Requirements>,
    /// What it tolerates.
    pub tolerations: Vec<Toleration>,
    /// Its priority; higher goes first.
    pub priority: i32,
    /// Constraints that this planner does not place yet. Pods with any of them get no node from us rather than a wrong one.
    pub beyond: BTreeSet<Beyond>,
}

/// A constraint that the planner does not place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Beyond {
    TopologySpread,
    PodAffinity,
    PodAntiAffinity,
    HostPort,
    Volume,
    ResourceClaim,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TopologySpread => "a topology spread constraint that must hold",
            Self::PodAffinity => "required pod affinity",
            Self::PodAntiAffinity => "required pod anti-affinity",
            Self::HostPort => "a host port",
            Self::Volume => "a persistent volume claim",
            Self::ResourceClaim => "a resource claim",
        })
    }
}

impl Shape {
    /// Whether it may run on a node with these labels and taints, room apart.
    #[must_use]
    pub fn may_run_on<'a>(&self, labels: &Labels, taints: impl IntoIterator<Item = &'a Taint>) -> bool {
        in_the_way(taints, &self.tolerations).is_none() && self.wishes.iter().any(|wishes| wishes.unanswered_by(labels).is_none())
    }
}

/// The number of a shape in [`Shapes`]. It never decides an order that anyone sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShapeId(u32);

/// Every shape that is known, each once.
#[derive(Debug, Clone, Default)]
pub struct Shapes {
    all: Vec<Arc<Shape>>,
    ids: BTreeMap<Arc<Shape>, ShapeId>,
}

impl Shapes {
    /// The number of this shape, a new one where it is new.
    pub fn intern(&mut self, shape: Shape) -> ShapeId {
        if let Some(id) = self.ids.get(&shape) {
            return *id;
        }
        let id = ShapeId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let shape = Arc::new(shape);
        self.all.push(Arc::clone(&shape));
        self.ids.insert(shape, id);
        id
    }

    /// The shape of this number.
    ///
    /// # Panics
    /// Never for a number that these shapes gave out.
    #[must_use]
    pub fn get(&self, id: ShapeId) -> &Arc<Shape> {
        &self.all[id.0 as usize]
    }
}
