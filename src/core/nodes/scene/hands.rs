//! The hands of a scene: what API server, controllers, scheduler and cloud make of a plan.

use std::sync::Arc;

use super::super::claim::{Claim, Machine};
use super::super::cluster::{Node, PodPhase};
use super::super::decide::as_planned;
use super::super::effect;
use super::super::launch::UNREGISTERED;
use super::super::offer::OfferingKey;
use super::super::requirement::Labels;
use super::super::workload::{Template, WorkloadKey};
use super::super::{CAPACITY_TYPE, ZONE};
use super::{Scene, class, taint};
use crate::Span;
use crate::name::{Key, Name};
use crate::plan::{Action, Plan};
use crate::units::Replicas;

impl Scene {
    /// Nodes of all machines that have none.
    pub(crate) fn boot(&mut self) {
        let bought: Vec<Claim> = self
            .cluster
            .claims
            .values()
            .filter(|claim| claim.progress.launched.is_some() && !claim.ended && claim.deleting_since.is_none())
            .cloned()
            .collect();
        for claim in bought {
            let Some(machine) = claim.machine.as_ref().filter(|_| self.cluster.node_of(&claim).is_none()) else { continue };
            let version = self.version();
            let taints = vec![taint(UNREGISTERED), taint("node.kubernetes.io/not-ready")];
            let taints = taints.into_iter().chain(claim.spec.startup_taints.iter().cloned()).collect();
            let node = Node {
                uid: format!("node-{version}").into(),
                version,
                provider_id: machine.provider_id.clone(),
                labels: machine.labels.clone(),
                taints,
                allocatable: machine.allocatable.clone(),
                ready: false,
                deleting: false,
                finalized: false,
                do_not_disrupt: false,
            };
            self.cluster.apply_node(format!("node-{}", machine.provider_id).into(), node);
        }
        let starting: Vec<Name> = self.cluster.nodes.iter().filter(|(_, node)| !node.ready).map(|(name, _)| name.clone()).collect();
        for name in starting {
            self.change_node(&name, |node| {
                node.ready = true;
                node.taints.retain(|taint| taint.key != "node.kubernetes.io/not-ready");
            });
        }
    }

    /// What kube-scheduler and the workloads' controllers do: missing pods are made, and waiting ones bound to the first node that has room.
    pub(crate) fn controllers(&mut self) {
        let missing: Vec<(WorkloadKey, Replicas)> = self.wanted.clone().into_iter().collect();
        for (key, want) in missing {
            let Some(workload) = self.cluster.workloads.get(&key).cloned() else { continue };
            let Some(Template::Pod { shape, .. }) = self.cluster.templates.get(&workload.template) else { continue };
            let shape = (**self.cluster.shapes.get(*shape)).clone();
            for _ in self.cluster.counts_of(&workload).alive..want.0 {
                let number = self.version();
                self.add_pod(&format!("{}-{number}", key.key.name), shape.clone(), None, Some(&key.key.name));
            }
        }
        self.schedule();
    }

    /// Binds waiting pods to the first node that has room for them.
    pub(crate) fn schedule(&mut self) {
        let waiting: Vec<Key> = self.cluster.waiting().values().flatten().cloned().collect();
        for key in waiting {
            let shape = Arc::clone(self.cluster.shapes.get(self.cluster.pods.get(&key).expect("it waits").shape));
            let fits = |(name, node): &(&Name, &Node)| {
                let mut free = node.allocatable.clone();
                free.take(&self.cluster.load(name).map(|load| load.used.clone()).unwrap_or_default(), 1);
                node.ready && !node.deleting && shape.may_run_on(&node.labels, &node.taints) && shape.requests.fits(&free)
            };
            if let Some(node) = self.cluster.nodes.iter().find(fits).map(|(name, _)| name.clone()) {
                self.change_pod(&key, |pod| {
                    pod.node = Some(node);
                    pod.phase = PodPhase::Running;
                    pod.ready = true;
                });
            }
        }
    }

    /// What the API server and the cloud make of a plan.
    pub(crate) fn carry_out(&mut self, plan: &Plan) {
        for (name, claim) in as_planned(plan, &self.cluster, self.now) {
            self.cluster.apply_claim(name, claim);
        }
        for action in plan.actions.clone() {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.now;
        let version = self.version();
        match action {
            Action::Launch { claim, offerings, .. } => self.sell(&claim, &offerings),
            Action::Inspect { node } => self.memory.inspected(&node, now),
            Action::Evict { pod, uid } => self.cluster.delete_pod(now, &pod, Some(&uid)),
            Action::Terminate { claim, .. } => self.change_claim(&claim, |claim| claim.ended = true),
            // What is none of these changes no node, claim or pod.
            other => drop(effect::write(&mut self.cluster, now, version, &other)),
        }
    }

    /// The cloud sells the first offering that it does not refuse; those that it refuses are marked.
    fn sell(&mut self, claim: &Name, offerings: &[OfferingKey]) {
        let until = self.now.checked_add(Span::from_mins(3)).expect("a moment near 1970");
        for key in offerings {
            if self.refused.contains(key) {
                self.memory.stock.mark(key.clone(), until);
                continue;
            }
            let kind = self.offers.find(&class(), &key.instance_type).expect("it is offered").clone();
            let price =
                kind.offerings.iter().find(|o| o.zone == key.zone && o.capacity_type == key.capacity_type).expect("it is sold").price;
            let mut labels: Labels = kind.labels.0.iter().filter_map(|(k, w)| Some((k.clone(), w.listed()?.first()?.clone()))).collect();
            labels.insert(ZONE.into(), key.zone.clone());
            labels.insert(CAPACITY_TYPE.into(), key.capacity_type.label().into());
            let machine = Machine {
                provider_id: format!("machine-{claim}").into(),
                instance_type: key.instance_type.clone(),
                zone: key.zone.clone(),
                capacity_type: key.capacity_type,
                price,
                capacity: kind.capacity,
                allocatable: kind.allocatable,
                labels,
            };
            self.change_claim(claim, |claim| claim.machine = Some(machine));
            return;
        }
    }
}
