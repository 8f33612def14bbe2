//! Pods that have to be even are so by the end of a plan, as far as that holds in whichever order they are bound.

use std::collections::BTreeMap;

use super::company::by_domain;
use super::domains::{Admitted, Domains, Entry, Group, UNKNOWN};
use super::places::Is;
use super::{Breach, Wrong};
use crate::nodes::constraint::Spread;
use crate::nodes::shape::ShapeId;

/// Who is in one domain by the end.
struct There<'e> {
    domain: u32,
    /// Those that are meant for it and ask to be even.
    asking: Vec<(&'e Entry, &'e Spread)>,
    /// Those that run and stay.
    running: u32,
    /// Everybody, those on their way out included.
    all: u32,
}

/// In each domain that receives pods which ask for it: no more than maxSkew above the emptiest.
///
/// Of the pods that ask, one comes last to the domain and finds the others there; those that are counted and do not ask may come after it, and in other
/// domains before it. So only those that ask and those that run are counted where there may be too many, and everybody where there may be too few. The
/// emptiest is sought among the domains of nodes that are there and, for pods that go to claims, of claims to which pods of the same shape go: those on nodes may
/// be bound before any claim has one.
///
/// A domain to which only those go that an earlier turn meant for it was looked at then. Since, the scheduler has bound others where nodes came first, and will
/// bind the rest evenly to the room that was bought for all of them, whichever part of it is expected here.
pub(super) fn even<'a>(domains: &mut Domains<'a>, group: &Group<'a>, admitted: &Admitted<'a>, pods: &[Entry], breaches: &mut Vec<Breach>) {
    let all: Vec<There<'_>> = by_domain(pods).map(|there| who_is(domains, group, admitted, there)).collect();
    // Most plans stay below maxSkew wherever the emptiest is.
    if all.iter().all(|there| there.beyond(|_, spread| spread.max_skew).is_none()) {
        return;
    }
    let undecided: u32 = pods.iter().filter(|entry| entry.domain == UNKNOWN && entry.planned && entry.part.counted).map(|e| e.count).sum();
    let known = domains.count(group);
    let of = |domain: &u32| all.binary_search_by_key(domain, |there| there.domain).map_or(0, |at| all[at].all);
    let eligible = domains.eligible(group, admitted);
    let of_nodes = if eligible.len() > all.len() { Some(0) } else { eligible.iter().map(of).min() };
    let mut of_shape: BTreeMap<ShapeId, u32> = BTreeMap::new();
    for (there, (entry, _)) in all.iter().flat_map(|there| there.asking.iter().map(move |asking| (there, asking))) {
        of_shape.entry(entry.shape).and_modify(|least| *least = there.all.min(*least)).or_insert(there.all);
    }
    let least = |entry: &Entry, spread: &Spread| {
        if spread.min_domains.is_some_and(|wanted| known < wanted as usize) {
            return 0;
        }
        let of_claims = of_shape.get(&entry.shape).copied().filter(|_| of_nodes.is_none() || !domains.is_node(entry));
        of_nodes.into_iter().chain(of_claims).min().unwrap_or(0).saturating_add(undecided)
    };
    for there in &all {
        let Some((entry, spread, count)) = there.beyond(|entry, spread| spread.max_skew.saturating_add(least(entry, spread))) else {
            continue;
        };
        let what = Wrong::Uneven {
            key: domains.key(group),
            domain: domains.name(there.domain),
            pod: domains.called(entry),
            count,
            least: least(entry, spread),
            max_skew: spread.max_skew,
        };
        breaches.push(Breach::of(what, domains.actions(there.asking.iter().map(|(entry, _)| *entry))));
    }
}

fn who_is<'e, 'a: 'e>(domains: &Domains<'a>, group: &Group<'a>, admitted: &Admitted<'a>, there: &'e [Entry]) -> There<'e> {
    let key = domains.key(group);
    let mut found = There { domain: there.first().map_or(UNKNOWN, |entry| entry.domain), asking: Vec::new(), running: 0, all: 0 };
    for entry in there {
        if entry.part.counted {
            found.all = found.all.saturating_add(entry.count);
        }
        if entry.planned && entry.part.asks {
            let spreads = &domains.cluster.shapes.get(entry.shape).spreads;
            let mine = spreads.iter().find(|spread| spread.key == key && spread.selector == group.selector);
            found.asking.extend(mine.map(|spread| (entry, spread)));
        }
        let spot = domains.spots.get(entry.spot).filter(|spot| spot.stays && !entry.planned && entry.part.counted);
        if let Some((on, Is::Node(node, _))) = spot.map(|spot| (spot.on, spot.is))
            && admitted.admits(on, node)
        {
            found.running += entry.count.saturating_sub(entry.leaving);
        }
    }
    found
}

impl<'e> There<'e> {
    /// A pod that would find more here than it may, and how many. Of those that ask, the ones that may find fewest come first.
    fn beyond(&self, may_find: impl Fn(&Entry, &Spread) -> u32) -> Option<(&'e Entry, &'e Spread, u32)> {
        if !self.asking.iter().any(|(entry, _)| entry.fresh) {
            return None;
        }
        let mut asking: Vec<(u32, &Entry, &Spread)> =
            self.asking.iter().map(|(entry, spread)| (may_find(entry, spread), *entry, *spread)).collect();
        asking.sort_by_key(|(most, _, _)| *most);
        let mut count = self.running;
        asking.into_iter().find_map(|(most, entry, spread)| {
            count = count.saturating_add(if entry.part.counted { entry.count } else { 0 });
            (count > most).then_some((entry, spread, count))
        })
    }
}
