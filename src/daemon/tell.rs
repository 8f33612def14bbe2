//! What is told of a turn: statuses and events of ScaledObjects and NodePools, why pods wait, which objects cannot be read, metrics.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::shape::ShapeId;
use springtide_core::plan::{Action, Plan};
use springtide_core::reason::NoNode;
use springtide_core::units::MicroDollarsPerHour;

use super::{Daemon, pools, standing};
use crate::kube::report::{Note, Report};
use crate::kube::watch::Custom;
use crate::settings::Layer;
use crate::telemetry::names;

/// Of pods that wait for the same reason so many are told.
const MOST_EVENTS: usize = 10;

/// What was told of pods that wait, and of objects that cannot be read, so that each is told once.
#[derive(Default)]
pub(super) struct Told {
    left_over: BTreeMap<ShapeId, LeftOver>,
    unreadable: BTreeMap<(Custom, Key), String>,
    not_done: BTreeSet<String>,
}

/// Pods of one shape that wait: why, and which of them were told.
struct LeftOver {
    what: String,
    pods: BTreeSet<Name>,
}

impl Daemon {
    pub(super) fn report(&mut self, now: Timestamp, plan: &Plan) {
        if self.layers.runs(Layer::Nodes) {
            self.report_nodes(now, plan);
        }
        self.report_unreadable();
        let writes = self.layers.may_write(Layer::Workloads);
        for (key, scaled) in &mut self.state.scaled {
            scaled.withheld = plan.withheld.iter().find(|(workload, _)| *workload == scaled.target).map(|(_, reason)| reason.clone());
            scaled.count();
            if !writes {
                continue;
            }
            if let Some(patch) = scaled.status(now) {
                drop(self.reports.send(Report::Status { kind: Custom::ScaledObject, key: key.clone(), patch }));
            }
            let about = scaled.reference();
            for note in scaled.notes() {
                drop(self.reports.send(Report::Event { about: Box::new(about.clone()), note }));
            }
        }
    }

    fn report_nodes(&mut self, now: Timestamp, plan: &Plan) {
        let writes = self.layers.may_write(Layer::Nodes);
        for (about, note) in self.told.left_over(&self.state.cluster, plan) {
            if writes {
                drop(self.reports.send(Report::Event { about: Box::new(about), note }));
            }
        }
        let holdings = pools::holdings(&self.state.cluster);
        for (pool, held) in &holdings {
            metrics::gauge!(names::NODES, "nodepool" => pool.to_string()).set(f64::from(held.machines));
            #[expect(clippy::cast_precision_loss, reason = "a price is far below 2^52 millionths of a dollar")]
            metrics::gauge!(names::PRICE, "nodepool" => pool.to_string()).set(held.price as f64 / 1e6);
        }
        metrics::gauge!(names::UNPLACED).set(plan.unplaced.iter().map(|unplaced| f64::from(unplaced.count)).sum::<f64>());
        let reports = self.pools.changes(now, &self.state, &holdings, &standing::limits_reached(plan));
        if writes {
            reports.into_iter().for_each(|report| drop(self.reports.send(report)));
        }
    }

    /// Says at each object that cannot be read what is wrong with it. ScaledObjects and NodePools have a condition for it, and their own events.
    fn report_unreadable(&mut self) {
        let (workloads, nodes) = (self.layers.may_write(Layer::Workloads), self.layers.may_write(Layer::Nodes));
        self.told.unreadable.retain(|at, _| self.state.unreadable.contains_key(at));
        for (at, unreadable) in &self.state.unreadable {
            let (reason, writes) = match at.0 {
                Custom::ScaledObject | Custom::NodePool => continue,
                Custom::TriggerAuthentication => ("TriggerAuthenticationFailed", workloads),
                Custom::ClusterTriggerAuthentication => ("ClusterTriggerAuthenticationFailed", workloads),
                Custom::NodeClaim => ("FailedConsistencyCheck", nodes),
                Custom::KwokNodeClass => ("NodeClassNotReady", nodes),
                Custom::CapacityBuffer => ("CapacityBufferNotReady", nodes),
            };
            if !writes || self.told.unreadable.get(at) == Some(&unreadable.why) {
                continue;
            }
            self.told.unreadable.insert(at.clone(), unreadable.why.clone());
            let note = Note { warning: true, reason, action: "Validate", message: format!("it cannot be read: {}", unreadable.why) };
            drop(self.reports.send(Report::Event { about: Box::new(unreadable.about.clone()), note }));
        }
    }
}

impl Told {
    /// Logs what is not done of a turn because of shadow mode. A plan that nobody carries out is made again each turn: it is told when it changes.
    pub(super) fn not_done(&mut self, actions: &[&Action], plan: &Plan) {
        let now = summary(actions, plan);
        for action in now.difference(&self.not_done) {
            tracing::info!(action, "not done: shadow mode");
        }
        self.not_done = now;
    }

    /// Says why pods get no node: in the log once for each reason, and by events at some of the pods, once at each for each reason.
    fn left_over(&mut self, cluster: &Cluster, plan: &Plan) -> Vec<(ObjectReference, Note)> {
        let mut before = std::mem::take(&mut self.left_over);
        let mut events = Vec::new();
        for unplaced in &plan.unplaced {
            let why = reasons(&unplaced.reasons);
            let what = unplaced.reasons.iter().map(news).collect::<Vec<_>>().join("; ");
            let waiting = cluster.waiting().get(&unplaced.shape);
            let known = before.remove(&unplaced.shape).filter(|known| known.what == what);
            if known.is_none() {
                let first = waiting.and_then(|pods| pods.first()).map_or_else(|| "pods that are wanted".to_owned(), ToString::to_string);
                tracing::info!(pods = unplaced.count, first, reason = why, "no node for pods");
            }
            let mut told = known.map(|known| known.pods).unwrap_or_default();
            let pods: Vec<_> = waiting.into_iter().flatten().filter_map(|key| Some((key, &cluster.pods.get(key)?.uid))).collect();
            told.retain(|uid| pods.iter().any(|(_, waiting)| *waiting == uid));
            for (key, uid) in pods {
                if told.len() < MOST_EVENTS && told.insert(uid.clone()) {
                    events.push(waits(key, uid, &why));
                }
            }
            self.left_over.insert(unplaced.shape, LeftOver { what, pods: told });
        }
        events
    }
}

/// Why pods get no node, what can be done something about first: pools that the pods themselves exclude are only listed.
fn reasons(all: &[NoNode]) -> String {
    let mut excluded: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut texts = Vec::new();
    for reason in all {
        match reason {
            NoNode::Label { pool, key } => excluded.entry(format!("the label {key} excludes")).or_default().push(pool),
            NoNode::Taint { pool, key } => excluded.entry(format!("the taint {key} excludes")).or_default().push(pool),
            other => texts.push(other.to_string()),
        }
    }
    texts.extend(excluded.into_iter().map(|(what, pools)| match &pools[..] {
        [one] => format!("{what} pool {one}"),
        many => format!("{what} the pools {}", many.join(", ")),
    }));
    texts.join("; ")
}

/// What of a reason is news when it changes: how much of a limit is used, or until when something is out of stock, is not.
fn news(reason: &NoNode) -> String {
    match reason {
        NoNode::Limit { pool, resource, limit, .. } => format!("{pool} {resource} {limit}"),
        NoNode::OutOfStock { pool, .. } => format!("{pool} out of stock"),
        other => other.to_string(),
    }
}

fn waits(key: &Key, uid: &Name, why: &str) -> (ObjectReference, Note) {
    let about = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(key.name.to_string()),
        namespace: Some(key.namespace.to_string()),
        uid: Some(uid.to_string()),
        ..ObjectReference::default()
    };
    (about, Note { warning: true, reason: "FailedScheduling", action: "Plan", message: why.to_owned() })
}

/// Actions as lines: machines that would be started as one for each pool.
fn summary(actions: &[&Action], plan: &Plan) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut started: BTreeMap<&Name, (BTreeMap<&str, u32>, MicroDollarsPerHour, u32)> = BTreeMap::new();
    for action in actions {
        match action {
            Action::CreateClaim { name, spec } => {
                let (types, price, pods) = started.entry(&spec.pool).or_default();
                *types.entry(spec.types.first().map_or("any type", Name::as_str)).or_default() += 1;
                *price = price.plus(spec.price);
                *pods += plan.placements.iter().filter(|placement| placement.on == *name).map(|placement| placement.count).sum::<u32>();
            }
            other => drop(lines.insert(other.to_string())),
        }
    }
    for (pool, (types, price, pods)) in started {
        let types: Vec<String> = types.iter().map(|(name, count)| format!("{count} x {name}")).collect();
        let types = types.join(", ");
        lines.insert(format!(
            "start machines of pool {pool}: {types}, for {price} USD/h together, as the cheapest room for {pods} pods without a node"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_changed_is_said_before_pools_that_the_pods_exclude() {
        let label = |pool: &str| NoNode::Label { pool: pool.into(), key: "team".into() };
        let limit = NoNode::Limit { pool: "c".into(), resource: "cpu".into(), used: 3_500, limit: 4_000, least: 2_000 };
        let text = reasons(&[label("a"), limit, label("b"), NoNode::Taint { pool: "d".into(), key: "gpu".into() }]);
        let expected = "pool c has reached its limit of cpu: 3500m of 4 are used, and the smallest machine that would do adds 2; \
            raise spec.limits.cpu of NodePool c to 5500m or more, or free some of it; the label team excludes the pools a, b; \
            the taint gpu excludes pool d";
        assert_eq!(text, expected);
    }
}
