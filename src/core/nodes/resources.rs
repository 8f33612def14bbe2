//! Amounts of CPU, memory, storage, pods and extended resources, and whether one amount fits into another.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::units::{Bytes, MilliCpu};

/// An amount of each resource. What a pod asks for counts as one of `pods`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// CPU.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: Bytes,
    /// Local storage (`ephemeral-storage`).
    pub ephemeral: Bytes,
    /// Places for pods.
    pub pods: i64,
    /// Extended resources in whole units, for example `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extended: BTreeMap<Name, i64>,
}

/// The resources that matter in one turn: amounts of them as a list, in their order, are what the packers reckon with.
#[derive(Debug, Clone)]
pub(super) struct Dimensions(Vec<Name>);

impl Dimensions {
    /// The usual ones, and every extended resource of these amounts.
    pub(super) fn of<'a>(amounts: impl IntoIterator<Item = &'a Resources>) -> Self {
        let mut names: BTreeSet<Name> = ["cpu", "memory", "ephemeral-storage", "pods"].map(Name::from).into();
        names.extend(amounts.into_iter().flat_map(|amount| amount.extended.keys().cloned()));
        Self(names.into_iter().collect())
    }

    /// An amount by dimension.
    pub(super) fn list(&self, amount: &Resources) -> Vec<i64> {
        self.0.iter().map(|name| amount.get(name)).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Resources {
    /// Whether all of it fits into `room`. What is not asked for needs no room, so that a zero request fits an overfull node.
    #[must_use]
    pub fn fits(&self, room: &Self) -> bool {
        let one = |want: i64, have: i64| want <= 0 || want <= have;
        one(self.cpu.0, room.cpu.0)
            && one(self.memory.0, room.memory.0)
            && one(self.ephemeral.0, room.ephemeral.0)
            && one(self.pods, room.pods)
            && self.extended.iter().all(|(name, want)| one(*want, room.extended.get(name).copied().unwrap_or(0)))
    }

    /// How many of it fit into `room`; `u32::MAX` where it asks for nothing.
    #[must_use]
    pub fn times_in(&self, room: &Self) -> u32 {
        let one = |want: i64, have: i64| if want <= 0 { u32::MAX } else { u32::try_from((have / want).max(0)).unwrap_or(u32::MAX) };
        [(self.cpu.0, room.cpu.0), (self.memory.0, room.memory.0), (self.ephemeral.0, room.ephemeral.0), (self.pods, room.pods)]
            .into_iter()
            .chain(self.extended.iter().map(|(name, want)| (*want, room.extended.get(name).copied().unwrap_or(0))))
            .map(|(want, have)| one(want, have))
            .min()
            .unwrap_or(u32::MAX)
    }

    /// Adds `times` of `other`.
    pub fn add(&mut self, other: &Self, times: u32) {
        self.combine(other, i64::from(times));
    }

    /// Takes `times` of `other` away; amounts may fall below zero, as on an overfull node.
    pub fn take(&mut self, other: &Self, times: u32) {
        self.combine(other, -i64::from(times));
    }

    fn combine(&mut self, other: &Self, factor: i64) {
        let step = |mine: i64, theirs: i64| mine.saturating_add(theirs.saturating_mul(factor));
        self.cpu.0 = step(self.cpu.0, other.cpu.0);
        self.memory.0 = step(self.memory.0, other.memory.0);
        self.ephemeral.0 = step(self.ephemeral.0, other.ephemeral.0);
        self.pods = step(self.pods, other.pods);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_insert(0);
            *mine = step(*mine, *amount);
        }
    }

    /// The larger of the two in each dimension.
    #[must_use]
    pub fn max(mut self, other: &Self) -> Self {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral = self.ephemeral.max(other.ephemeral);
        self.pods = self.pods.max(other.pods);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_insert(0);
            *mine = (*mine).max(*amount);
        }
        self
    }

    /// The smaller of the two in each dimension.
    #[must_use]
    pub fn min(mut self, other: &Self) -> Self {
        self.cpu = self.cpu.min(other.cpu);
        self.memory = self.memory.min(other.memory);
        self.ephemeral = self.ephemeral.min(other.ephemeral);
        self.pods = self.pods.min(other.pods);
        for name in other.extended.keys() {
            self.extended.entry(name.clone()).or_insert(0);
        }
        for (name, mine) in &mut self.extended {
            *mine = (*mine).min(other.get(name));
        }
        self
    }

    /// By Kubernetes' name of the resource; CPU in millicores, everything else in whole units.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu.0,
            "memory" => self.memory.0,
            "ephemeral-storage" => self.ephemeral.0,
            "pods" => self.pods,
            other => self.extended.get(other).copied().unwrap_or(0),
        }
    }

    /// Sets one resource by Kubernetes' name of it; units as in [`Resources::get`].
    pub fn set(&mut self, name: &str, amount: i64) {
        match name {
            "cpu" => self.cpu.0 = amount,
            "memory" => self.memory.0 = amount,
            "ephemeral-storage" => self.ephemeral.0 = amount,
            "pods" => self.pods = amount,
            other => {
                self.extended.insert(other.into(), amount);
            }
        }
    }
}

/// An amount of this resource, in the units of [`Resources::get`], as Kubernetes writes it.
#[must_use]
pub fn amount(resource: &str, n: i64) -> String {
    match resource {
        "cpu" => MilliCpu(n).to_string(),
        "memory" | "ephemeral-storage" => Bytes(n).to_string(),
        _ => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cpu: i64, memory: i64, pods: i64) -> Resources {
        Resources { cpu: MilliCpu(cpu), memory: Bytes(memory), pods, ..Resources::default() }
    }

    #[test]
    fn a_pod_fits_as_often_as_its_scarcest_resource_allows() {
        assert_eq!(of(1000, 10, 1).times_in(&of(3900, 1000, 110)), 3);
        assert_eq!(of(0, 0, 1).times_in(&of(3900, 1000, 110)), 110);
        assert_eq!(of(0, 0, 0).times_in(&of(0, 0, 0)), u32::MAX);
        assert!(of(0, 0, 0).fits(&of(-5, 0, 0)));
        let mut gpu = of(100, 0, 1);
        gpu.set("nvidia.com/gpu", 1);
        assert!(!gpu.fits(&of(1000, 1000, 10)));
    }

    #[test]
    fn taking_back_what_was_added_leaves_what_was_there() {
        let mut room = of(4000, 100, 10);
        room.take(&of(1000, 10, 1), 3);
        room.add(&of(1000, 10, 1), 3);
        assert_eq!(room, of(4000, 100, 10));
    }
}
