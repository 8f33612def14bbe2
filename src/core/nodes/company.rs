//! What matters among the pods of one node: how many of each selector there are, who wants none of them, host ports and volumes. Nodes that are there and
//! machines that are only being planned answer the same questions.

use std::collections::{BTreeMap, BTreeSet};

use super::constraint::{HOSTNAME, HostPort, Preferred, Spread, Term};
use super::selector::{SelectorId, Selectors};
use super::shape::{Shape, Shapes};
use crate::name::Name;

/// The selectors that matter on one node: those of spread, affinity and anti-affinity by host name. Within a turn they are numbered by their content, for
/// other numbers follow the order of arrival.
#[derive(Debug, Default)]
pub(super) struct HostRules {
    all: Selectors,
    ranks: BTreeMap<SelectorId, Rank>,
}

/// The place of a selector among those that matter on one node.
pub(super) type Rank = u32;

/// What a pod asks of the company on its node, and what it adds to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Selectors that matter and select it.
    pub(super) counted: Vec<Rank>,
    /// There must be no more than so many of these.
    pub(super) caps: Vec<(Rank, u32)>,
    /// There must be none of these, now or later.
    pub(super) apart: Vec<Rank>,
    /// There should be none of these now.
    pub(super) rather_apart: Vec<Rank>,
    /// There must be some of each.
    pub(super) near: Vec<Rank>,
    /// Ports that it takes.
    pub(super) ports: Vec<HostPort>,
    /// Volumes that it attaches.
    pub(super) attached: BTreeSet<(Name, Name)>,
}

/// Who is on a node, as far as it matters.
#[derive(Debug, Clone, Default)]
pub(super) struct Company {
    of: Vec<Entry>,
    ports: Vec<HostPort>,
    pub(super) attached: BTreeSet<(Name, Name)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    selector: Rank,
    /// Pods that it selects.
    count: u32,
    /// Pods that want none of them here.
    refused_by: u32,
    /// No more of them may come than this, for the sake of a pod that is spread.
    cap: u32,
}

/// Terms and spreads by host name.
fn by_host<'a>(terms: impl IntoIterator<Item = &'a Term>) -> impl Iterator<Item = SelectorId> {
    terms.into_iter().filter(|term| term.key == HOSTNAME).map(|term| term.selector)
}

fn spread_by_host<'a>(spreads: impl IntoIterator<Item = &'a Spread>) -> impl Iterator<Item = &'a Spread> {
    spreads.into_iter().filter(|spread| spread.key == HOSTNAME)
}

impl HostRules {
    /// The rules of these shapes.
    pub(super) fn of<'a>(shapes: impl IntoIterator<Item = &'a Shape>, known: &Shapes) -> Self {
        let mut rules = Selectors::default();
        for shape in shapes {
            by_host(shape.near.iter().chain(&shape.apart)).for_each(|id| rules.insert(id));
            spread_by_host(&shape.spreads).for_each(|spread| rules.insert(spread.selector));
            for preference in &shape.preferences {
                if let Preferred::Near(term) | Preferred::Apart(term) = &preference.wish {
                    by_host([term]).for_each(|id| rules.insert(id));
                }
            }
        }
        let mut sorted: Vec<SelectorId> = rules.iter().collect();
        sorted.sort_by(|a, b| known.selector(*a).cmp(known.selector(*b)));
        Self { all: rules, ranks: sorted.into_iter().zip(0..).collect() }
    }

    pub(super) fn rank(&self, id: SelectorId) -> Option<Rank> {
        self.ranks.get(&id).copied()
    }

    /// The selectors that matter and select this shape.
    pub(super) fn selecting(&self, shape: &Shape) -> Vec<Rank> {
        if !shape.selected_by.meets(&self.all) {
            return Vec::new();
        }
        let mut found: Vec<Rank> = shape.selected_by.iter().filter_map(|id| self.rank(id)).collect();
        found.sort_unstable();
        found
    }

    /// What a pod of this shape asks, with those of its preferences that are to hold.
    pub(super) fn needs<'a>(
        &self,
        shape: &Shape,
        near: impl IntoIterator<Item = &'a Term>,
        apart: impl IntoIterator<Item = &'a Term>,
        attached: BTreeSet<(Name, Name)>,
    ) -> Needs {
        let ranked = |id: SelectorId| self.rank(id);
        Needs {
            counted: self.selecting(shape),
            caps: spread_by_host(&shape.spreads).filter_map(|spread| Some((self.rank(spread.selector)?, spread.max_skew))).collect(),
            apart: by_host(&shape.apart).filter_map(ranked).collect(),
            rather_apart: by_host(apart).filter_map(ranked).collect(),
            near: by_host(&shape.near).chain(by_host(near)).filter_map(ranked).collect(),
            ports: shape.ports.clone(),
            attached,
        }
    }
}

impl Needs {
    /// Whether any place is as good as any other, whoever is there.
    pub(super) fn is_free(&self) -> bool {
        self.counted.is_empty()
            && self.caps.is_empty()
            && self.apart.is_empty()
            && self.rather_apart.is_empty()
            && self.near.is_empty()
            && self.ports.is_empty()
            && self.attached.is_empty()
    }

    /// Whether others can be with it on one node that have to be, and it need not be with them.
    pub(super) fn hosts(&self, others: &Self) -> bool {
        others.near.iter().all(|id| self.counted.contains(id)) && !others.near.iter().any(|id| self.near.contains(id))
    }

    /// Whether they all have to be on one node.
    pub(super) fn gathers(&self) -> bool {
        self.near.iter().any(|id| self.counted.contains(id))
    }

    /// How many of these pods one node can have at the most, and for the sake of which selector.
    pub(super) fn most_of_itself(&self) -> Option<(Rank, u32)> {
        let own = |id: &Rank| self.counted.contains(id);
        let alone = self.apart.iter().chain(&self.rather_apart).filter(|id| own(id)).map(|id| (*id, 1));
        let capped = self.caps.iter().filter(|(id, _)| own(id)).copied();
        alone.chain(capped).min_by_key(|(_, most)| *most)
    }
}

impl Company {
    /// Nobody but who takes these ports.
    pub(super) fn with_ports(ports: Vec<HostPort>) -> Self {
        Self { of: Vec::new(), ports, attached: BTreeSet::new() }
    }

    /// Takes in what takes these ports, whoever that is.
    pub(super) fn take_ports(&mut self, ports: &[HostPort]) {
        self.ports.extend(ports.iter().cloned());
    }

    fn entry(&self, selector: Rank) -> Option<&Entry> {
        self.of.iter().find(|entry| entry.selector == selector)
    }

    fn entry_mut(&mut self, selector: Rank) -> &mut Entry {
        let at = self.of.iter().position(|entry| entry.selector == selector).unwrap_or_else(|| {
            self.of.push(Entry { selector, count: 0, refused_by: 0, cap: u32::MAX });
            self.of.len() - 1
        });
        &mut self.of[at]
    }

    /// How many there are of a selector.
    pub(super) fn count(&self, selector: Rank) -> u32 {
        self.entry(selector).map_or(0, |entry| entry.count)
    }

    /// How many more pods with these needs can come, room for their requests apart. `lift` is how many of each spread selector every other node has at the
    /// least; `first` says that a pod which has to be near its like may be the first of them.
    pub(super) fn room_for(&self, needs: &Needs, lift: u32, first: bool) -> u32 {
        let mut room = u32::MAX;
        for id in &needs.counted {
            if let Some(entry) = self.entry(*id) {
                if entry.refused_by > 0 {
                    return 0;
                }
                room = room.min(entry.cap.saturating_add(lift).saturating_sub(entry.count));
            }
        }
        for id in needs.apart.iter().chain(&needs.rather_apart) {
            if self.count(*id) > 0 {
                return 0;
            }
            if needs.counted.contains(id) {
                room = room.min(1);
            }
        }
        for (id, most) in &needs.caps {
            let (count, most) = (self.count(*id), most.saturating_add(lift));
            if needs.counted.contains(id) {
                room = room.min(most.saturating_sub(count));
            } else if count > most {
                return 0;
            }
        }
        for id in &needs.near {
            if self.count(*id) == 0 && !(first && needs.counted.contains(id)) {
                return 0;
            }
        }
        if !needs.ports.is_empty() {
            if needs.ports.iter().any(|port| self.ports.iter().any(|taken| taken.clashes_with(port))) {
                return 0;
            }
            room = room.min(1);
        }
        room
    }

    /// Takes pods in.
    pub(super) fn add(&mut self, needs: &Needs, count: u32) {
        for id in &needs.counted {
            self.entry_mut(*id).count += count;
        }
        for id in &needs.apart {
            self.entry_mut(*id).refused_by += count;
        }
        for (id, most) in &needs.caps {
            let entry = self.entry_mut(*id);
            entry.cap = entry.cap.min(*most);
        }
        self.ports.extend(needs.ports.iter().cloned());
        self.attached.extend(needs.attached.iter().cloned());
    }

    /// Takes in pods that run already: what they asked for when they came is the past, but for those that they refuse.
    pub(super) fn add_running(&mut self, rules: &HostRules, shape: &Shape, count: u32) {
        for id in rules.selecting(shape) {
            self.entry_mut(id).count += count;
        }
        for id in by_host(&shape.apart).filter_map(|id| rules.rank(id)) {
            self.entry_mut(id).refused_by += count;
        }
        self.ports.extend(shape.ports.iter().cloned());
    }
}
