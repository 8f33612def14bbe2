//! Why pods get no node, pool by pool, in words that a person can act on.

use std::collections::{BTreeMap, BTreeSet};

use super::constraint::HOSTNAME;
use super::market::{Market, Stall, by_weight};
use super::offer::OfferingKey;
use super::pack::Left;
use super::place::{Class, Part, Placing};
use super::pool::Pool;
use super::purchase::too_few;
use super::shape::Shape;
use super::topology::RuleKind;
use crate::name::Name;
use crate::plan::Unplaced;
use crate::reason::NoNode;

/// What speaks against each pool, those that are preferred first. A pool against which nothing speaks has no line: then it is the company that a pod would
/// keep, of which its class knows. `cut_short` says that limits left fewer machines in some domain than were wanted.
pub(super) fn why_not(market: &mut Market<'_>, shape: &Shape, cut_short: bool) -> Vec<NoNode> {
    let mut reasons = Vec::new();
    for pool in by_weight(market.cluster) {
        match market.admit(pool, shape) {
            Err(reason) => reasons.push(reason),
            Ok(()) => reasons.extend(of_stall(market, pool, shape, cut_short)),
        }
    }
    reasons
}

/// Why nothing of a pool that takes such pods was bought.
fn of_stall(market: &mut Market<'_>, pool: &Pool, shape: &Shape, cut_short: bool) -> Option<NoNode> {
    let at = market.stalls.iter().position(|stall| stall.pool.name == pool.name)?;
    let site = market.site_for(&shape.wishes, &shape.tolerations, false);
    let Stall { used, nodes, types, out, .. } = &market.stalls[at];
    let known = market.types_of(pool);
    if *types == 0 && out.is_empty() && known > 0 {
        return Some(NoNode::Requirements { pool: pool.name.clone(), types: known });
    }
    let of_pool = market.site(site).by_price.iter().filter(|i| market.goods[**i].stall == at);
    let fitting: Vec<usize> = of_pool.copied().filter(|i| shape.requests.fits(&market.goods[*i].net)).collect();
    let shut = || fitting.iter().map(|i| &market.goods[*i]).filter(|goods| goods.closed).map(|goods| &goods.kind.capacity);
    // A limit that leaves some types is no reason of its own, unless there is no other: then those types are too few or too small for the company.
    let all_shut = fitting.iter().all(|i| market.goods[*i].closed)
        || shut().next().is_some() && (cut_short || shape.near.is_empty() && shape.spreads.is_empty() && shape.apart.is_empty());
    let limits = &pool.limits;
    if let Some(resource) = shut().find_map(|capacity| limits.exceeded_by(used, *nodes, capacity)).filter(|_| all_shut) {
        let pool = pool.name.clone();
        if resource == "nodes" {
            return Some(NoNode::Limit { pool, resource, used: i64::from(*nodes), limit: limits.nodes.map_or(0, i64::from), least: 1 });
        }
        let least = shut().map(|capacity| capacity.get(&resource)).min().unwrap_or_default();
        let limit = limits.resources.get(&resource).copied().unwrap_or_default();
        return Some(NoNode::Limit { pool, used: used.get(&resource), limit, least, resource });
    }
    if !fitting.is_empty() {
        let few = too_few(market, at, site, &fitting);
        return few.map(|(key, wanted, _)| NoNode::MinValues { pool: pool.name.clone(), key, wanted, types: fitting.len() });
    }
    let will_do = |labels| shape.wishes.iter().any(|term| term.conflict_with(labels).is_none());
    let back = || out.iter().filter(|(kind, _, _)| shape.requests.fits(&kind.allocatable) && will_do(&kind.labels));
    let count = |of: fn(&OfferingKey) -> &Name| back().map(|(_, key, _)| of(key)).collect::<BTreeSet<_>>().len();
    let out_of = out.iter().map(|(kind, _, _)| &kind.name).collect::<BTreeSet<_>>().len();
    Some(match back().map(|(_, _, until)| *until).min() {
        Some(until) => NoNode::OutOfStock {
            pool: pool.name.clone(),
            types: count(|key| &key.instance_type),
            zones: count(|key| &key.zone),
            of: back().map(|(_, key, _)| key.capacity_type).collect(),
            until,
        },
        None => NoNode::NothingFits { pool: pool.name.clone(), types: types + out_of },
    })
}

impl Placing<'_, '_> {
    /// What has no place, with all that speaks against it.
    pub(super) fn unplaced(&mut self, left: Vec<(Part, Left)>) -> Vec<Unplaced> {
        let mut found: BTreeMap<usize, (u32, Vec<NoNode>)> = BTreeMap::new();
        for (class, count, reasons) in std::mem::take(&mut self.left) {
            let known = found.entry(class).or_default();
            known.0 += count;
            known.1.extend(reasons);
        }
        for (part, why) in left {
            let known = found.entry(part.class).or_default();
            known.0 += part.count;
            match why {
                Left::Effort => known.1.push(NoNode::EffortSpent),
                Left::NoCompany => known.1.push(NoNode::Near { key: HOSTNAME.into() }),
                Left::NothingFits | Left::FewTypes => {}
            }
        }
        let mut unplaced = Vec::new();
        for (class, (count, mut reasons)) in found {
            let Class { shape, spare, .. } = self.classes[class];
            if spare || count == 0 {
                continue;
            }
            let alone = reasons.iter().any(|reason| matches!(reason, NoNode::Beyond { .. } | NoNode::Volume { .. }));
            if !alone {
                let cut_short = self.lessons.cut_short(class);
                reasons.extend(why_not(self.market, self.cluster.shapes.get(shape), cut_short));
            }
            let mut known = BTreeSet::new();
            reasons.retain(|reason| known.insert(reason.clone()));
            if reasons.is_empty() {
                reasons.push(if self.market.stalls.is_empty() { NoNode::NoPools } else { NoNode::NoRoom });
            }
            unplaced.push(Unplaced { shape, count, reasons });
        }
        unplaced
    }

    /// Why a class could not be settled, as far as no pool has to do with it.
    pub(super) fn why_not_settled(&mut self, class: usize) -> Vec<NoNode> {
        let shape = self.cluster.shapes.get(self.classes[class].shape);
        if let Some(what) = shape.beyond.first() {
            return vec![NoNode::Beyond { what: *what }];
        }
        if let Err(reason) = self.cluster.storage.needs(&shape.volumes) {
            return vec![reason];
        }
        let rules = self.topology.rules(shape, &[], &[]);
        let mut reasons: BTreeSet<NoNode> = BTreeSet::new();
        let could = self.market.site_for(&shape.wishes, &shape.tolerations, false);
        let fits = |i: &usize| shape.requests.fits(&self.market.goods[*i].net);
        if !self.market.site(could).by_price.iter().any(fits) {
            // No pool would take it even without any company.
            return Vec::new();
        }
        for rule in &rules {
            match rule.kind {
                RuleKind::Spread { max_skew, .. } => _ = reasons.insert(NoNode::Spread { key: rule.key.clone(), max_skew }),
                RuleKind::Near { .. } => _ = reasons.insert(NoNode::Near { key: rule.key.clone() }),
                RuleKind::Apart { .. } => _ = reasons.insert(NoNode::Apart { key: rule.key.clone() }),
                RuleKind::Refused => _ = reasons.insert(NoNode::Refused { key: rule.key.clone() }),
                RuleKind::Counted => {}
            }
        }
        if shape.near.iter().any(|term| term.key == HOSTNAME) {
            reasons.insert(NoNode::Near { key: HOSTNAME.into() });
        }
        reasons.into_iter().collect()
    }
}
