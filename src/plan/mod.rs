//! One turn of the decider over objects from files: the same functions in the same order as in the daemon, and nothing is carried out.
//!
//! The decider counts pods by shape; here they get their names back, always the same ones.

mod names;
pub mod readings;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use springtide_core::Timestamp;
use springtide_core::check::{Breach, check};
use springtide_core::name::Name;
use springtide_core::nodes::INSTANCE_TYPE;
use springtide_core::nodes::claim::{Claim, ClaimSpec};
use springtide_core::nodes::decide::{Memory, Options, decide};
use springtide_core::nodes::intent::intents;
use springtide_core::nodes::launch::alternatives;
use springtide_core::nodes::offer::{OfferingKey, Offers, StockOuts};
use springtide_core::nodes::taint::Taint;
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::plan::{Action, Plan, Why};
use springtide_core::reading::{Activity, Reading, Sample};
use springtide_core::scale;
use springtide_core::scale::demand::Present;
use springtide_core::units::{MicroDollarsPerHour, Replicas};

use self::names::Names;
use self::readings::Readings;
use crate::objects::{Objects, Scaled};

/// So many replicas are planned for, of all workloads together: a slip of a finger must not fill the memory with pods.
const MOST_REPLICAS: u32 = 1_000_000;

/// What is to be done. Fields may be added; none of these changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// What each ScaledObject comes to, by its name.
    pub replicas: Vec<Replicated>,
    /// Nodes to start, in the order in which they were planned.
    pub node_claims: Vec<Started>,
    /// Pods for nodes and NodeClaims that are there, by their names.
    pub placements: Vec<Placed>,
    /// Nodes that go, by name.
    pub retire: Vec<Retired>,
    /// Pods that get no node, by name.
    pub unschedulable: Vec<Unschedulable>,
    /// Replicas that no node is planned for, by workload.
    pub withheld: Vec<Withheld>,
    /// Sums.
    pub totals: Totals,
    /// How long it took.
    pub timing: Timing,
}

/// A ScaledObject's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicated {
    /// What is scaled.
    pub workload: String,
    /// Of which kind it is.
    pub kind: String,
    /// By which ScaledObject.
    pub scaled_object: String,
    /// Its replicas.
    pub current: u32,
    /// The replicas that it is to have.
    pub desired: u32,
    /// Why.
    pub reasons: Vec<String>,
}

/// A node to start.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// The NodeClaim's name.
    pub name: String,
    /// Its NodePool.
    pub node_pool: String,
    /// The type that is asked for first.
    pub instance_type: String,
    /// The other types that will do, in the order in which they are asked for.
    pub alternatives: Vec<String>,
    /// The zone that is asked for first.
    pub zone: String,
    /// How the machine that is asked for first is paid for.
    pub capacity_type: String,
    /// What that costs, in US dollars.
    pub price_per_hour: f64,
    /// Labels that its node will have, as far as they are settled before a machine is bought.
    pub labels: BTreeMap<Name, Name>,
    /// What the machine must be, as the NodeClaim asks for it. The types stand above.
    pub requirements: Vec<Asked>,
    /// Taints that its node keeps, as `KEY=VALUE:EFFECT`.
    pub taints: Vec<String>,
    /// Taints that somebody else takes away.
    pub startup_taints: Vec<String>,
    /// The pods that it is for.
    pub pods: Vec<String>,
}

/// A requirement of a NodeClaim.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// The label.
    pub key: Name,
    /// How values and label compare.
    pub operator: &'static str,
    /// The values.
    pub values: Vec<Name>,
}

/// Pods for a node that is there, or on its way.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// The node; the NodeClaim, where there is no node yet.
    pub node: String,
    /// Whether there is no node yet.
    pub starting: bool,
    /// The pods.
    pub pods: Vec<String>,
}

/// A node that goes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retired {
    /// The node; the NodeClaim, where there is no node.
    pub node: String,
    /// Why.
    pub reason: String,
    /// What it costs now, in US dollars; 0 where that is not known.
    pub saves_per_hour: f64,
}

/// A pod that gets no node.
#[derive(Debug, Serialize)]
pub struct Unschedulable {
    /// The pod.
    pub pod: String,
    /// Why, pool by pool.
    pub reasons: Vec<String>,
}

/// Replicas that are wanted and not counted on.
#[derive(Debug, Clone, Serialize)]
pub struct Withheld {
    /// Whose.
    pub workload: String,
    /// Why.
    pub reason: String,
}

/// Sums.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Nodes to start.
    pub node_claims: usize,
    /// What they cost together, in US dollars.
    pub price_per_hour: f64,
    /// Pods that get a node, one to start or one that is there.
    pub pods: usize,
    /// Pods that get none.
    pub unschedulable: usize,
}

/// How long it took, by the clock.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// Reading files and understanding what they hold.
    pub parse_seconds: f64,
    /// Deciding.
    pub solve_seconds: f64,
}

/// What the decider answers, before it is told.
#[derive(Debug)]
pub struct Decided<'a> {
    objects: &'a Objects,
    offers: &'a Offers,
    wanted: BTreeMap<WorkloadKey, Replicas>,
    replicas: Vec<Replicated>,
    withheld: Vec<Withheld>,
    plan: Plan,
}

/// Decides, as at the newest moment that the objects tell of.
#[must_use]
pub fn turn<'a>(objects: &'a Objects, offers: &'a Offers, readings: &Readings, options: Options) -> Decided<'a> {
    // What nobody scales has the replicas that it asks for itself; replicas come before nodes, so that their pods are planned for in the same turn.
    let mut wanted = objects.replicas();
    let mut replicas: Vec<Replicated> = objects.scaled.iter().map(|scaled| replicate(objects, scaled, readings, &mut wanted)).collect();
    replicas.extend(objects.unscaled.iter().filter_map(|unscaled| {
        let current = objects.cluster.workloads.get(&unscaled.target)?.replicas.0;
        let reasons = unscaled.problems.clone();
        Some(replicated(&unscaled.target, unscaled.key.to_string(), current, current, reasons))
    }));
    replicas.sort_by(|a, b| a.scaled_object.cmp(&b.scaled_object));
    let withheld = bound(&mut wanted);
    // Nobody has watched these nodes: one without work is taken to have been so for as long as its pool asks for.
    let quiet = objects.cluster.nodes.keys().map(|node| (node.clone(), Timestamp::UNIX_EPOCH)).collect();
    let memory = Memory { quiet, ..Memory::default() };
    let (plan, _) = decide(objects.now, &objects.cluster, &wanted, offers, options, memory);
    Decided { objects, offers, wanted, replicas, withheld, plan }
}

/// Takes back what is more than can be planned for.
fn bound(wanted: &mut BTreeMap<WorkloadKey, Replicas>) -> Vec<Withheld> {
    let (mut left, mut withheld) = (MOST_REPLICAS, Vec::new());
    for (key, want) in wanted {
        if want.0 > left {
            let reason =
                format!("{want} replicas are more than is planned for at a time, which is {MOST_REPLICAS} of all workloads together");
            withheld.push(Withheld { workload: key.to_string(), reason });
            *want = Replicas(left);
        }
        left -= want.0;
    }
    withheld
}

fn replicate(objects: &Objects, scaled: &Scaled, readings: &Readings, wanted: &mut BTreeMap<WorkloadKey, Replicas>) -> Replicated {
    let found = objects.cluster.workloads.get(&scaled.target).map(|workload| (workload, objects.cluster.counts_of(workload)));
    let present =
        found.map_or(Present { replicas: Replicas(0), existing: Replicas(0), ready: Replicas(0) }, |(workload, counts)| Present {
            replicas: workload.replicas,
            existing: workload.existing,
            // Where the files have no pods of it, its status is all there is.
            ready: if counts.alive == 0 { workload.ready } else { Replicas(counts.ready) },
        });
    let of_triggers: Vec<Option<Reading>> = (0..scaled.triggers.len())
        .map(|i| {
            let metric = readings.of(&scaled.key, i)?;
            let unknown = None;
            let activity = Activity::Compare;
            let sample = Sample {
                metric,
                target: None,
                activity,
                ready: unknown,
                in_flight: unknown,
                arrived: unknown,
                done: unknown,
                as_of: objects.now,
            };
            Some(Reading::Value(sample))
        })
        .collect();
    let (demand, _) = scale::decide::decide(objects.now, &scaled.policy, present, &of_triggers, scaled.memory.clone());
    let mut reasons: Vec<String> = demand.reasons.iter().map(ToString::to_string).collect();
    if scaled.is_shadow {
        reasons.push("it is in shadow mode by annotation: no node is planned for the difference".to_owned());
    } else {
        wanted.insert(scaled.target.clone(), demand.want);
    }
    replicated(&scaled.target, scaled.key.to_string(), present.replicas.0, demand.want.0, reasons)
}

fn replicated(target: &WorkloadKey, scaled_object: String, current: u32, desired: u32, reasons: Vec<String>) -> Replicated {
    Replicated { workload: target.key.to_string(), kind: target.kind.to_string(), scaled_object, current, desired, reasons }
}

impl Decided<'_> {
    /// What must be true of any plan and is not true of this one: a defect of ours.
    #[must_use]
    pub fn breaches(&self) -> Vec<Breach> {
        check(self.objects.now, &self.objects.cluster, &self.wanted, self.offers, &self.plan)
    }

    /// The plan with the names of its pods.
    #[must_use]
    pub fn told(self) -> Planned {
        let intents = intents(self.objects.now, &self.objects.cluster, &self.wanted, &mut BTreeMap::new()).intents;
        let mut names = Names::of(&self.objects.cluster, &intents);
        let mut on: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
        for placement in &self.plan.placements {
            on.entry(&placement.on).or_default().extend(names.take(placement.shape, placement.count));
        }
        let mut unschedulable = Vec::new();
        for unplaced in &self.plan.unplaced {
            let reasons: Vec<String> = unplaced.reasons.iter().map(ToString::to_string).collect();
            let pods = names.take(unplaced.shape, unplaced.count).into_iter();
            unschedulable.extend(pods.map(|pod| Unschedulable { pod, reasons: reasons.clone() }));
        }
        unschedulable.sort_by(|a, b| a.pod.cmp(&b.pod));
        let (mut node_claims, mut sum) = (Vec::new(), MicroDollarsPerHour::ZERO);
        for action in &self.plan.actions {
            if let Action::CreateClaim { name, spec } = action {
                let (price, started) = self.started(name, spec, sorted(on.remove(name)));
                sum = sum.plus(price);
                node_claims.push(started);
            }
        }
        let placements: Vec<Placed> = on
            .into_iter()
            .map(|(node, pods)| Placed {
                node: node.to_string(),
                starting: !self.objects.cluster.nodes.contains_key(node),
                pods: sorted(Some(pods)),
            })
            .collect();
        let of_plan = self.plan.withheld.iter().map(|(key, reason)| Withheld { workload: key.to_string(), reason: reason.to_string() });
        let withheld = self.withheld.iter().cloned().chain(of_plan).collect();
        let placed = node_claims.iter().map(|claim| claim.pods.len()).chain(placements.iter().map(|placed| placed.pods.len())).sum();
        let totals =
            Totals { node_claims: node_claims.len(), price_per_hour: dollars(sum), pods: placed, unschedulable: unschedulable.len() };
        let retire = self.retired();
        Planned { replicas: self.replicas, node_claims, placements, retire, unschedulable, withheld, totals, timing: Timing::default() }
    }

    fn started(&self, name: &Name, spec: &ClaimSpec, pods: Vec<String>) -> (MicroDollarsPerHour, Started) {
        let claim = Claim::planned(spec.clone(), self.objects.now);
        let offerings = alternatives(self.objects.now, &claim, self.offers, &StockOuts::default());
        let first = offerings.first();
        let mut types: Vec<String> = Vec::new();
        for offering in &offerings {
            if !types.iter().any(|known| *known == *offering.instance_type) {
                types.push(offering.instance_type.to_string());
            }
        }
        let price = first.and_then(|first| self.price(spec, first)).unwrap_or(spec.price);
        let mut types = types.into_iter();
        let started = Started {
            name: name.to_string(),
            node_pool: spec.pool.to_string(),
            instance_type: types.next().unwrap_or_default(),
            alternatives: types.collect(),
            zone: first.map(|first| first.zone.to_string()).unwrap_or_default(),
            capacity_type: first.map(|first| first.capacity_type.to_string()).unwrap_or_default(),
            price_per_hour: dollars(price),
            labels: claim.labels(),
            requirements: asked(spec),
            taints: spec.taints.iter().map(taint).collect(),
            startup_taints: spec.startup_taints.iter().map(taint).collect(),
            pods,
        };
        (price, started)
    }

    fn price(&self, spec: &ClaimSpec, of: &OfferingKey) -> Option<MicroDollarsPerHour> {
        let kind = self.offers.find(&spec.class, &of.instance_type)?;
        let offering = kind.offerings.iter().find(|offering| offering.zone == of.zone && offering.capacity_type == of.capacity_type)?;
        Some(offering.price)
    }

    /// Nodes on which the plan begins or goes on to end them.
    fn retired(&self) -> Vec<Retired> {
        let cluster = &self.objects.cluster;
        let mut going: BTreeMap<&Name, (Why, MicroDollarsPerHour)> = BTreeMap::new();
        for action in &self.plan.actions {
            let (claim, reason) = match action {
                Action::Cordon { node, reason } => {
                    let owner = cluster.claims.values().find(|claim| cluster.node_of(claim).is_some_and(|(name, _)| name == node));
                    going.insert(node, (*reason, owner.map(Claim::price).unwrap_or_default()));
                    continue;
                }
                Action::DeleteClaim { claim, reason, .. } => (claim, reason),
                _ => continue,
            };
            let Some((name, known)) = cluster.claims.get_key_value(claim) else { continue };
            let node = cluster.node_of(known).map_or(name, |(node, _)| node);
            going.insert(node, (*reason, known.price()));
        }
        going
            .into_iter()
            .map(|(node, (reason, price))| Retired { node: node.to_string(), reason: reason.to_string(), saves_per_hour: dollars(price) })
            .collect()
    }
}

fn asked(spec: &ClaimSpec) -> Vec<Asked> {
    let wishes = spec.wishes.0.iter().filter(|(key, _)| key.as_str() != INSTANCE_TYPE);
    wishes
        .flat_map(|(key, wish)| wish.spelled().into_iter().map(|(operator, values)| Asked { key: key.clone(), operator, values }))
        .collect()
}

fn taint(taint: &Taint) -> String {
    let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
    format!("{}{value}:{:?}", taint.key, taint.effect)
}

fn sorted(pods: Option<Vec<String>>) -> Vec<String> {
    let mut pods = pods.unwrap_or_default();
    pods.sort();
    pods
}

#[expect(clippy::cast_precision_loss, reason = "a price is far below 2^52 millionths of a dollar")]
fn dollars(price: MicroDollarsPerHour) -> f64 {
    price.0 as f64 / 1e6
}
