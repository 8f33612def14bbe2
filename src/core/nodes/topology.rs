//! Domains: how many pods of a selector there are in each value of a label, and which values there are or could be.

use std::collections::BTreeMap;

use super::constraint::{HOSTNAME, Preferred, Spread, Term};
use super::requirement::{Labels, Requirements};
use super::selector::SelectorId;
use super::shape::Shape;
use super::taint::{Taint, Toleration, in_the_way};
use crate::name::Name;

/// Counts by domain for each label and selector that some pod asks about.
#[derive(Debug, Default)]
pub(super) struct Topology {
    groups: Vec<Group>,
    index: BTreeMap<GroupKey, usize>,
    by_selector: BTreeMap<SelectorId, Vec<usize>>,
}

/// Pods of one selector by the values of one label.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: Name,
    /// Only pods on nodes that this admits are counted.
    pub(super) filter: Option<Filter>,
    /// Whether it is one of spread, which does not count pods that are on their way out.
    pub(super) is_spread: bool,
    counts: BTreeMap<Name, u32>,
    refused_by: BTreeMap<Name, u32>,
}

/// Nodes that a spread constraint looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Filter {
    /// By their labels: one of these holds.
    pub(super) wishes: Option<Vec<Requirements>>,
    /// By their taints.
    pub(super) tolerations: Option<Vec<Toleration>>,
}

type GroupKey = (Name, SelectorId, Option<Filter>, bool);

/// That pods count in a domain of a group, or that they refuse those who do.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) group: usize,
    domain: Name,
    refuses: bool,
}

/// What a class asks of the domain that it goes to.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) key: Name,
    pub(super) group: usize,
    pub(super) kind: RuleKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleKind {
    /// Evenly over domains.
    Spread { max_skew: u32, min_domains: Option<u32>, by_affinity: bool, by_taints: bool, itself: bool },
    /// Where they are.
    Near { itself: bool },
    /// Where they are not.
    Apart { itself: bool },
    /// Not where somebody refuses it.
    Refused,
    /// Nothing; it is only counted.
    Counted,
}

impl Filter {
    /// The nodes that a spread constraint of this shape looks at.
    pub(super) fn of(shape: &Shape, spread: &Spread) -> Self {
        let plain = shape.wishes.iter().all(|wishes| wishes.0.is_empty());
        Self {
            wishes: (spread.by_affinity && !plain).then(|| shape.wishes.clone()),
            tolerations: spread.by_taints.then(|| shape.tolerations.clone()),
        }
    }

    /// Whether a node with these labels and taints is one of them.
    pub(super) fn admits(&self, labels: &Labels, taints: &[Taint]) -> bool {
        self.wishes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.unanswered_by(labels).is_none()))
            && self.tolerations.as_ref().is_none_or(|all| in_the_way(taints, all).is_none())
    }
}

impl Topology {
    /// Makes sure that what this shape asks about is counted.
    pub(super) fn learn(&mut self, shape: &Shape) {
        for spread in &shape.spreads {
            self.group_of_spread(shape, spread);
        }
        for term in shape.near.iter().chain(&shape.apart) {
            self.group_of_term(term);
        }
        for preference in &shape.preferences {
            match &preference.wish {
                Preferred::Near(term) | Preferred::Apart(term) => _ = self.group_of_term(term),
                Preferred::Node(_) | Preferred::Spread(_) => {}
            }
        }
    }

    /// Makes sure that what a running pod refuses is known.
    pub(super) fn learn_running(&mut self, shape: &Shape) {
        for term in &shape.apart {
            self.group_of_term(term);
        }
    }

    fn group_of_term(&mut self, term: &Term) -> Option<usize> {
        (term.key != HOSTNAME).then(|| self.group((term.key.clone(), term.selector, None, false)))
    }

    fn group_of_spread(&mut self, shape: &Shape, spread: &Spread) -> Option<usize> {
        if spread.key == HOSTNAME {
            return None;
        }
        let filter = Filter::of(shape, spread);
        let filter = (filter.wishes.is_some() || filter.tolerations.is_some()).then_some(filter);
        Some(self.group((spread.key.clone(), spread.selector, filter, true)))
    }

    fn group(&mut self, key: GroupKey) -> usize {
        if let Some(known) = self.index.get(&key) {
            return *known;
        }
        let at = self.groups.len();
        let (label, selector, filter, is_spread) = key.clone();
        self.groups.push(Group { key: label, filter, is_spread, counts: BTreeMap::new(), refused_by: BTreeMap::new() });
        self.by_selector.entry(selector).or_default().push(at);
        self.index.insert(key, at);
        at
    }

    /// Whether no pod asks about anything but its node.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn group_at(&self, at: usize) -> &Group {
        &self.groups[at]
    }

    /// Groups that count pods of this shape.
    fn counting<'a>(&'a self, shape: &'a Shape) -> impl Iterator<Item = usize> + 'a {
        shape.selected_by.iter().filter_map(|id| self.by_selector.get(&id)).flatten().copied()
    }

    /// Groups whose pods this shape refuses.
    fn refused<'a>(&'a self, shape: &'a Shape) -> impl Iterator<Item = usize> + 'a {
        shape.apart.iter().filter_map(|term| self.index.get(&(term.key.clone(), term.selector, None, false))).copied()
    }

    /// Where pods of this shape count, and whom they refuse, in a place with these labels that some groups look at.
    pub(super) fn counted<'v>(
        &self,
        shape: &Shape,
        value: impl Fn(&Name) -> Option<&'v Name>,
        admits: impl Fn(&Filter) -> bool,
    ) -> Vec<Counted> {
        if self.is_empty() {
            return Vec::new();
        }
        let admitting = self.counting(shape).filter(|group| self.groups[*group].filter.as_ref().is_none_or(&admits));
        let all = admitting.map(|group| (group, false)).chain(self.refused(shape).map(|group| (group, true)));
        let known = all.filter_map(|(group, refuses)| Some(Counted { group, domain: value(&self.groups[group].key)?.clone(), refuses }));
        known.collect()
    }

    /// Everything that matters for where pods of this shape go, with those of its preferences that are to hold.
    pub(super) fn rules(&mut self, shape: &Shape, near: &[&Term], apart: &[&Term]) -> Vec<Rule> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut rules: Vec<Rule> = Vec::new();
        let mut add = |topology: &Self, group: Option<usize>, kind| {
            if let Some(group) = group {
                rules.push(Rule { key: topology.groups[group].key.clone(), group, kind });
            }
        };
        for spread in &shape.spreads {
            let group = self.group_of_spread(shape, spread);
            let itself = shape.selected_by.contains(spread.selector);
            let Spread { max_skew, min_domains, by_affinity, by_taints, .. } = *spread;
            add(self, group, RuleKind::Spread { max_skew, min_domains, by_affinity, by_taints, itself });
        }
        for term in shape.near.iter().chain(near.iter().copied()) {
            let group = self.group_of_term(term);
            add(self, group, RuleKind::Near { itself: shape.selected_by.contains(term.selector) });
        }
        for term in shape.apart.iter().chain(apart.iter().copied()) {
            let group = self.group_of_term(term);
            add(self, group, RuleKind::Apart { itself: shape.selected_by.contains(term.selector) });
        }
        let counting: Vec<usize> = self.counting(shape).collect();
        for group in counting {
            let is_refused = self.groups[group].refused_by.values().any(|count| *count > 0);
            add(self, Some(group), if is_refused { RuleKind::Refused } else { RuleKind::Counted });
        }
        rules
    }

    /// Counts pods.
    pub(super) fn record(&mut self, counted: &Counted, count: u32) {
        let of = self.of(counted);
        match of.get_mut(&counted.domain) {
            Some(known) => *known += count,
            None => _ = of.insert(counted.domain.clone(), count),
        }
    }

    /// Takes back what was recorded of pods that did not come.
    pub(super) fn forget(&mut self, counted: &Counted, count: u32) {
        if let Some(known) = self.of(counted).get_mut(&counted.domain) {
            *known = known.saturating_sub(count);
        }
    }

    fn of(&mut self, counted: &Counted) -> &mut BTreeMap<Name, u32> {
        let Group { counts, refused_by, .. } = &mut self.groups[counted.group];
        if counted.refuses { refused_by } else { counts }
    }
}

impl Group {
    pub(super) fn count(&self, domain: &str) -> u32 {
        self.counts.get(domain).copied().unwrap_or(0)
    }

    pub(super) fn is_refused(&self, domain: &str) -> bool {
        self.refused_by.get(domain).is_some_and(|count| *count > 0)
    }

    /// Whether any pod is counted anywhere.
    pub(super) fn has_any(&self) -> bool {
        self.counts.values().any(|count| *count > 0)
    }
}
