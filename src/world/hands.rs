//! What comes of an action: what the API server, Karpenter's objects and the cloud make of it. One arm an action, as in the daemon.

use springtide_core::Span;
use springtide_core::name::Name;
use springtide_core::nodes::INSTANCE_TYPE;
use springtide_core::nodes::claim::Claim;
use springtide_core::nodes::cluster::Node;
use springtide_core::nodes::effect;
use springtide_core::nodes::launch::UNREGISTERED;
use springtide_core::nodes::offer::OfferingKey;
use springtide_core::nodes::taint::{Effect, Taint};
use springtide_core::plan::Action;

use super::World;
use super::agenda::{Event, later};
use super::chance::between;

/// A write to the API server.
const WRITE: Span = Span::from_millis(15);
/// A cloud's answer to a purchase; Karpenter's users report a little more from claim to instance.
const SALE: Span = Span::from_millis(1200);
/// The end of a machine, as far as the cloud's answer to the order.
const END: Span = Span::from_millis(800);
/// A node is there this long before pods can run on it.
const JOINS_BEFORE: Span = Span::from_secs(3);
/// An offering that was refused is not asked for again for so long; Karpenter's time.
const STOCK_OUT: Span = Span::from_mins(3);
const NOT_READY: &str = "node.kubernetes.io/not-ready";

impl World {
    /// Begins an action, unless one of the same key is on its way.
    pub(super) fn begin(&mut self, action: Action) -> bool {
        if !self.on_the_way.insert(action.key()) {
            return false;
        }
        let takes = match action {
            Action::Launch { .. } => SALE,
            Action::Terminate { .. } => END,
            _ => WRITE,
        };
        self.agenda.add(later(self.now, takes), Event::Landed(Box::new(action)));
        true
    }

    /// An action is done.
    pub(super) fn land(&mut self, action: Action) {
        self.on_the_way.remove(&action.key());
        self.turn_soon();
        let now = self.now;
        let version = self.next_version();
        match action {
            Action::Scale { workload, version: decided_on, to, .. } => {
                if let Some(known) = self.cluster.workloads.get_mut(&workload) {
                    known.writing = None;
                    if known.version == decided_on {
                        (known.version, known.replicas) = (version, to);
                    }
                }
                self.control_soon(workload);
            }
            Action::Launch { claim, offerings, .. } => self.sell(&claim, &offerings),
            Action::Inspect { node } => self.memory.inspected(&node, now),
            Action::Evict { pod, .. } => self.stop(&pod),
            Action::Terminate { claim, .. } => self.end_machine(&claim),
            other => {
                if let Action::DeleteClaim { claim, reason, .. } = &other {
                    self.account.leaves(self.cluster.claims.get(claim), claim, *reason);
                }
                // What is not a write to a claim or node is about templates, which are known from the start, and about what KEDA left, which is nothing here.
                if effect::write(&mut self.cluster, now, version, &other) {
                    // A taint that goes may let pods on.
                    self.schedule_soon();
                }
            }
        }
    }

    /// The cloud sells the first offering that is in stock, and the machine begins to boot.
    fn sell(&mut self, name: &Name, offerings: &[OfferingKey]) {
        let (machine, refused) = self.market.buy(self.now, name, offerings);
        self.account.refused(&refused);
        for offering in refused {
            self.memory.stock.mark(offering, later(self.now, STOCK_OUT));
        }
        let Some(machine) = machine else { return };
        if self.cluster.claims.get(name).is_none_or(|claim| claim.machine.is_some()) {
            return;
        }
        let on_demand = self.market.on_demand(&machine.instance_type, &machine.zone);
        self.account.bought(name, &machine, on_demand);
        let (least, most) = self.story.machines.boot;
        let boot = between(&mut self.chance.starts, least.0, most.0);
        let joins = later(self.now, boot.saturating_sub(JOINS_BEFORE));
        self.agenda.add(joins, Event::Joined { claim: name.clone() });
        self.agenda.add(later(joins, JOINS_BEFORE), Event::Ready { claim: name.clone() });
        self.change_claim(name, |claim| claim.machine = Some(machine));
    }

    /// A machine's node appears.
    pub(super) fn joined(&mut self, name: &Name) {
        let Some(claim) = self.cluster.claims.get(name).filter(|claim| !claim.ended).cloned() else { return };
        let Some(machine) = &claim.machine else { return };
        let version = self.next_version();
        let taints = [taint(UNREGISTERED), taint(NOT_READY)].into_iter().chain(claim.spec.startup_taints.iter().cloned()).collect();
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
        debug_assert!(node.labels.contains_key(INSTANCE_TYPE), "a machine knows its type");
        self.cluster.apply_node(name.clone(), node);
        self.turn_soon();
    }

    /// A machine's node is ready for pods.
    pub(super) fn ready(&mut self, name: &Name) {
        self.change_node(name, |node| {
            node.ready = true;
            node.taints.retain(|taint| taint.key != NOT_READY);
        });
        self.schedule_soon();
        self.turn_soon();
    }

    /// A machine is no more, and nothing that ran on it.
    pub(super) fn end_machine(&mut self, name: &Name) {
        let Some(claim) = self.cluster.claims.get(name).filter(|claim| !claim.ended) else { return };
        if let Some((node, _)) = self.cluster.node_of(claim) {
            let node = node.clone();
            let pods: Vec<_> = self.cluster.load(&node).into_iter().flat_map(|load| load.pods.iter().cloned()).collect();
            for pod in pods {
                self.remove_pod(&pod);
            }
            self.change_node(&node, |node| node.ready = false);
        }
        self.account.ended(name);
        self.change_claim(name, |claim| claim.ended = true);
        self.turn_soon();
    }

    /// Changes a claim as the API server would.
    pub(super) fn change_claim(&mut self, name: &Name, change: impl FnOnce(&mut Claim)) {
        let version = self.next_version();
        effect::change_claim(&mut self.cluster, name, version, change);
    }

    fn change_node(&mut self, name: &Name, change: impl FnOnce(&mut Node)) {
        let version = self.next_version();
        effect::change_node(&mut self.cluster, name, version, change);
        self.schedule_soon();
    }
}

fn taint(key: &str) -> Taint {
    Taint { key: key.into(), value: Name::default(), effect: Effect::NoSchedule }
}
