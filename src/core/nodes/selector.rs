//! Which pods a constraint speaks of. Selectors are interned, and a pod's shape holds which of them select it instead of its labels: pods that no selector
//! tells apart schedule alike.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::requirement::{Labels, Requirements};
use crate::name::Name;

/// Pods by namespace and labels. A pod is selected where all parts select it: kube-scheduler counts for required pod affinity only pods that answer each of
/// its terms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodSelector(pub Vec<Part>);

/// One part of a selector.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part {
    /// Namespaces by name.
    pub namespaces: BTreeSet<Name>,
    /// Namespaces by their labels, besides those by name. No wishes are every namespace.
    pub namespace_labels: Option<Requirements>,
    /// The pods' labels. No wishes are every pod; none is no pod at all.
    pub labels: Option<Requirements>,
}

/// What selectors ask of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its namespace.
    pub namespace: Name,
    /// Its labels.
    pub labels: Labels,
}

impl PodSelector {
    /// Whether it selects a pod of this identity in a namespace with these labels.
    #[must_use]
    pub fn selects(&self, pod: &Identity, namespace: &Labels) -> bool {
        !self.0.is_empty() && self.0.iter().all(|part| part.selects(pod, namespace))
    }
}

impl Part {
    fn selects(&self, pod: &Identity, namespace: &Labels) -> bool {
        let here = self.namespaces.contains(&pod.namespace)
            || self.namespace_labels.as_ref().is_some_and(|wishes| wishes.unanswered_by(namespace).is_none());
        here && self.labels.as_ref().is_some_and(|wishes| wishes.unanswered_by(&pod.labels).is_none())
    }
}

/// The number of a selector in [`super::shape::Shapes`]. It never decides an order that anyone sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SelectorId(pub(super) u32);

/// A set of selectors.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selectors(Vec<u64>);

impl Selectors {
    /// Adds one.
    pub fn insert(&mut self, id: SelectorId) {
        let word = id.0 as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (id.0 % 64);
        }
    }

    /// Whether this one is in it.
    #[must_use]
    pub fn contains(&self, id: SelectorId) -> bool {
        self.0.get(id.0 as usize / 64).is_some_and(|bits| bits & (1 << (id.0 % 64)) != 0)
    }

    /// Whether the two have one in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = SelectorId> + '_ {
        (0_u32..)
            .zip(&self.0)
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| SelectorId(word * 64 + bit)))
    }
}

impl FromIterator<SelectorId> for Selectors {
    fn from_iter<I: IntoIterator<Item = SelectorId>>(ids: I) -> Self {
        let mut all = Self::default();
        ids.into_iter().for_each(|id| all.insert(id));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::requirement::Operator;
    use super::super::scene::{wish, wishes};
    use super::*;

    fn pod(namespace: &str, rows: &[(&str, &str)]) -> Identity {
        Identity { namespace: namespace.into(), labels: rows.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect() }
    }

    #[test]
    fn a_part_without_labels_selects_nothing_and_one_with_no_wishes_everything_in_its_namespaces() {
        let part = |labels| Part { namespaces: ["a".into()].into(), namespace_labels: None, labels };
        let none = Labels::new();
        assert!(!PodSelector(vec![part(None)]).selects(&pod("a", &[]), &none));
        assert!(PodSelector(vec![part(Some(Requirements::default()))]).selects(&pod("a", &[("x", "y")]), &none));
        assert!(!PodSelector(vec![part(Some(Requirements::default()))]).selects(&pod("b", &[]), &none));
        assert!(!PodSelector(Vec::new()).selects(&pod("a", &[]), &none));
        let both = PodSelector(vec![part(Some(wishes(&[("x", "y")]))), part(Some(wish("z", Operator::Exists, &[])))]);
        assert!(both.selects(&pod("a", &[("x", "y"), ("z", "1")]), &none));
        assert!(!both.selects(&pod("a", &[("x", "y")]), &none));
    }

    #[test]
    fn namespaces_are_selected_by_name_or_by_label() {
        let part = Part {
            namespaces: ["a".into()].into(),
            namespace_labels: Some(wishes(&[("team", "red")])),
            labels: Some(Requirements::default()),
        };
        let red = Labels::from([("team".into(), "red".into())]);
        let selector = PodSelector(vec![part]);
        assert!(selector.selects(&pod("a", &[]), &Labels::new()));
        assert!(selector.selects(&pod("b", &[]), &red));
        assert!(!selector.selects(&pod("b", &[]), &Labels::new()));
    }

    #[test]
    fn sets_know_their_members() {
        let set: Selectors = [3, 64, 130].map(SelectorId).into_iter().collect();
        assert_eq!(set.iter().map(|id| id.0).collect::<Vec<_>>(), [3, 64, 130]);
        assert!(set.contains(SelectorId(64)) && !set.contains(SelectorId(65)) && !set.contains(SelectorId(1000)));
        assert!(set.meets(&[SelectorId(130)].into_iter().collect()) && !set.meets(&[SelectorId(2)].into_iter().collect()));
    }
}
