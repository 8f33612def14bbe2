//! Shapes: pods that schedule alike are one shape with a count, so that a plan costs shapes x types and not pods x nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::constraint::{HostPort, Preference, Spread, Term};
use super::requirement::{Labels, Requirements};
use super::resources::Resources;
use super::selector::{Identity, PodSelector, SelectorId, Selectors};
use super::storage::VolumeUse;
use super::taint::{Taint, Toleration, in_the_way};
use crate::name::Name;

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
    /// Pods over which it has to be spread.
    pub spreads: Vec<Spread>,
    /// Pods that have to be near.
    pub near: Vec<Term>,
    /// Pods that must not be near.
    pub apart: Vec<Term>,
    /// Ports of the node that it takes.
    pub ports: Vec<HostPort>,
    /// Volumes that it uses.
    pub volumes: Vec<VolumeUse>,
    /// What would be good to have, heaviest first.
    pub preferences: Vec<Preference>,
    /// The selectors that select it.
    pub selected_by: Selectors,
    /// Constraints that this planner does not place yet. Pods with any of them get no node from us rather than a wrong one.
    pub beyond: BTreeSet<Beyond>,
}

/// A constraint that the planner does not place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Beyond {
    ResourceClaim,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
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

/// Every shape and selector that is known, each once, and which selects which.
#[derive(Debug, Clone, Default)]
pub struct Shapes {
    all: Vec<Arc<Shape>>,
    ids: BTreeMap<Arc<Shape>, ShapeId>,
    selectors: Vec<PodSelector>,
    selector_ids: BTreeMap<PodSelector, SelectorId>,
    namespaces: BTreeMap<Name, Labels>,
    selected: BTreeMap<Arc<Identity>, Selectors>,
    generation: u64,
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

    /// This identity, shared with the pods of it that are known.
    #[must_use]
    pub fn identify(&self, pod: Identity) -> Arc<Identity> {
        self.selected.get_key_value(&pod).map_or_else(|| Arc::new(pod), |(known, _)| Arc::clone(known))
    }

    /// The number of the shape that a pod of this identity has with all else as in `shape`.
    pub fn intern_for(&mut self, shape: Shape, pod: &Arc<Identity>) -> ShapeId {
        let selected_by = self.selecting(pod);
        self.intern(Shape { selected_by, ..shape })
    }

    /// The same after selectors or namespaces have changed.
    pub fn classify(&mut self, id: ShapeId, pod: &Arc<Identity>) -> ShapeId {
        let selected_by = self.selecting(pod);
        if self.get(id).selected_by == selected_by { id } else { self.intern(Shape { selected_by, ..(**self.get(id)).clone() }) }
    }

    fn selecting(&mut self, pod: &Arc<Identity>) -> Selectors {
        if let Some(known) = self.selected.get(pod) {
            return known.clone();
        }
        let nothing = Labels::new();
        let namespace = self.namespaces.get(&pod.namespace).unwrap_or(&nothing);
        let selecting = self.selectors.iter().filter(|selector| selector.selects(pod, namespace));
        let found: Selectors = selecting.filter_map(|selector| self.selector_ids.get(selector).copied()).collect();
        self.selected.insert(Arc::clone(pod), found.clone());
        found
    }

    /// The number of this selector, a new one where it is new: shapes that were interned before do not know it yet.
    pub fn select(&mut self, selector: PodSelector) -> SelectorId {
        if let Some(id) = self.selector_ids.get(&selector) {
            return *id;
        }
        let id = SelectorId(u32::try_from(self.selectors.len()).unwrap_or(u32::MAX));
        self.selectors.push(selector.clone());
        self.selector_ids.insert(selector, id);
        self.changed();
        id
    }

    /// Takes in a namespace's labels; none where it is gone.
    pub fn set_namespace(&mut self, name: Name, labels: Option<Labels>) {
        let before = match labels {
            Some(labels) if self.namespaces.get(&name) == Some(&labels) => return,
            Some(labels) => self.namespaces.insert(name, labels),
            None => self.namespaces.remove(&name),
        };
        drop(before);
        self.changed();
    }

    fn changed(&mut self) {
        self.generation += 1;
        self.selected.clear();
    }

    /// The selector of this number.
    ///
    /// # Panics
    /// Never for a number that these shapes gave out.
    #[must_use]
    pub fn selector(&self, id: SelectorId) -> &PodSelector {
        &self.selectors[id.0 as usize]
    }

    /// How often selectors or namespaces have changed.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
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
