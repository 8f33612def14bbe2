//! The steps of a turn: replicas, then nodes, then whatever was decided is sent on its way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use springtide_core::check;
use springtide_core::nodes;
use springtide_core::nodes::decide::as_planned;
use springtide_core::plan::{Action, Plan};
use springtide_core::scale::demand::Present;
use springtide_core::units::Replicas;

use super::{Daemon, resolve};
use crate::settings::Layer;

impl Daemon {
    pub(super) fn decide_replicas(&mut self, now: Timestamp) -> Vec<Action> {
        let conflicts = resolve::conflicts(&self.state);
        let writes = self.layers.may_write(Layer::Workloads);
        let drives_nodes = writes || !self.layers.may_write(Layer::Nodes);
        let mut actions = Vec::new();
        // Made anew each turn: what nobody wants any more is not in it.
        let mut wanted = BTreeMap::new();
        for (key, scaled) in &mut self.state.scaled {
            if scaled.object.metadata.deletion_timestamp.is_some() {
                if scaled.has_finalizer() && !scaled.is_shadow() {
                    actions.push(Action::ReleaseScaled { object: key.clone() });
                }
                continue;
            }
            let workload = self.state.cluster.workloads.get(&scaled.target);
            scaled.set_obstacle(workload.is_some(), conflicts.get(key));
            let Some(workload) = workload.filter(|_| scaled.may_scale()) else { continue };
            if let Some(autoscaler) = scaled.left_autoscaler(&self.state.hpas).filter(|_| !scaled.is_shadow()) {
                actions.push(Action::RemoveAutoscaler { autoscaler });
            }
            // Replicas that nobody will write are no reason to start nodes, unless nodes are only thought of too.
            let drives = drives_nodes && !scaled.is_shadow();
            let due = scaled.demand.as_ref().and_then(|demand| demand.look_again).is_some_and(|due| due <= now);
            if workload.writing.is_some() || !(scaled.dirty || due || scaled.saw(workload.replicas)) {
                wanted.extend(scaled.demand.as_ref().filter(|_| drives).map(|demand| (scaled.target.clone(), demand.want)));
                continue;
            }
            let counts = self.state.cluster.counts_of(workload);
            scaled.decide(now, Present { replicas: workload.replicas, existing: workload.existing, ready: Replicas(counts.ready) });
            let Some(demand) = &scaled.demand else { continue };
            let (want, reasons) = (demand.want, demand.reasons.clone());
            if drives {
                wanted.insert(scaled.target.clone(), want);
            }
            if want != workload.replicas && (scaled.is_shadow() || !writes) {
                if scaled.is_news_in_shadow(want) {
                    let action = format!("scale {} from {} to {want}", scaled.target, workload.replicas);
                    let why = reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                    tracing::info!(scaled_object = %key, action, why, "not done: shadow mode");
                }
            } else if want != workload.replicas {
                actions.push(Action::Scale {
                    workload: scaled.target.clone(),
                    version: workload.version,
                    from: workload.replicas,
                    to: want,
                    reasons,
                });
            }
        }
        self.state.wanted = wanted;
        actions
    }

    pub(super) fn decide_nodes(&mut self, now: Timestamp) -> Plan {
        let memory = std::mem::take(&mut self.state.memory);
        self.state.classify(now);
        let (mut plan, memory) =
            nodes::decide::decide(now, &self.state.cluster, &self.state.wanted, &self.state.offers, self.options, memory);
        self.state.memory = memory;
        // A plan that breaks a promise is a defect of ours: what it breaks it with is not done, and the rest is.
        let breaches = check::check(now, &self.state.cluster, &self.state.wanted, &self.state.offers, &plan);
        for breach in &breaches {
            tracing::error!(%breach, "a plan was refused in part: this is a defect of the planner");
        }
        let refused: BTreeSet<usize> = breaches.into_iter().flat_map(|breach| breach.actions).collect();
        let mut at = 0..;
        plan.actions.retain(|_| at.next().is_none_or(|i| !refused.contains(&i)));
        plan
    }

    pub(super) fn carry_out(&mut self, now: Timestamp, scales: Vec<Action>, plan: &Plan) {
        let workloads = self.layers.may_write(Layer::Workloads);
        let nodes = self.layers.may_write(Layer::Nodes);
        for action in scales {
            if !workloads {
                tracing::debug!(%action, "not done: shadow mode");
                continue;
            }
            if !matches!(action, Action::Scale { .. }) {
                self.dispatcher.begin(&action, None);
            } else if let Action::Scale { workload, to, .. } = &action
                && self.dispatcher.begin(&action, None)
                && let Some(known) = self.state.cluster.workloads.get_mut(workload)
            {
                known.writing = Some(*to);
            }
        }
        if nodes {
            for (name, claim) in as_planned(plan, &self.state.cluster, now) {
                self.state.cluster.apply_claim(name, claim);
            }
        }
        let mut not_done = Vec::new();
        for action in &plan.actions {
            if nodes && !self.is_in_shadow(action) || matches!(action, Action::Probe { .. }) {
                let claim = action.claim().and_then(|name| self.state.cluster.claims.get(name));
                self.dispatcher.begin(action, claim);
            } else {
                tracing::debug!(%action, "not done: shadow mode");
                not_done.push(action);
            }
        }
        self.told.not_done(&not_done, plan);
    }

    /// Whether an action is about a node of a pool that is in shadow mode by annotation.
    fn is_in_shadow(&self, action: &Action) -> bool {
        let cluster = &self.state.cluster;
        let of_claim = action.claim().and_then(|name| cluster.claims.get(name)).map(|claim| &claim.spec.pool);
        let of_node = || action.node().and_then(|name| cluster.nodes.get(name)).and_then(|node| node.labels.get(nodes::NODE_POOL));
        of_claim.or_else(of_node).is_some_and(|pool| self.state.shadow_pools.contains(pool))
    }
}
