//! What must be true of who is where by the end of a plan: finds the rules that bear on its pods, and how many pods that they speak of are in each domain, those
//! that run and those that are meant for it.
//!
//! Pods are bound one after another, in an order that nobody knows. What some order would bring about is no breach: so each rule is asked for what it holds
//! in any order, and pods on a claim whose label is not decided yet are counted wherever that speaks for the plan.

use std::collections::{BTreeMap, BTreeSet};

use super::places::{Is, Owners, Places, called, is_starting};
use super::{Breach, Wrong, company, spread};
use crate::name::Name;
use crate::nodes::claim::Claim;
use crate::nodes::cluster::{Cluster, Node};
use crate::nodes::constraint::HOSTNAME;
use crate::nodes::requirement::Requirements;
use crate::nodes::selector::{SelectorId, Selectors};
use crate::nodes::shape::{Shape, ShapeId};
use crate::nodes::taint::{Toleration, in_the_way};

/// What is asked about pods of one selector by the values of one label.
pub(super) struct Group<'a> {
    pub(super) key: usize,
    pub(super) selector: SelectorId,
    pub(super) rule: Rule<'a>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule<'a> {
    /// That none of them is there.
    Apart,
    /// That some of them are.
    Near,
    /// That they are even.
    Spread(Admitted<'a>),
}

/// Nodes that a spread looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Admitted<'a> {
    wishes: Option<&'a [Requirements]>,
    tolerations: Option<&'a [Toleration]>,
    /// Labels that they have: those of all spreads of the pod.
    keys: Vec<&'a Name>,
}

/// A node, or a claim that pods are meant for.
pub(super) struct Spot<'a> {
    pub(super) on: &'a Name,
    pub(super) is: Is<'a>,
    /// Whether it will be there for long: pods on a node that goes will be elsewhere.
    pub(super) stays: bool,
    /// Its domain by each label, where that is known.
    domains: Vec<Option<u32>>,
}

/// Pods of one shape on one spot that a group has to do with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    group: u32,
    /// [`UNKNOWN`] where it is not decided yet.
    pub(super) domain: u32,
    pub(super) spot: usize,
    pub(super) shape: ShapeId,
    pub(super) count: u32,
    /// How many of them are on their way out.
    pub(super) leaving: u32,
    pub(super) planned: bool,
    /// Whether more of them are meant for it than an earlier turn meant.
    pub(super) fresh: bool,
    /// What each has to do with it.
    pub(super) part: Part,
}

/// What a shape has to do with a group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    /// The selector selects it.
    pub(super) counted: bool,
    /// It asks for what the group is about.
    pub(super) asks: bool,
}

/// The domain of pods of which it is not known yet.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// Everything that the rules are asked of.
pub(super) struct Domains<'a> {
    pub(super) cluster: &'a Cluster,
    keys: Vec<&'a Name>,
    pub(super) spots: Vec<Spot<'a>>,
    names: Vec<Name>,
    by_key: Vec<BTreeMap<Name, u32>>,
    eligible: BTreeMap<(usize, Admitted<'a>), BTreeSet<u32>>,
}

/// The rules that bear on a plan's pods.
#[derive(Default)]
struct Groups<'a> {
    keys: Vec<&'a Name>,
    all: Vec<Group<'a>>,
    known: BTreeMap<(usize, SelectorId, Rule<'a>), usize>,
    by_selector: BTreeMap<SelectorId, Vec<usize>>,
    parts: BTreeMap<ShapeId, Vec<Takes>>,
}

/// A group by its number, its label's, and what a shape has to do with it.
type Takes = (usize, usize, Part);

/// Pods that mind their company are where they may be, and nobody is where they mind.
pub(super) fn kept<'a>(cluster: &'a Cluster, owners: &Owners<'a>, places: &Places<'a>, breaches: &mut Vec<Breach>) {
    let Some(mut groups) = Groups::of(cluster, places) else { return };
    let mut domains = Domains::of(cluster, owners, places, std::mem::take(&mut groups.keys));
    let mut entries = domains.entries(&mut groups, places, breaches);
    entries.sort_unstable_by_key(|entry| (entry.group, entry.domain, entry.spot));
    for pods in entries.chunk_by(|a, b| a.group == b.group) {
        let Some(group) = pods.first().and_then(|first| groups.all.get(first.group as usize)) else { continue };
        match &group.rule {
            Rule::Apart => company::apart(&domains, group, pods, breaches),
            Rule::Near => company::near(&domains, group, pods, breaches),
            Rule::Spread(admitted) => spread::even(&mut domains, group, admitted, pods, breaches),
        }
    }
}

impl<'a> Groups<'a> {
    /// Nothing where no pod of the plan asks or is spoken of.
    fn of(cluster: &'a Cluster, places: &Places<'a>) -> Option<Self> {
        let mut groups = Self::default();
        let planned: BTreeSet<ShapeId> = places.values().flat_map(|place| place.pods.keys().copied()).collect();
        let mut selecting = Selectors::default();
        for shape in planned.iter().map(|id| cluster.shapes.get(*id)) {
            shape.selected_by.iter().for_each(|selector| selecting.insert(selector));
            for (key, selector, rule) in asked(shape) {
                groups.add(key, selector, rule);
            }
        }
        if selecting.is_empty() && groups.all.is_empty() {
            return None;
        }
        // Of pods that run it still counts whom they refuse.
        let running: BTreeSet<ShapeId> =
            cluster.nodes.keys().filter_map(|node| cluster.load(node)).flat_map(|load| load.shapes.keys().copied()).collect();
        for term in running.iter().flat_map(|id| &cluster.shapes.get(*id).apart).filter(|term| selecting.contains(term.selector)) {
            groups.add(&term.key, term.selector, Rule::Apart);
        }
        (!groups.all.is_empty()).then_some(groups)
    }

    fn add(&mut self, key: &'a Name, selector: SelectorId, rule: Rule<'a>) {
        let at = self.keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        let all = &mut self.all;
        self.known.entry((at, selector, rule)).or_insert_with_key(|(key, selector, rule)| {
            all.push(Group { key: *key, selector: *selector, rule: rule.clone() });
            self.by_selector.entry(*selector).or_default().push(all.len() - 1);
            all.len() - 1
        });
    }

    /// What this shape has to do with each group, in no order.
    fn parts(&mut self, cluster: &'a Cluster, keys: &[&'a Name], id: ShapeId) -> &[Takes] {
        self.parts.entry(id).or_insert_with(|| {
            let shape = cluster.shapes.get(id);
            let key_of = |group: usize| self.all.get(group).map_or(0, |group| group.key);
            let mut parts: Vec<Takes> = shape
                .selected_by
                .iter()
                .filter_map(|selector| self.by_selector.get(&selector))
                .flatten()
                .map(|group| (*group, key_of(*group), Part { counted: true, asks: false }))
                .collect();
            for (key, selector, rule) in asked(shape) {
                let Some(key) = keys.iter().position(|known| *known == key) else { continue };
                let Some(group) = self.known.get(&(key, selector, rule)) else { continue };
                match parts.iter_mut().find(|(known, _, _)| known == group) {
                    Some((_, _, part)) => part.asks = true,
                    None => parts.push((*group, key, Part { counted: false, asks: true })),
                }
            }
            parts
        })
    }
}

/// All that a pod asks of others.
fn asked(shape: &Shape) -> impl Iterator<Item = (&Name, SelectorId, Rule<'_>)> {
    let apart = shape.apart.iter().map(|term| (&term.key, term.selector, Rule::Apart));
    let near = shape.near.iter().map(|term| (&term.key, term.selector, Rule::Near));
    let spreads = shape.spreads.iter().map(|spread| {
        let keys: BTreeSet<&Name> = shape.spreads.iter().map(|spread| &spread.key).collect();
        let admitted = Admitted {
            wishes: spread.by_affinity.then_some(&shape.wishes[..]),
            tolerations: spread.by_taints.then_some(&shape.tolerations[..]),
            keys: keys.into_iter().collect(),
        };
        (&spread.key, spread.selector, Rule::Spread(admitted))
    });
    apart.chain(near).chain(spreads)
}

impl Admitted<'_> {
    /// Whether the pods on this node are counted.
    pub(super) fn admits(&self, name: &Name, node: &Node) -> bool {
        self.keys.iter().all(|key| key.as_str() == HOSTNAME || node.labels.contains_key(*key))
            && self.wishes.is_none_or(|all| all.iter().any(|wishes| wishes.unanswered_by_node(name, &node.labels).is_none()))
            && self.tolerations.is_none_or(|all| in_the_way(&node.taints, all).is_none())
    }
}

impl<'a> Domains<'a> {
    fn of(cluster: &'a Cluster, owners: &Owners<'a>, places: &Places<'a>, keys: Vec<&'a Name>) -> Self {
        let by_key = vec![BTreeMap::new(); keys.len()];
        let mut all = Self { cluster, keys, spots: Vec::new(), names: Vec::new(), by_key, eligible: BTreeMap::new() };
        for (on, node) in &cluster.nodes {
            let claim = owners.get(on).copied();
            all.add(on, Is::Node(node, claim), !node.deleting && !claim.is_some_and(Claim::is_going));
        }
        for place in places.values().filter(|place| !matches!(place.is, Is::Node(..)) && !place.pods.is_empty()) {
            all.add(place.on, place.is, true);
        }
        all
    }

    fn add(&mut self, on: &'a Name, is: Is<'a>, stays: bool) {
        let mut domains = Vec::with_capacity(self.keys.len());
        for (key, known) in self.keys.iter().zip(&mut self.by_key) {
            // Each claim becomes a node of a name that nobody else has.
            let value = is.value(key).or_else(|| (key.as_str() == HOSTNAME).then(|| on.clone()));
            domains.push(value.map(|value| {
                *known.entry(value).or_insert_with_key(|value| {
                    self.names.push(value.clone());
                    u32::try_from(self.names.len() - 1).unwrap_or(UNKNOWN)
                })
            }));
        }
        self.spots.push(Spot { on, is, stays, domains });
    }

    /// All pods that any group has to do with.
    fn entries(&self, groups: &mut Groups<'a>, places: &Places<'a>, breaches: &mut Vec<Breach>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (at, spot) in self.spots.iter().enumerate() {
            let load = self.cluster.load(spot.on).filter(|_| matches!(spot.is, Is::Node(..)));
            let running = load.into_iter().flat_map(|load| {
                load.shapes.iter().map(|(shape, count)| (*shape, *count, load.leaving.get(shape).copied().unwrap_or(0), false))
            });
            let planned = places.get(spot.on).into_iter().flat_map(|place| &place.pods).map(|(shape, count)| (*shape, *count, 0, true));
            for (shape, count, leaving, planned) in running.chain(planned) {
                let fresh = planned && count > spot.is.meant(shape, load);
                for (group, key, part) in groups.parts(self.cluster, &self.keys, shape) {
                    let domain = spot.domains.get(*key).copied().flatten().unwrap_or(UNKNOWN);
                    let group = u32::try_from(*group).unwrap_or(u32::MAX);
                    entries.push(Entry { group, domain, spot: at, shape, count, leaving, planned, fresh, part: *part });
                }
            }
        }
        for entry in entries.iter().filter(|entry| entry.domain == UNKNOWN && entry.planned && entry.part.asks) {
            let group = groups.all.get(entry.group as usize);
            breaches.extend(group.and_then(|group| self.no_domain(group, entry)).map(|what| Breach::of(what, [])));
        }
        entries
    }

    /// What has to be even or together by a label does not go to a node that has none.
    fn no_domain(&self, group: &Group<'_>, entry: &Entry) -> Option<Wrong> {
        let Spot { on, is: Is::Node(_, claim), .. } = self.spots.get(entry.spot)? else { return None };
        if group.rule == Rule::Apart || claim.is_some_and(is_starting) {
            return None;
        }
        Some(Wrong::NoDomain { on: (*on).clone(), key: self.key(group), pod: called(self.cluster, entry.shape, &[]) })
    }

    pub(super) fn key(&self, group: &Group<'_>) -> Name {
        self.keys.get(group.key).map_or_else(Name::default, |key| (*key).clone())
    }

    pub(super) fn name(&self, domain: u32) -> Name {
        self.names.get(domain as usize).cloned().unwrap_or_default()
    }

    pub(super) fn stays(&self, entry: &Entry) -> bool {
        self.spots.get(entry.spot).is_some_and(|spot| spot.stays)
    }

    pub(super) fn is_node(&self, entry: &Entry) -> bool {
        self.spots.get(entry.spot).is_some_and(|spot| matches!(spot.is, Is::Node(..)))
    }

    /// What people call pods of this entry.
    pub(super) fn called(&self, entry: &Entry) -> String {
        let on: Vec<&Name> = self.spots.get(entry.spot).filter(|_| !entry.planned).map(|spot| spot.on).into_iter().collect();
        called(self.cluster, entry.shape, &on)
    }

    /// The actions that create what these pods are meant for.
    pub(super) fn actions<'e>(&self, pods: impl IntoIterator<Item = &'e Entry>) -> BTreeSet<usize> {
        let planned = pods.into_iter().filter(|entry| entry.planned);
        planned.filter_map(|entry| self.spots.get(entry.spot)?.is.action()).collect()
    }

    /// How many domains there are by a group's label, whoever may go there.
    pub(super) fn count(&self, group: &Group<'_>) -> usize {
        self.by_key.get(group.key).map_or(0, BTreeMap::len)
    }

    /// Domains of nodes that a spread looks at and that are there to stay.
    pub(super) fn eligible(&mut self, group: &Group<'a>, admitted: &Admitted<'a>) -> &BTreeSet<u32> {
        let spots = &self.spots;
        self.eligible.entry((group.key, admitted.clone())).or_insert_with(|| {
            let there = spots.iter().filter(|spot| spot.stays);
            there
                .filter_map(|spot| {
                    let Is::Node(node, _) = spot.is else { return None };
                    spot.domains.get(group.key).copied().flatten().filter(|_| node.ready && admitted.admits(spot.on, node))
                })
                .collect()
        })
    }
}
