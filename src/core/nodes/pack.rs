//! What to buy: which types, how many and for which pods, so that the waiting pods of one pool run at the least cost.
//!
//! Pods of one shape are an unbounded covering problem over the types, solved exactly by dynamic programming. Several shapes are packed by ratio: open the
//! machine whose price is least against what its pods would cost on machines of their own kind alone (the reservation price of Eva, EuroSys'25).

use super::INSTANCE_TYPE;
use super::bins::daemons_of;
use super::claim::{Claim, ClaimSpec};
use super::market::{Goods, Market};
use super::pool::Pool;
use super::requirement::{Requirement, Requirements};
use super::resources::Resources;
use super::shape::ShapeId;
use crate::Timestamp;
use crate::name::Name;
use crate::reason::NoNode;
use crate::units::MicroDollarsPerHour;

/// A claim lists no more types than this: the API server bounds the object, and EC2's fleets take no more.
const MOST_TYPES: usize = 60;

/// Above this many pods of one shape the best type by ratio is bought in bulk, and only the rest is solved exactly.
const EXACT: u32 = 4096;

/// One machine more has to save more than this: prices are rounded to the millionth, and what rounding saves is no reason for a node.
pub(super) const MACHINE: MicroDollarsPerHour = MicroDollarsPerHour(10);

/// Pods of one shape that wait for machines of one pool.
#[derive(Debug, Clone)]
pub struct Class {
    /// Their shape.
    pub shape: ShapeId,
    /// What one asks for.
    pub requests: Resources,
    /// What the machine must be for them; the pool's own wishes included.
    pub wishes: Requirements,
    /// How many.
    pub count: u32,
}

/// A machine to buy and the pods that are meant for it.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// What to ask for.
    pub spec: ClaimSpec,
    /// For which pods.
    pub holds: Vec<(ShapeId, u32)>,
}

/// What a machine of one type would hold, and at what price.
struct Filling {
    goods: usize,
    price: MicroDollarsPerHour,
    wishes: Requirements,
    holds: Vec<(usize, u32)>,
}

/// Buys machines for these classes, all of which the pool admits. Returns the machines and what is left over of each class, with the reason.
///
/// Machines shared by several classes are compared with machines of one class each: mixing never costs more.
#[must_use]
pub fn pack(
    market: &Market<'_>,
    classes: Vec<Class>,
    used: &mut (Resources, u32),
    effort: &mut u64,
) -> (Vec<Purchase>, Vec<(Class, NoNode)>) {
    if classes.len() < 2 {
        return pack_once(market, classes, used, effort);
    }
    let mut used_apart = used.clone();
    let (mut apart, mut left_apart) = (Vec::new(), Vec::new());
    for class in &classes {
        let (bought, left) = pack_once(market, vec![class.clone()], &mut used_apart, effort);
        apart.extend(bought);
        left_apart.extend(left);
    }
    let mut used_mixed = used.clone();
    let (mixed, left_mixed) = pack_once(market, classes, &mut used_mixed, effort);
    let result = |bought: &[Purchase], left: &[(Class, NoNode)]| {
        let price: MicroDollarsPerHour = bought.iter().map(|purchase| purchase.spec.price.plus(MACHINE)).sum();
        (left.iter().map(|(class, _)| u64::from(class.count)).sum::<u64>(), price, bought.len())
    };
    if result(&apart, &left_apart) < result(&mixed, &left_mixed) {
        *used = used_apart;
        return (apart, left_apart);
    }
    *used = used_mixed;
    (mixed, left_mixed)
}

fn pack_once(
    market: &Market<'_>,
    mut classes: Vec<Class>,
    used: &mut (Resources, u32),
    effort: &mut u64,
) -> (Vec<Purchase>, Vec<(Class, NoNode)>) {
    let (mut bought, mut left) = (Vec::new(), Vec::new());
    let mut closed = vec![false; market.types.len()];
    loop {
        for (goods, closed) in market.types.iter().zip(&mut closed) {
            *closed |= market.pool.limits.exceeded_by(&used.0, used.1, &goods.kind.capacity).is_some();
        }
        let alone = classes.iter().map(|class| alone(market, class, &closed)).collect::<Vec<_>>();
        for i in (0..classes.len()).rev().filter(|i| alone[*i].is_none()) {
            left.push((classes.remove(i), NoNode::NoPools));
        }
        let alone: Vec<f64> = alone.into_iter().flatten().collect();
        if classes.is_empty() {
            break;
        }
        let cost = u64::try_from(market.types.len() * classes.len()).unwrap_or(u64::MAX);
        if *effort < cost {
            left.extend(classes.drain(..).map(|class| (class, NoNode::EffortSpent)));
            break;
        }
        *effort -= cost;
        let fillings = match &classes[..] {
            [one] => exact(market, one, &closed),
            many => best(market, many, &alone, &closed).into_iter().collect(),
        };
        let before = (bought.len(), closed.iter().filter(|closed| **closed).count());
        'buy: for filling in fillings {
            for _ in 0..copies(&filling, &classes) {
                let goods = &market.types[filling.goods];
                if market.pool.limits.exceeded_by(&used.0, used.1, &goods.kind.capacity).is_some() {
                    closed[filling.goods] = true;
                    break 'buy;
                }
                used.0.add(&goods.kind.capacity, 1);
                used.1 += 1;
                bought.push(purchase(market, &filling, &mut classes));
            }
        }
        classes.retain(|class| class.count > 0);
        if before == (bought.len(), closed.iter().filter(|closed| **closed).count()) {
            left.extend(classes.drain(..).map(|class| (class, NoNode::NoPools)));
        }
    }
    for (class, reason) in &mut left {
        if *reason == NoNode::NoPools {
            *reason = why_not(market, class, used, &closed);
        }
    }
    (bought, left)
}

/// What one pod of the class costs on a machine full of its like, at best. None where no machine takes it.
fn alone(market: &Market<'_>, class: &Class, closed: &[bool]) -> Option<f64> {
    let open = market.types.iter().zip(closed).filter(|(_, closed)| !**closed).map(|(goods, _)| goods);
    let costs = open.filter_map(|goods| {
        let fit = class.requests.times_in(&goods.net);
        let price = goods.price(market.pool, &class.wishes).filter(|_| fit > 0)?;
        Some(ratio(price, f64::from(fit)))
    });
    costs.reduce(f64::min)
}

#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52 millionths of a dollar")]
fn ratio(price: MicroDollarsPerHour, worth: f64) -> f64 {
    // A free machine is still worth less than two.
    price.plus(MACHINE).0 as f64 / worth.max(f64::MIN_POSITIVE)
}

/// The cheapest set of machines for `count` pods of one shape: least cost, then fewest machines, then the type's name.
fn exact(market: &Market<'_>, class: &Class, closed: &[bool]) -> Vec<Filling> {
    let mut kinds: Vec<(usize, u32, MicroDollarsPerHour)> = Vec::new();
    for (i, goods) in market.types.iter().enumerate().filter(|(i, _)| !closed[*i]) {
        let fit = class.requests.times_in(&goods.net).min(class.count);
        if let Some(price) = goods.price(market.pool, &class.wishes).filter(|_| fit > 0) {
            kinds.push((i, fit, price));
        }
    }
    let filling = |(i, fit, price): (usize, u32, MicroDollarsPerHour)| Filling {
        goods: i,
        price,
        wishes: class.wishes.clone(),
        holds: vec![(0, fit)],
    };
    let by_ratio = |a: &&(usize, u32, MicroDollarsPerHour), b: &&(usize, u32, MicroDollarsPerHour)| {
        ratio(a.2, f64::from(a.1)).total_cmp(&ratio(b.2, f64::from(b.1))).then(b.1.cmp(&a.1)).then(a.0.cmp(&b.0))
    };
    if class.count > EXACT {
        return kinds.iter().min_by(by_ratio).map(|kind| vec![filling(*kind)]).unwrap_or_default();
    }
    let count = class.count as usize;
    let mut best: Vec<(i64, u32, usize)> = vec![(0, 0, usize::MAX); count + 1];
    for n in 1..=count {
        let options = kinds.iter().enumerate().map(|(k, (_, fit, price))| {
            let (cost, machines, _) = best[n.saturating_sub(*fit as usize)];
            (cost.saturating_add(price.plus(MACHINE).0), machines + 1, k)
        });
        if let Some(option) = options.min() {
            best[n] = option;
        }
    }
    let mut fillings: Vec<Filling> = Vec::new();
    let mut n = count;
    while n > 0 && best[n].2 < kinds.len() {
        let kind = kinds[best[n].2];
        n = n.saturating_sub(kind.1 as usize);
        fillings.push(filling(kind));
    }
    // The largest first, so that the smallest is the one that is not full.
    fillings.sort_by(|a, b| b.holds[0].1.cmp(&a.holds[0].1).then(a.goods.cmp(&b.goods)));
    fillings
}

/// The machine that is cheapest against what its pods would cost alone.
fn best(market: &Market<'_>, classes: &[Class], alone: &[f64], closed: &[bool]) -> Option<Filling> {
    let mut best: Option<(f64, u32, Filling)> = None;
    for (i, goods) in market.types.iter().enumerate().filter(|(i, _)| !closed[*i]) {
        let Some(filling) = fill(market.pool, goods, i, classes) else { continue };
        let worth: f64 = filling.holds.iter().map(|(class, count)| alone[*class] * f64::from(*count)).sum();
        let pods = filling.holds.iter().map(|(_, count)| count).sum();
        let score = ratio(filling.price, worth);
        if best.as_ref().is_none_or(|(least, most, _)| score < *least - 1e-12 || (score <= *least + 1e-12 && pods > *most)) {
            best = Some((score, pods, filling));
        }
    }
    best.map(|(_, _, filling)| filling)
}

/// Fills one machine: the pods with the largest share of it first.
fn fill(pool: &Pool, goods: &Goods<'_>, index: usize, classes: &[Class]) -> Option<Filling> {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|a, b| share(&classes[*b].requests, &goods.net).total_cmp(&share(&classes[*a].requests, &goods.net)).then(a.cmp(b)));
    let (mut wishes, mut room, mut holds) = (pool.wishes.clone(), goods.net.clone(), Vec::new());
    let mut price = None;
    for i in order {
        let class = &classes[i];
        let fit = class.requests.times_in(&room).min(class.count);
        if fit == 0 || wishes.conflict_with(&class.wishes).is_some() {
            continue;
        }
        let both = wishes.and(&class.wishes);
        if let Some(now) = goods.price(pool, &both) {
            (wishes, price) = (both, Some(now));
            room.take(&class.requests, fit);
            holds.push((i, fit));
        }
    }
    Some(Filling { goods: index, price: price?, wishes, holds })
}

#[expect(clippy::cast_precision_loss, reason = "a share is only compared with other shares")]
fn share(requests: &Resources, of: &Resources) -> f64 {
    let one = |want: i64, have: i64| if want <= 0 { 0.0 } else { want as f64 / (have.max(1)) as f64 };
    let extended = requests.extended.iter().map(|(name, want)| one(*want, of.get(name)));
    extended.fold(one(requests.cpu.0, of.cpu.0).max(one(requests.memory.0, of.memory.0)), f64::max)
}

/// How many machines of this filling can be bought before one of its classes runs short; at least one.
fn copies(filling: &Filling, classes: &[Class]) -> u32 {
    match &filling.holds[..] {
        [(class, fit)] if classes[*class].count <= EXACT => u32::from(*fit > 0 && classes[*class].count > 0),
        holds => holds.iter().map(|(class, fit)| classes[*class].count / fit).min().unwrap_or(1).max(1),
    }
}

/// The claim for one machine: every type that would hold the same pods, cheapest first. Where the pool has limits, none that is larger than the chosen one
/// in what is limited, so that the limits hold whichever is bought.
fn purchase(market: &Market<'_>, filling: &Filling, classes: &mut [Class]) -> Purchase {
    let pool = market.pool;
    let chosen = &market.types[filling.goods];
    let (mut holds, mut pods) = (Vec::new(), Resources::default());
    for (i, fit) in &filling.holds {
        let count = (*fit).min(classes[*i].count);
        classes[*i].count -= count;
        pods.add(&classes[*i].requests, count);
        holds.push((classes[*i].shape, count));
    }
    let mut types: Vec<(MicroDollarsPerHour, &Goods<'_>)> = market
        .types
        .iter()
        .filter(|goods| pods.fits(&goods.net))
        .filter(|goods| pool.limits.resources.keys().all(|name| goods.kind.capacity.get(name) <= chosen.kind.capacity.get(name)))
        .filter_map(|goods| Some((goods.price(pool, &filling.wishes)?, goods)))
        .collect();
    types.sort_by(|a, b| (a.0, &a.1.kind.name).cmp(&(b.0, &b.1.kind.name)));
    types.truncate(MOST_TYPES);
    let first = types.first().map_or(chosen, |(_, goods)| goods);
    let mut requests = first.kind.allocatable.clone();
    requests.take(&first.net, 1);
    requests.add(&pods, 1);
    requests.extended.retain(|_, amount| *amount != 0);
    let names: Vec<Name> = types.iter().map(|(_, goods)| goods.kind.name.clone()).collect();
    let mut wishes = filling.wishes.clone();
    if let Ok(listed) = Requirement::new(super::requirement::Operator::In, names.iter().cloned()) {
        wishes.add(INSTANCE_TYPE.into(), &listed);
    }
    let mut room = first.net.clone();
    for (_, goods) in &types {
        room = room.min(&goods.net);
    }
    let mut spec = ClaimSpec {
        pool: pool.name.clone(),
        class: pool.class.clone(),
        wishes,
        types: names,
        requests,
        promise: Resources::default(),
        price: types.first().map_or(filling.price, |(price, _)| *price),
        labels: pool.labels.clone(),
        annotations: pool.annotations.clone(),
        taints: pool.taints.clone(),
        startup_taints: pool.startup_taints.clone(),
        expire_after: pool.expire_after,
        termination_grace_period: pool.termination_grace_period,
        hash: pool.hash.clone(),
    };
    // The next turn takes DaemonSets' share off what was promised, and does so without knowing the type: the pods have to fit then too.
    room.add(&daemons_of(market.cluster, &Claim::planned(spec.clone(), Timestamp::UNIX_EPOCH)), 1);
    spec.promise = room;
    Purchase { spec, holds }
}

/// Why none of the pool's machines was bought for the class.
fn why_not(market: &Market<'_>, class: &Class, used: &(Resources, u32), closed: &[bool]) -> NoNode {
    let pool = market.pool.name.clone();
    let fits = |goods: &Goods<'_>| class.requests.fits(&goods.net) && goods.price(market.pool, &class.wishes).is_some();
    let limits = &market.pool.limits;
    let shut = || market.types.iter().zip(closed).filter(|(goods, closed)| **closed && fits(goods)).map(|(goods, _)| &goods.kind.capacity);
    if let Some(resource) = shut().find_map(|capacity| limits.exceeded_by(&used.0, used.1, capacity)) {
        if resource == "nodes" {
            return NoNode::Limit { pool, resource, used: i64::from(used.1), limit: limits.nodes.map_or(0, i64::from), least: 1 };
        }
        let least = shut().map(|capacity| capacity.get(&resource)).min().unwrap_or_default();
        let limit = limits.resources.get(&resource).copied().unwrap_or_default();
        return NoNode::Limit { pool, used: used.0.get(&resource), limit, least, resource };
    }
    let out: Vec<Timestamp> = market
        .out
        .iter()
        .filter(|(kind, _)| class.requests.fits(&kind.allocatable) && class.wishes.conflict_with(&kind.labels).is_none())
        .map(|(_, until)| *until)
        .collect();
    match out.iter().min() {
        Some(until) => NoNode::OutOfStock { pool, types: out.len(), until: *until },
        None => NoNode::NothingFits { pool, types: market.types.len() + market.out.len() },
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
