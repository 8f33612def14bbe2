//! A small cluster for tests: builders for its objects. Its hands carry out what a plan says.

mod hands;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::claim::Claim;
use super::cluster::{Cluster, Node, Pod, PodPhase, PodRole};
use super::decide::{Memory, Options, decide};
use super::offer::{CapacityType, ClassRef, InstanceType, Offering, OfferingKey, Offers};
use super::pool::{Budget, BudgetNodes, ConsolidationPolicy, Disruption, Limits, Pool};
use super::requirement::{Labels, Operator, Requirement, Requirements};
use super::resources::Resources;
use super::selector::Identity;
use super::shape::{Shape, ShapeId};
use super::taint::{Effect, Taint, Toleration};
use super::workload::{Template, Workload, WorkloadKey};
use super::{INSTANCE_TYPE, NODE_POOL};
use crate::check::check;
use crate::name::{Key, Name};
use crate::plan::{Action, Plan};
use crate::units::{Bytes, MicroDollarsPerHour, MilliCpu, Replicas};
use crate::{Span, Timestamp};

pub(crate) const GIB: i64 = 1 << 30;

/// A cluster, what is wanted of it, and what is remembered.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) now: Timestamp,
    pub(crate) cluster: Cluster,
    pub(crate) wanted: BTreeMap<WorkloadKey, Replicas>,
    pub(crate) offers: Offers,
    pub(crate) memory: Memory,
    /// Offerings that the cloud refuses to sell.
    pub(crate) refused: BTreeSet<OfferingKey>,
    serial: u64,
}

pub(crate) fn class() -> ClassRef {
    ClassRef { group: "karpenter.kwok.sh".into(), kind: "KWOKNodeClass".into(), name: "default".into() }
}

/// The 144 types of Karpenter's kwok provider, by its formula.
pub(crate) fn kwok_types() -> Vec<InstanceType> {
    let mut types = Vec::new();
    for cpu in [1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256] {
        for (family, factor) in [("c", 2), ("s", 4), ("m", 8)] {
            for os in ["linux", "windows"] {
                types.extend(["amd64", "arm64"].map(|arch| kwok_type(cpu, family, factor, arch, os)));
            }
        }
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    types
}

fn kwok_type(cpu: i64, family: &str, factor: i64, arch: &str, os: &str) -> InstanceType {
    let name = Name::from(format!("{family}-{cpu}x-{arch}-{os}"));
    let memory = cpu * factor * GIB;
    let capacity = Resources {
        cpu: MilliCpu(cpu * 1000),
        memory: Bytes(memory),
        ephemeral: Bytes(20 * GIB),
        pods: (16 * cpu).min(1024),
        ..Resources::default()
    };
    let mut allocatable = capacity.clone();
    allocatable.take(&Resources { cpu: MilliCpu(100), memory: Bytes(10 << 20), ..Resources::default() }, 1);
    let price = 25_000 * cpu + (memory + 500_000) / 1_000_000;
    let mut offerings = Vec::new();
    for zone in ["a", "b", "c", "d"] {
        for (capacity_type, price) in [(CapacityType::Spot, (price * 7 + 5) / 10), (CapacityType::OnDemand, price)] {
            offerings.push(Offering { zone: zone.into(), capacity_type, price: MicroDollarsPerHour(price), available: true });
        }
    }
    let labels = wishes(&[
        ("kubernetes.io/arch", arch),
        ("kubernetes.io/os", os),
        ("karpenter.kwok.sh/instance-family", family),
        (INSTANCE_TYPE, &name),
    ]);
    InstanceType { name, labels, capacity, allocatable, offerings }
}

/// Wishes for exactly these values.
pub(crate) fn wishes(rows: &[(&str, &str)]) -> Requirements {
    Requirements(rows.iter().map(|(key, value)| ((*key).into(), Requirement::is((*value).into()))).collect())
}

/// One wish by operator and values.
pub(crate) fn wish(key: &str, operator: Operator, values: &[&str]) -> Requirements {
    let wish = Requirement::new(operator, values.iter().map(|value| Name::from(*value))).expect("a wish that is well formed");
    Requirements(BTreeMap::from([(key.into(), wish)]))
}

/// A pod of so many millicores and MiB.
pub(crate) fn shape(cpu: i64, mib: i64) -> Shape {
    let requests = Resources { cpu: MilliCpu(cpu), memory: Bytes(mib << 20), pods: 1, ..Resources::default() };
    Shape { requests, wishes: vec![Requirements::default()], ..Shape::default() }
}

pub(crate) fn taint(key: &str) -> Taint {
    Taint { key: key.into(), value: Name::default(), effect: Effect::NoSchedule }
}

pub(crate) fn tolerates(key: &str) -> Toleration {
    Toleration { key: Some(key.into()), value: None, effect: None }
}

/// A pool without limits whose nodes go 30 s after they have become empty, a tenth of them at a time.
pub(crate) fn pool(name: &str) -> Pool {
    Pool {
        name: name.into(),
        uid: format!("pool-{name}").into(),
        unusable: None,
        weight: 0,
        wishes: wishes(&[(NODE_POOL, name)]),
        labels: Labels::from([(NODE_POOL.into(), name.into())]),
        annotations: Labels::new(),
        taints: Vec::new(),
        startup_taints: Vec::new(),
        class: class(),
        limits: Limits::default(),
        disruption: Disruption {
            consolidate_after: Some(Span::from_secs(30)),
            policy: ConsolidationPolicy::WhenEmpty,
            budgets: vec![Budget { nodes: BudgetNodes::Percent(10), reasons: None, window: None }],
        },
        expire_after: None,
        termination_grace_period: None,
        hash: "1".into(),
    }
}

pub(crate) fn workload_key(name: &str) -> WorkloadKey {
    WorkloadKey { kind: "Deployment".into(), key: Key::new("work", name) }
}

impl Scene {
    /// One pool that can buy these types.
    pub(crate) fn with(types: Vec<InstanceType>) -> Self {
        let mut scene = Self {
            now: Timestamp::UNIX_EPOCH,
            cluster: Cluster::default(),
            wanted: BTreeMap::new(),
            offers: Offers(BTreeMap::from([(class(), Arc::new(types))])),
            memory: Memory::default(),
            refused: BTreeSet::new(),
            serial: 0,
        };
        scene.add_pool(pool("default"));
        scene
    }

    pub(crate) fn kwok() -> Self {
        Self::with(kwok_types())
    }

    pub(crate) fn add_pool(&mut self, pool: Pool) {
        self.cluster.pools.insert(pool.name.clone(), pool);
    }

    pub(crate) fn pool_mut(&mut self) -> &mut Pool {
        self.cluster.pools.get_mut("default").expect("every scene has it")
    }

    pub(crate) fn wait(&mut self, span: Span) {
        self.now = self.now.checked_add(span).expect("a moment near 1970");
    }

    pub(crate) fn version(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A workload of `replicas` pods like this, all written already and none made yet.
    pub(crate) fn want(&mut self, name: &str, replicas: u32, shape: Shape) -> WorkloadKey {
        let key = workload_key(name);
        let shape = self.cluster.shapes.intern(shape);
        self.cluster.templates.insert(name.into(), Template::Pod { shape, identity: Arc::default(), limits: Resources::default() });
        let version = self.version();
        let workload = Workload {
            uid: format!("uid-{name}").into(),
            version,
            replicas: Replicas(replicas),
            existing: Replicas(0),
            ready: Replicas(0),
            template: name.into(),
            revision: 0,
            one_by_one: false,
            failure: None,
            writing: None,
        };
        self.cluster.apply_workload(key.clone(), workload);
        self.wanted.insert(key.clone(), Replicas(replicas));
        key
    }

    /// A pod as the API server shows it.
    pub(crate) fn pod_of(&mut self, shape: ShapeId, role: PodRole, node: Option<&str>, owner: Option<&str>) -> Pod {
        let version = self.version();
        Pod {
            uid: format!("pod-{version}").into(),
            version,
            shape,
            identity: Arc::default(),
            node: node.map(Name::from),
            controller: owner.map(|owner| format!("uid-{owner}").into()),
            role,
            phase: if node.is_some() { PodPhase::Running } else { PodPhase::Pending },
            ready: node.is_some(),
            deleting: false,
            gated: false,
            grace: Span::from_secs(30),
            created: self.now,
        }
    }

    /// Makes a pod of work, bound or waiting.
    pub(crate) fn add_pod(&mut self, name: &str, shape: Shape, node: Option<&str>, owner: Option<&str>) -> Key {
        self.add_labelled_pod(name, &[], shape, node, owner)
    }

    /// The same with labels, for selectors.
    pub(crate) fn add_labelled_pod(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        shape: Shape,
        node: Option<&str>,
        owner: Option<&str>,
    ) -> Key {
        let key = Key::new("work", name);
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let identity = Arc::new(Identity { namespace: key.namespace.clone(), labels });
        let shape = self.cluster.shapes.intern_for(shape, &identity);
        let pod = Pod { identity, ..self.pod_of(shape, PodRole::Work, node, owner) };
        self.cluster.apply_pod(self.now, key.clone(), pod);
        key
    }

    pub(crate) fn add_daemon_set(&mut self, name: &str, shape: Shape) {
        let shape = self.cluster.shapes.intern(shape);
        self.cluster.daemons.insert(Key::new("system", name), shape);
    }

    /// Changes a pod as the API server would.
    pub(crate) fn change_pod(&mut self, key: &Key, change: impl FnOnce(&mut Pod)) {
        let mut pod = self.cluster.pods.get(key).expect("a pod that was made").clone();
        change(&mut pod);
        pod.version = self.version();
        self.cluster.apply_pod(self.now, key.clone(), pod);
    }

    pub(crate) fn change_node(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let mut node = self.cluster.nodes.get(name).expect("a node that was made").clone();
        change(&mut node);
        node.version = self.version();
        self.cluster.apply_node(name.into(), node);
    }

    pub(crate) fn change_claim(&mut self, name: &str, change: impl FnOnce(&mut Claim)) {
        let mut claim = self.cluster.claims.get(name).expect("a claim that was made").clone();
        change(&mut claim);
        claim.version = self.version();
        self.cluster.apply_claim(name.into(), claim);
    }

    /// Decides, and fails where the plan is in breach of what must be true of any.
    pub(crate) fn decide(&mut self) -> Plan {
        let memory = std::mem::take(&mut self.memory);
        let (plan, memory) = decide(self.now, &self.cluster, &self.wanted, &self.offers, Options::default(), memory);
        self.memory = memory;
        let breaches = check(self.now, &self.cluster, &self.wanted, &self.offers, &plan);
        assert!(breaches.is_empty(), "{}\n{}", breaches.iter().map(|b| format!("{b}\n")).collect::<String>(), print(&plan));
        plan
    }

    /// Decides and carries the plan out.
    pub(crate) fn turn(&mut self) -> Plan {
        let plan = self.decide();
        self.carry_out(&plan);
        plan
    }

    /// Turns, with machines that boot at once, until nothing is to do; at most `most` of them.
    pub(crate) fn settle(&mut self, most: usize) -> Plan {
        for _ in 0..most {
            let plan = self.turn();
            self.boot();
            if plan.actions.is_empty() && self.cluster.claims.values().all(|claim| self.cluster.node_of(claim).is_some()) {
                return plan;
            }
        }
        panic!("not still after {most} turns:\n{}", print(&self.decide()));
    }

    /// A node of the pool that is ready for pods, of this type.
    pub(crate) fn add_node(&mut self, name: &str, instance_type: &str) {
        let mut bought = Self::with(self.offers.of(&class()).iter().filter(|kind| kind.name == instance_type).cloned().collect());
        bought.now = self.now;
        bought.add_pod("first", shape(1, 1), None, None);
        bought.settle(9);
        let (_, mut claim) = bought.cluster.claims.pop_first().expect("a claim for the pod");
        let (_, mut node) = bought.cluster.nodes.pop_first().expect("a node for the pod");
        let identity = Name::from(format!("machine-{name}"));
        // Numbers of shapes are those of the other scene.
        claim.meant_for.clear();
        claim.uid = Some(format!("uid-{name}").into());
        claim.node_name = Some(name.into());
        claim.provider_id = Some(identity.clone());
        claim.machine.as_mut().expect("it was bought").provider_id = identity.clone();
        node.provider_id = identity;
        node.uid = format!("node-{name}").into();
        claim.version = self.version();
        node.version = self.version();
        self.cluster.apply_node(name.into(), node);
        self.cluster.apply_claim(format!("claim-{name}").into(), claim);
    }
}

/// A plan's actions, one a line.
pub(crate) fn print(plan: &Plan) -> String {
    plan.actions.iter().map(|action| format!("{action}\n")).collect()
}

/// The claims that a plan creates.
pub(crate) fn created(plan: &Plan) -> Vec<(Name, super::claim::ClaimSpec)> {
    let made = plan.actions.iter().filter_map(|action| match action {
        Action::CreateClaim { name, spec } => Some((name.clone(), (**spec).clone())),
        _ => None,
    });
    made.collect()
}
