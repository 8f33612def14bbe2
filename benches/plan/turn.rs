//! One turn of the planner, measured, and what must hold of it whatever it costs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use springtide_core::check::check;
use springtide_core::name::Name;
use springtide_core::nodes::claim::ClaimSpec;
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::decide::{Memory, Options, as_planned, decide};
use springtide_core::nodes::offer::Offers;
use springtide_core::plan::{Action, Plan};
use springtide_core::units::MicroDollarsPerHour;

use crate::world::{Indexed, World, now};

/// What a node costs beside its price, an hour.
pub(crate) const NODE: MicroDollarsPerHour = springtide_core::nodes::MACHINE;

/// A case is planned again for its median until it has taken this long.
const LONG_ENOUGH: Duration = Duration::from_secs(2);
const RUNS: usize = 7;

/// What came out.
pub(crate) struct Measured {
    pub(crate) solve: Duration,
    pub(crate) claims: usize,
    pub(crate) price: MicroDollarsPerHour,
    pub(crate) unplaced: u32,
    /// Why pods were left, and how many for each reason.
    pub(crate) why: BTreeMap<String, u32>,
    pub(crate) plan: Plan,
}

fn turn(cluster: &Cluster, offers: &Offers) -> (Plan, Memory) {
    decide(now(), cluster, &BTreeMap::new(), offers, Options::default(), Memory::default())
}

/// Plans, several times where that is quick.
pub(crate) fn measure(indexed: &Indexed) -> Measured {
    let mut times = Vec::new();
    let mut plan = Plan::default();
    while times.is_empty() || times.len() < RUNS && times.iter().sum::<Duration>() < LONG_ENOUGH {
        let start = Instant::now();
        (plan, _) = turn(&indexed.cluster, &indexed.offers);
        times.push(start.elapsed());
    }
    times.sort();
    let bought = created(&plan);
    let mut why: BTreeMap<String, u32> = BTreeMap::new();
    for left in &plan.unplaced {
        for reason in &left.reasons {
            *why.entry(reason.to_string()).or_default() += left.count;
        }
    }
    Measured {
        solve: times[times.len() / 2],
        claims: bought.len(),
        price: bought.values().map(|spec| spec.price).sum(),
        unplaced: plan.unplaced.iter().map(|left| left.count).sum(),
        why,
        plan,
    }
}

/// The claims that a plan creates, by name.
fn created(plan: &Plan) -> BTreeMap<&Name, &ClaimSpec> {
    let created = plan.actions.iter().filter_map(|action| match action {
        Action::CreateClaim { name, spec } => Some((name, &**spec)),
        _ => None,
    });
    created.collect()
}

fn placed(plan: &Plan) -> u32 {
    plan.placements.iter().map(|placement| placement.count).sum()
}

/// What is wrong about a plan, each in a sentence.
pub(crate) fn wrong(world: &World, indexed: &Indexed, measured: &Measured) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let Indexed { cluster, offers, .. } = indexed;
    let waiting: usize = cluster.waiting().values().map(std::collections::BTreeSet::len).sum();
    let told = placed(&measured.plan) + measured.unplaced;
    if usize::try_from(told) != Ok(waiting) {
        wrong.push(format!("{waiting} pods wait, and the plan speaks of {told}"));
    }
    let breaches = |what: &str, cluster: &Cluster, plan: &Plan| {
        let found = check(now(), cluster, &BTreeMap::new(), offers, plan);
        found.first().map(|first| format!("{what} does not pass the check in {} ways; the first: {first}", found.len()))
    };
    wrong.extend(breaches("the plan", cluster, &measured.plan));
    let mut then = cluster.clone();
    for (name, claim) in as_planned(&measured.plan, cluster, now()) {
        then.apply_claim(name, claim);
    }
    let (again, _) = turn(&then, offers);
    let new = created(&again).keys().filter(|name| !then.claims.contains_key(**name)).count();
    if new > 0 {
        wrong.push(format!("planned once more, with the {} claims that it has just planned, it buys {new} nodes more", measured.claims));
    }
    if placed(&again) != placed(&measured.plan) {
        wrong.push(format!("planned once more, it places {} pods instead of {}", placed(&again), placed(&measured.plan)));
    }
    wrong.extend(breaches("the plan that repeats", &then, &again));
    drop((then, again));
    let mut order: Vec<usize> = (0..world.pods.len()).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut order);
    let shuffled = world.index(&order)?;
    let (other, _) = turn(&shuffled.cluster, &shuffled.offers);
    if created(&other) != created(&measured.plan) {
        wrong.push("the same pods in another order give another plan".to_owned());
    }
    Ok(wrong)
}

/// Whether the planner and the bound agree on what a node costs beside its price: of two machines that hold as much together as a larger one, the planner takes
/// the larger one as long as it is dearer by less than that.
pub(crate) fn agrees() -> Result<bool> {
    let claims = |more: i64| -> Result<usize> {
        let mut types = crate::market::fake(2);
        for kind in &mut types {
            // The first holds two of these pods, the second four.
            let (cpu_m, price) = if kind.name == "fake-it-0" { (500, 1000) } else { (1000, 2000 + more) };
            kind.allocatable.cpu.0 = cpu_m;
            kind.offerings.iter_mut().for_each(|offering| offering.price = MicroDollarsPerHour(price));
        }
        let world = World::new(crate::market::pool(), types, crate::pods::small(4));
        let indexed = world.index(&[0, 1, 2, 3])?;
        let (plan, _) = turn(&indexed.cluster, &indexed.offers);
        Ok(created(&plan).len())
    };
    Ok((claims(NODE.0 - 1)?, claims(NODE.0 + 1)?) == (1, 2))
}
