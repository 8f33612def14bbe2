//! What must be true of claims that are created or launched: each machine that could come is looked at as the node that it would be.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::fit::{Guests, Misfit, Seat, daemons, lacking};
use super::places::Places;
use super::{Breach, Wrong, indexed};
use crate::name::Name;
use crate::nodes::claim::{Claim, ClaimSpec};
use crate::nodes::cluster::Cluster;
use crate::nodes::constraint::{HOSTNAME, HostPort};
use crate::nodes::launch::{INITIALIZED, REGISTERED};
use crate::nodes::offer::{ClassRef, InstanceType, Offering, OfferingKey, Offers};
use crate::nodes::pool::Pool;
use crate::nodes::requirement::{self, Labels, Requirements};
use crate::nodes::resources::Resources;
use crate::nodes::taint::Taint;
use crate::nodes::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE};
use crate::plan::{Action, Plan};

/// New claims: of a pool that can be used and that they agree with, and right for their pods whichever of their types is bought.
pub(super) fn created(cluster: &Cluster, offers: &Offers, plan: &Plan, places: &Places<'_>, breaches: &mut Vec<Breach>) {
    let mut prospects = Prospects::new();
    for (i, action) in indexed(plan) {
        let Action::CreateClaim { name, spec } = action else { continue };
        // A claim that was planned in an earlier turn was looked at then; what is meant for it now is an expectation.
        if cluster.claims.contains_key(name) {
            continue;
        }
        let mut wrong = Vec::new();
        let guests = Guests::of(cluster, places.get(name).into_iter().flat_map(|place| &place.pods));
        match cluster.pools.get(&spec.pool) {
            None => wrong.push(Wrong::NoPool { claim: name.clone(), pool: spec.pool.clone() }),
            Some(pool) => against_pool(name, spec, pool, &mut wrong),
        }
        if spec.types.is_empty() {
            wrong.push(Wrong::NoType { claim: name.clone() });
        }
        let alike = prospects.entry(frame(spec)).or_default();
        for instance_type in &spec.types {
            let nodes = alike.entry(instance_type).or_insert_with(|| match offers.find(&spec.class, instance_type) {
                Some(kind) => prospects_of(cluster, spec, kind),
                None => Vec::new(),
            });
            let what = against_type(cluster, name, spec, instance_type, nodes, &guests);
            // What does not depend on the type is said once.
            wrong.extend(what.filter(|what| !wrong.contains(what)));
        }
        breaches.extend(wrong.into_iter().map(|what| Breach::of(what, [i])));
    }
}

fn against_pool(name: &Name, spec: &ClaimSpec, pool: &Pool, wrong: &mut Vec<Wrong>) {
    if let Some(why) = &pool.unusable {
        wrong.push(Wrong::UnusablePool { claim: name.clone(), pool: pool.name.clone(), why: why.clone() });
    }
    let mut differs = |what: &str| wrong.push(Wrong::NotOfPool { claim: name.clone(), pool: pool.name.clone(), what: what.into() });
    if spec.class != pool.class {
        differs("its NodeClass");
    }
    if spec.taints != pool.taints || spec.startup_taints != pool.startup_taints {
        differs("its taints");
    }
    if spec.labels != pool.labels {
        differs("its labels");
    }
    for (key, wish) in &pool.wishes.0 {
        let narrower = spec.wishes.0.get(key).is_some_and(|mine| mine.and(wish).spelled() == mine.spelled());
        if !narrower {
            differs(key);
        }
    }
}

/// A node that a machine of one type would become.
struct Prospect<'a> {
    kind: &'a InstanceType,
    labels: Labels,
    /// What DaemonSets will have of it.
    daemons: Resources,
    ports: Vec<&'a HostPort>,
    /// The label by which it does not answer a wish, for each that was asked: pods ask for little that others have not asked for.
    refusals: RefCell<BTreeMap<Requirements, Option<Name>>>,
}

/// What claims have in common that differ in their types and pods alone.
type Frame<'a> = (&'a Name, &'a ClassRef, Requirements, &'a Labels, &'a [Taint]);

/// The nodes that types could become: most of a plan's claims have the same frame.
type Prospects<'a> = BTreeMap<Frame<'a>, BTreeMap<&'a Name, Vec<Prospect<'a>>>>;

fn frame(spec: &ClaimSpec) -> Frame<'_> {
    (&spec.pool, &spec.class, of_any_type(&spec.wishes), &spec.labels, &spec.taints)
}

fn of_any_type(wishes: &Requirements) -> Requirements {
    let mut wishes = wishes.clone();
    wishes.0.remove(INSTANCE_TYPE);
    wishes
}

fn prospects_of<'a>(cluster: &'a Cluster, spec: &ClaimSpec, kind: &'a InstanceType) -> Vec<Prospect<'a>> {
    let spec = ClaimSpec { wishes: of_any_type(&spec.wishes), ..spec.clone() };
    let sold = kind.offerings.iter().filter(|offering| offering.available).filter_map(|offering| node_labels(&spec, kind, offering));
    sold.map(|mut labels| {
        // It will have a name, which nobody knows yet.
        labels.extend([HOSTNAME, requirement::NAME].map(|key| (key.into(), "/".into())));
        let (mut sum, mut ports) = (Resources::default(), Vec::new());
        for daemon in daemons(cluster, &spec.taints, &|wishes| wishes.unanswered_by(&labels).cloned()) {
            sum.add(&daemon.requests, 1);
            ports.extend(&daemon.ports);
        }
        Prospect { kind, labels, daemons: sum, ports, refusals: RefCell::default() }
    })
    .collect()
}

impl Prospect<'_> {
    fn refuses(&self, wishes: &Requirements) -> Option<Name> {
        if let Some(known) = self.refusals.borrow().get(wishes) {
            return known.clone();
        }
        let label = wishes.unanswered_by(&self.labels).cloned();
        self.refusals.borrow_mut().insert(wishes.clone(), label.clone());
        label
    }
}

/// The first thing that is wrong about one of a claim's types.
fn against_type(
    cluster: &Cluster,
    name: &Name,
    spec: &ClaimSpec,
    listed: &Name,
    nodes: &[Prospect<'_>],
    guests: &Guests<'_>,
) -> Option<Wrong> {
    if nodes.is_empty() || spec.wishes.0.get(INSTANCE_TYPE).is_some_and(|wish| !wish.allows(listed)) {
        return Some(Wrong::NotSold { claim: name.clone(), instance_type: listed.clone() });
    }
    nodes.iter().find_map(|node| {
        let refuses = |wishes: &Requirements| node.refuses(wishes);
        let seat =
            Seat { needed: node.daemons.clone(), ports: node.ports.clone(), ..Seat::of(&node.kind.allocatable, &spec.taints, &refuses) };
        guests.misfit(cluster, &seat).map(|misfit| match misfit {
            Misfit::KeptOff(label_or_taint) => Wrong::Excluded { claim: name.clone(), instance_type: listed.clone(), label_or_taint },
            Misfit::Short(resource) => Wrong::TooSmall { claim: name.clone(), instance_type: listed.clone(), resource },
            other => other.on(cluster, name),
        })
    })
}

/// The labels of the node that this offering would become; none where the claim does not allow the offering.
fn node_labels(spec: &ClaimSpec, kind: &InstanceType, offering: &Offering) -> Option<Labels> {
    let sold_as = [(INSTANCE_TYPE, kind.name.as_str()), (ZONE, offering.zone.as_str()), (CAPACITY_TYPE, offering.capacity_type.label())];
    // Most offerings of a type are of another zone or are paid for otherwise: that is asked before all labels are put together.
    if sold_as.iter().any(|(key, value)| spec.wishes.0.get(*key).is_some_and(|wish| !wish.allows(value))) {
        return None;
    }
    let mut labels = Labels::new();
    for (key, wish) in &spec.wishes.0 {
        labels.extend(wish.settled().map(|value| (key.clone(), value)));
    }
    labels.extend(spec.labels.clone());
    if !spec.pool.is_empty() {
        labels.insert(NODE_POOL.into(), spec.pool.clone());
    }
    for (key, wish) in &kind.labels.0 {
        let mine = spec.wishes.0.get(key);
        // A list is by far the most frequent, and needs no set that holds what both allow.
        let value = match wish.listed() {
            Some(values) => values.iter().find(|value| mine.is_none_or(|mine| mine.allows(value))).cloned(),
            None => mine.and_then(|mine| mine.and(wish).listed()?.first().cloned()),
        };
        match value {
            Some(value) => _ = labels.insert(key.clone(), value),
            None => _ = labels.remove(key),
        }
    }
    let own = [(REGISTERED, "true"), (INITIALIZED, "true")];
    labels.extend(sold_as.into_iter().chain(own).map(|(key, value)| (Name::from(key), Name::from(value))));
    spec.wishes.unanswered_by(&labels).is_none().then_some(labels)
}

/// Limits hold with every claim counted as the largest machine that it may become.
pub(super) fn limits(cluster: &Cluster, offers: &Offers, plan: &Plan, breaches: &mut Vec<Breach>) {
    let mut new: BTreeMap<&Name, Vec<(usize, &ClaimSpec)>> = BTreeMap::new();
    for (i, action) in indexed(plan) {
        if let Action::CreateClaim { name, spec } = action
            && !cluster.claims.contains_key(name)
        {
            new.entry(&spec.pool).or_default().push((i, spec));
        }
    }
    let largest = |spec: &ClaimSpec, resource: &str| {
        let sizes = offers.of(&spec.class).iter().filter(|kind| spec.types.contains(&kind.name)).map(|kind| kind.capacity.get(resource));
        sizes.max().unwrap_or(0)
    };
    let size = |claim: &Claim, resource: &str| {
        claim.machine.as_ref().map_or_else(|| largest(&claim.spec, resource), |machine| machine.capacity.get(resource))
    };
    for (pool, new) in new {
        let Some(pool) = cluster.pools.get(pool) else { continue };
        let old: Vec<&Claim> = cluster.claims.values().filter(|claim| claim.spec.pool == pool.name && !claim.ended).collect();
        let mut rows: Vec<(Name, i64, i64, i64)> = Vec::new();
        if let Some(limit) = pool.limits.nodes {
            let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
            rows.push(("nodes".into(), i64::from(limit), count(old.len()), count(new.len())));
        }
        for (resource, limit) in &pool.limits.resources {
            let had = old.iter().map(|claim| size(claim, resource)).sum();
            rows.push((resource.clone(), *limit, had, new.iter().map(|(_, spec)| largest(spec, resource)).sum()));
        }
        for (resource, limit, had, more) in rows {
            if more > 0 && had + more > limit {
                let what = Wrong::Limit { pool: pool.name.clone(), resource, would_be: had + more, limit };
                breaches.push(Breach::of(what, new.iter().map(|(i, _)| *i)));
            }
        }
    }
}

/// Claims are launched with offerings that they allow, and only while they wait for a machine.
pub(super) fn launched(cluster: &Cluster, offers: &Offers, plan: &Plan, breaches: &mut Vec<Breach>) {
    for (i, action) in indexed(plan) {
        let Action::Launch { claim: name, uid, offerings } = action else { continue };
        let waits = |claim: &&Claim| claim.uid.as_ref() == Some(uid) && !claim.is_going() && claim.machine.is_none();
        let Some(claim) = cluster.claims.get(name).filter(waits).filter(|_| !offerings.is_empty()) else {
            breaches.push(Breach::of(Wrong::NothingToLaunch { claim: name.clone() }, [i]));
            continue;
        };
        for offering in offerings {
            if let Some(why) = refusal(claim, offers, offering) {
                let what = Wrong::WrongOffering { claim: name.clone(), offering: offering.to_string(), why };
                breaches.push(Breach::of(what, [i]));
            }
        }
    }
}

fn refusal(claim: &Claim, offers: &Offers, key: &OfferingKey) -> Option<&'static str> {
    let Some(kind) = offers.of(&claim.spec.class).iter().find(|kind| kind.name == key.instance_type) else {
        return Some("its NodeClass does not know");
    };
    let same = |offering: &&Offering| offering.zone == key.zone && offering.capacity_type == key.capacity_type && offering.available;
    let Some(offering) = kind.offerings.iter().find(same) else { return Some("is not sold") };
    if node_labels(&claim.spec, kind, offering).is_none() {
        return Some("contradicts its wishes");
    }
    if !claim.spec.types.is_empty() && !claim.spec.types.contains(&kind.name) {
        return Some("is not among its types");
    }
    lacking(&claim.spec.requests, &kind.allocatable).map(|_| "is too small")
}
