//! From a machine that was packed to the NodeClaim that asks for it: every type that would hold the same pods, cheapest first.

use std::collections::BTreeSet;

use super::bins::daemons_of;
use super::claim::{Claim, ClaimSpec};
use super::constraint::HostPort;
use super::market::{Market, NOT_SOLD, SiteId};
use super::pack::Machine;
use super::place::{Class, Part};
use super::requirement::{Operator, Requirement, Requirements};
use super::resources::Resources;
use super::shape::ShapeId;
use super::{CAPACITY_TYPE, INSTANCE_TYPE, ZONE, well_known};
use crate::Timestamp;
use crate::name::Name;
use crate::units::MicroDollarsPerHour;

/// A claim lists no more types than this: the API server bounds the object, and EC2's fleets take no more.
pub(super) const MOST_TYPES: usize = 60;

/// A machine to buy and the pods that are meant for it.
#[derive(Debug, Clone)]
pub(super) struct Purchase {
    /// What to ask for.
    pub(super) spec: ClaimSpec,
    /// For which pods.
    pub(super) holds: Vec<(ShapeId, u32)>,
    /// The cheapest of the types, by its place among the market's goods.
    goods: usize,
}

/// The claims for a machine, one for each copy. Where the pool has limits, none of their types is larger than the chosen one in what is limited, so that the
/// limits hold whichever is bought.
pub(super) fn purchase(
    market: &Market<'_>,
    classes: &[Class],
    parts: &[Part],
    requests: &[Resources],
    machine: &Machine,
    relaxed: bool,
) -> Vec<Purchase> {
    let chosen = &market.goods[machine.goods];
    let pool = market.stalls[chosen.stall].pool;
    let site = market.site(machine.site);
    let (mut holds, mut pods) = (Vec::<(ShapeId, u32)>::new(), Resources::default());
    for (part, count) in &machine.holds {
        pods.add(&requests[*part], *count);
        let shape = classes[parts[*part].class].shape;
        match holds.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, known)) => *known += count,
            None => holds.push((shape, *count)),
        }
    }
    let ports: Vec<&HostPort> = machine.holds.iter().flat_map(|(part, _)| &parts[*part].needs.ports).collect();
    let ways = &site.ways[chosen.stall];
    // Of the ways that such a machine can be, the one in which the chosen type is cheapest.
    let way = ways.iter().min_by_key(|way| chosen.price(pool, way).map_or(NOT_SOLD, |price| price.0)).cloned().unwrap_or_default();
    let only = ways.len() == 1;
    let suits = |i: &usize| {
        let goods = &market.goods[*i];
        goods.stall == chosen.stall
            && goods.place == chosen.place
            && pods.fits(&goods.net)
            && goods.leaves(&ports)
            && pool.limits.resources.keys().all(|name| goods.kind.capacity.get(name) <= chosen.kind.capacity.get(name))
    };
    let price = |i: usize| {
        if only { MicroDollarsPerHour(site.prices[i]) } else { market.goods[i].price(pool, &way).unwrap_or(MicroDollarsPerHour(NOT_SOLD)) }
    };
    let mut types: Vec<(MicroDollarsPerHour, usize)> = site.by_price.iter().copied().filter(suits).map(|i| (price(i), i)).collect();
    types.retain(|(price, _)| price.0 != NOT_SOLD);
    if !only {
        types.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| market.goods[a.1].kind.name.cmp(&market.goods[b.1].kind.name)));
    }
    if types.len() > MOST_TYPES {
        let needed = needed(market, chosen.stall, machine.site, &types);
        let mut spare = MOST_TYPES.saturating_sub(needed.len());
        types.retain(|(_, i)| {
            let keep = needed.contains(i) || spare > 0;
            spare -= usize::from(keep && !needed.contains(i));
            keep
        });
    }
    let cheapest = types.first().map_or(machine.goods, |(_, i)| *i);
    let first = &market.goods[cheapest];
    let mut asked = first.kind.allocatable.clone();
    asked.take(&first.net, 1);
    asked.add(&pods, 1);
    asked.extended.retain(|_, amount| *amount != 0);
    let names: Vec<Name> = types.iter().map(|(_, i)| market.goods[*i].kind.name.clone()).collect();
    let mut wishes = way.and(&chosen.place);
    if let Ok(listed) = Requirement::new(Operator::In, names.iter().cloned()) {
        wishes.add(INSTANCE_TYPE.into(), &listed);
    }
    // A label of the pool's own that only has to be there gets a value, as in Karpenter.
    for (key, wish) in &mut wishes.0 {
        let of_type = first.kind.labels.0.contains_key(key) || well_known(key);
        if let Some(value) = wish.any().filter(|_| wish.listed().is_none() && !wish.allows_absence() && !of_type) {
            let min_values = wish.min_values;
            *wish = Requirement::is(value);
            wish.min_values = min_values;
        }
    }
    if relaxed {
        wishes.0.values_mut().for_each(|wish| wish.min_values = None);
    }
    let mut room = first.net.clone();
    for (_, i) in &types {
        room = room.min(&market.goods[*i].net);
    }
    let mut spec = ClaimSpec {
        pool: pool.name.clone(),
        class: pool.class.clone(),
        wishes,
        types: names,
        requests: asked,
        promise: Resources::default(),
        price: types.first().map_or(MicroDollarsPerHour(site.prices[machine.goods]), |(price, _)| *price),
        labels: pool.labels.clone(),
        annotations: pool.annotations.clone(),
        taints: pool.taints.clone(),
        startup_taints: pool.startup_taints.clone(),
        expire_after: pool.expire_after,
        termination_grace_period: pool.termination_grace_period,
        hash: pool.hash.clone(),
    };
    // The next turn takes DaemonSets' share off what was promised, and does so without knowing the type: the pods have to fit then too.
    room.add(&daemons_of(market.cluster, &Claim::planned(spec.clone(), Timestamp::UNIX_EPOCH)).sum, 1);
    spec.promise = room;
    vec![Purchase { spec, holds, goods: cheapest }; machine.copies as usize]
}

/// The cheapest types that have as many values of each label together as the pool asks for.
fn needed(market: &Market<'_>, stall: usize, site: SiteId, types: &[(MicroDollarsPerHour, usize)]) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    let asked = market.stalls[stall].pool.wishes.0.iter().filter_map(|(key, wish)| Some((key, wish.min_values?)));
    for (key, wanted) in asked {
        let mut values: BTreeSet<Name> = BTreeSet::new();
        for (_, i) in types {
            if values.len() >= wanted as usize {
                break;
            }
            let before = values.len();
            market.site(site).ways[stall].iter().for_each(|way| market.goods[*i].values(key, way, &mut values));
            if values.len() > before {
                needed.insert(*i);
            }
        }
    }
    needed
}

/// The first label of which these types leave fewer values to choose from than their pool asks for (`minValues`), how many it asks for, and how many there
/// are.
pub(super) fn too_few(market: &Market<'_>, stall: usize, site: SiteId, types: &[usize]) -> Option<(Name, u32, usize)> {
    let pool = market.stalls[stall].pool;
    let asked = pool.wishes.0.iter().filter_map(|(key, wish)| Some((key, wish.min_values?)));
    let mut asked = asked.peekable();
    asked.peek()?;
    asked.find_map(|(key, wanted)| {
        let mut values: BTreeSet<Name> = BTreeSet::new();
        for way in &market.site(site).ways[stall] {
            types.iter().for_each(|i| market.goods[*i].values(key, way, &mut values));
        }
        (values.len() < wanted as usize).then(|| (key.clone(), wanted, values.len()))
    })
}

impl Market<'_> {
    /// The value of a label that a purchase will have, if its cheapest type can be had where it is cheapest.
    pub(super) fn value_of(&self, purchase: &Purchase, key: &Name) -> Option<Name> {
        let (goods, wishes) = (&self.goods[purchase.goods], &purchase.spec.wishes);
        match key.as_str() {
            INSTANCE_TYPE => Some(goods.kind.name.clone()),
            ZONE | CAPACITY_TYPE => goods.places(key, wishes).next(),
            _ => {
                let of = |wishes: &Requirements| wishes.0.get(key).and_then(Requirement::listed).and_then(|values| values.first()).cloned();
                purchase.spec.labels.get(key).cloned().or_else(|| of(wishes)).or_else(|| of(&goods.kind.labels))
            }
        }
    }
}

impl super::market::Goods<'_> {
    /// Adds the values of a label that a machine of this type can have.
    fn values(&self, key: &Name, way: &Requirements, found: &mut BTreeSet<Name>) {
        match key.as_str() {
            INSTANCE_TYPE => _ = found.insert(self.kind.name.clone()),
            ZONE | CAPACITY_TYPE => found.extend(self.places(key, way)),
            _ => {
                let of_type = self.kind.labels.0.get(key).and_then(Requirement::listed).into_iter().flatten();
                let wish = way.0.get(key);
                found.extend(of_type.filter(|value| wish.is_none_or(|wish| wish.allows(value))).cloned());
            }
        }
    }
}
