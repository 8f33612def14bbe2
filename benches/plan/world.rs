//! What is planned for: a pool, what it can buy, pods, and nodes that are there. As Kubernetes' objects, from which both the planner's index and the bound's
//! rows of numbers are made, each in its own way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;
use springtide_api::karpenter::NodePool;
use springtide_api::{quantity, typed};
use springtide_core::Timestamp;
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::offer::{InstanceType, Offers};
use springtide_core::nodes::requirement::{Requirement, Requirements};
use springtide_core::nodes::{CAPACITY_TYPE, ZONE};

use crate::bound::{Bin, Item};
use crate::pods::{Row, node_name};

/// The pods of a world.
pub(crate) enum Pods {
    /// By formula.
    Rows(Vec<Row>),
    /// As they were written down.
    Given(Vec<Pod>),
}

impl Pods {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Given(pods) => pods.len(),
        }
    }

    fn get(&self, i: usize) -> Pod {
        match self {
            Self::Rows(rows) => rows[i].pod(),
            Self::Given(pods) => pods[i].clone(),
        }
    }
}

/// What is planned for.
pub(crate) struct World {
    pub(crate) pool: NodePool,
    pub(crate) types: Arc<Vec<InstanceType>>,
    pub(crate) pods: Pods,
    pub(crate) nodes: Vec<Node>,
}

/// The index of a world, and how long it took to make.
pub(crate) struct Indexed {
    pub(crate) cluster: Cluster,
    pub(crate) offers: Offers,
    pub(crate) took: Duration,
}

/// The moment of all plans.
pub(crate) fn now() -> Timestamp {
    "2026-01-01T00:01:00Z".parse().expect("a time")
}

impl World {
    pub(crate) fn new(pool: NodePool, types: Vec<InstanceType>, pods: Vec<Row>) -> Self {
        Self { pool, types: Arc::new(types), pods: Pods::Rows(pods), nodes: Vec::new() }
    }

    /// The same with this many nodes that are there and belong to nobody's pool.
    pub(crate) fn with_nodes(mut self, count: usize, cpu_m: i64, memory: i64) -> Self {
        let node = |number: usize| {
            let (name, zone) = (node_name(number), ["mkt-1a", "mkt-1b", "mkt-1c", "mkt-1d"][number % 4]);
            let amounts = json!({"cpu": format!("{cpu_m}m"), "memory": memory.to_string(), "pods": "110"});
            let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64"});
            let object = json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": labels}, "spec": {"providerID": name},
                "status": {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}});
            serde_json::from_value(object).expect("the formula makes nodes")
        };
        self.nodes = (0..count).map(node).collect();
        self
    }

    /// Takes all objects in, pods in this order. What the objects cost to make is not counted.
    pub(crate) fn index(&self, order: &[usize]) -> Result<Indexed> {
        let mut cluster = Cluster::default();
        let start = Instant::now();
        let pool = typed::pool::pool(&self.pool)?;
        anyhow::ensure!(pool.unusable.is_none(), "the pool cannot be used: {:?}", pool.unusable);
        let offers = Offers(BTreeMap::from([(pool.class.clone(), Arc::clone(&self.types))]));
        cluster.classes.insert(pool.class.clone());
        cluster.pools.insert(pool.name.clone(), pool);
        for node in &self.nodes {
            let (name, node) = typed::node::node(node)?;
            cluster.apply_node(name, node);
        }
        let mut took = start.elapsed();
        for i in order {
            let object = self.pods.get(*i);
            let start = Instant::now();
            let (key, pod) = typed::pod::pod(&object, &mut cluster.shapes)?;
            cluster.apply_pod(now(), key, pod);
            took += start.elapsed();
        }
        let start = Instant::now();
        cluster.classify(now());
        took += start.elapsed();
        Ok(Indexed { cluster, offers, took })
    }

    /// The same as rows of numbers: CPU, memory, places for pods, and the one place for a pod that goes with none of its like. What else pods ask for is left
    /// out, which only lowers the bound. `node` is what a node costs beside its price, in dollars.
    pub(crate) fn problem(&self, node: f64) -> Result<(Vec<Item>, Vec<Bin>)> {
        let mut items: BTreeMap<Vec<i64>, u32> = BTreeMap::new();
        let mut used: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for pod in (0..self.pods.len()).map(|i| self.pods.get(i)) {
            let takes = takes(&pod)?;
            match pod.spec.and_then(|spec| spec.node_name) {
                Some(node) => {
                    let sum = used.entry(node).or_insert_with(|| vec![0; 4]);
                    sum.iter_mut().zip(&takes).for_each(|(sum, takes)| *sum += takes);
                }
                None => *items.entry(takes).or_default() += 1,
            }
        }
        let mut bins = self.to_buy(node)?;
        for object in &self.nodes {
            let allocatable = object.status.as_ref().and_then(|status| status.allocatable.as_ref()).context("a node without amounts")?;
            let mut holds = vec![
                quantity::milli(&allocatable["cpu"].0)?,
                quantity::whole(&allocatable["memory"].0)?,
                quantity::whole(&allocatable["pods"].0)?,
                1,
            ];
            let used = used.get(object.metadata.name.as_deref().unwrap_or_default());
            holds.iter_mut().zip(used.into_iter().flatten()).for_each(|(holds, used)| *holds -= used);
            bins.push(Bin { holds, cost: 0.0, stock: Some(1) });
        }
        Ok((items.into_iter().map(|(takes, count)| Item { takes, count }).collect(), bins))
    }

    /// Each type at its cheapest offering that the pool allows.
    fn to_buy(&self, node: f64) -> Result<Vec<Bin>> {
        let wishes = typed::pool::requirements(&self.pool.spec.template.spec.requirements)?;
        let mut bins = Vec::new();
        for kind in self.types.iter().filter(|kind| wishes.conflict_with(&kind.labels).is_none()) {
            let allowed = kind.offerings.iter().filter(|offering| {
                let mut place = Requirements::default();
                place.add(ZONE.into(), &Requirement::is(offering.zone.clone()));
                place.add(CAPACITY_TYPE.into(), &Requirement::is(offering.capacity_type.label().into()));
                offering.available && wishes.conflict_with(&place).is_none()
            });
            let Some(price) = allowed.map(|offering| offering.price).min() else { continue };
            let room = &kind.allocatable;
            bins.push(Bin { holds: vec![room.cpu.0, room.memory.0, room.pods, 1], cost: dollars(price.0) + node, stock: None });
        }
        Ok(bins)
    }
}

#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52 millionths of a dollar")]
pub(crate) fn dollars(micro: i64) -> f64 {
    micro as f64 / 1e6
}

/// What one pod takes, as `World::problem` says. All pods here have one container.
fn takes(pod: &Pod) -> Result<Vec<i64>> {
    let spec = pod.spec.as_ref().context("a pod without a specification")?;
    let requests =
        spec.containers.first().and_then(|one| one.resources.as_ref()).and_then(|r| r.requests.as_ref()).context("no requests")?;
    let terms = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.pod_anti_affinity.as_ref())
        .and_then(|apart| apart.required_during_scheduling_ignored_during_execution.as_ref());
    let of_itself = |labels: Option<&BTreeMap<String, String>>| {
        labels.is_some_and(|wanted| {
            wanted.iter().all(|(key, value)| pod.metadata.labels.as_ref().and_then(|mine| mine.get(key)) == Some(value))
        })
    };
    let apart = terms.into_iter().flatten().any(|term| {
        let labels = term.label_selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
        term.topology_key == "kubernetes.io/hostname" && of_itself(labels)
    });
    Ok(vec![quantity::milli(&requests["cpu"].0)?, quantity::whole(&requests["memory"].0)?, 1, i64::from(apart)])
}
