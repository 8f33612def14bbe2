//! NodePools of a scene, and the nodes that may be bought for them.

use serde_json::{Value, json};

use super::chance::Chance;
use super::features::Features;
use super::market::{CAPACITY_TYPES, Sale, Type, ZONES};
use super::selector::{Labels, holds, items, text};
use super::words::{ARCH, CAPACITY_TYPE, INSTANCE_CPU, NODE_POOL, OS, RING, TEAM, VALUES, ZONE};

/// A NodePool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: &'static str,
    /// Labels that its nodes get.
    labels: Labels,
    /// What its machines must be.
    requirements: Vec<Value>,
    /// Taints that its nodes keep.
    pub taints: Vec<Value>,
    startup_taints: Vec<Value>,
    limits: Option<Value>,
    weight: usize,
}

/// One to three pools.
pub fn pools(seed: u64, features: Features, market: &[Type]) -> Vec<Pool> {
    let count = Chance::of(seed, "pools", 0).pick(&[1, 1, 2, 2, 3]);
    let names = ["first", "second", "third"];
    names[..count]
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let mut pool = pool(seed, features, number, name);
            // A pool that can buy nothing is worth a scene now and then.
            if pool.goods(market).is_empty() && !Chance::of(seed, "pools without goods", number).one_in(4) {
                pool.requirements.truncate(1);
            }
            pool
        })
        .collect()
}

fn pool(seed: u64, features: Features, number: usize, name: &'static str) -> Pool {
    let mut chance = Chance::of(seed, "pool", number);
    let mut requirements = vec![json!({"key": OS, "operator": "In", "values": ["linux"]})];
    let capacity_types = if chance.one_in(3) { chance.some(&CAPACITY_TYPES, 1) } else { CAPACITY_TYPES.to_vec() };
    requirements.push(json!({"key": CAPACITY_TYPE, "operator": "In", "values": capacity_types}));
    let weight = chance.pick(&[0, 0, 1, 10]);
    let mut labels = Labels::new();
    if features.has(Features::LABELS) {
        let mut chance = Chance::of(seed, "labels of a pool", number);
        if chance.one_in(4) {
            requirements.push(json!({"key": ARCH, "operator": "In", "values": [chance.pick(&["amd64", "amd64", "arm64"])]}));
        }
        if chance.one_in(4) {
            requirements.push(json!({"key": ZONE, "operator": chance.pick(&["In", "NotIn"]), "values": chance.some(&ZONES, 2)}));
        }
        if chance.one_in(5) {
            let (operator, bound) = chance.pick(&[("Lt", "16"), ("Gt", "2"), ("Gt", "4")]);
            requirements.push(json!({"key": INSTANCE_CPU, "operator": operator, "values": [bound]}));
        }
        if chance.one_in(3) {
            requirements.push(match chance.between(0, 6) {
                0 => json!({"key": TEAM, "operator": "Exists"}),
                1 => json!({"key": TEAM, "operator": "NotIn", "values": [chance.pick(&VALUES)]}),
                _ => json!({"key": TEAM, "operator": "In", "values": chance.some(&VALUES, 2)}),
            });
        }
        if chance.one_in(3) {
            labels.insert(RING.to_owned(), chance.pick(&VALUES).to_owned());
        }
    }
    let (mut taints, mut startup_taints) = (Vec::new(), Vec::new());
    if features.has(Features::TAINTS) {
        let mut chance = Chance::of(seed, "taints of a pool", number);
        // Most pods tolerate nothing, and find a place in the first pool.
        if chance.one_in(if number == 0 { 6 } else { 3 }) {
            taints.push(taint(&mut chance));
        }
        if chance.one_in(5) {
            startup_taints.push(json!({"key": "example.com/starting", "effect": "NoExecute"}));
        }
    }
    let mut limits = None;
    if features.has(Features::LIMITS) {
        let mut chance = Chance::of(seed, "limits of a pool", number);
        if chance.one_in(4) {
            let resource = chance.pick(&["cpu", "memory", "nodes"]);
            limits = Some(match resource {
                "cpu" => json!({"cpu": chance.pick(&["8", "20", "48500m"])}),
                "memory" => json!({"memory": chance.pick(&["16Gi", "70Gi"])}),
                _ => json!({"nodes": chance.pick(&["1", "3", "6"])}),
            });
        }
    }
    Pool { name, labels, requirements, taints, startup_taints, limits, weight }
}

/// A taint of a pool or a node.
pub fn taint(chance: &mut Chance) -> Value {
    let (key, value) = chance.pick(&[("example.com/for", "red"), ("example.com/for", "blue"), ("example.com/only", "")]);
    let effect = chance.pick(&["NoSchedule", "NoSchedule", "NoExecute", "PreferNoSchedule"]);
    if value.is_empty() { json!({"key": key, "effect": effect}) } else { json!({"key": key, "value": value, "effect": effect}) }
}

impl Pool {
    /// As an object.
    pub fn object(&self) -> Value {
        let mut spec = json!({
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
            "requirements": self.requirements,
        });
        for (field, taints) in [("taints", &self.taints), ("startupTaints", &self.startup_taints)] {
            if !taints.is_empty() {
                spec[field] = json!(taints);
            }
        }
        let mut object = json!({
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": self.name},
            "spec": {
                "template": {"metadata": {"labels": self.labels}, "spec": spec},
                // Nodes without work stay: what a plan takes away is not what is looked at here.
                "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "Never"},
            },
        });
        if let Some(limits) = &self.limits {
            object["spec"]["limits"] = limits.clone();
        }
        if self.weight > 0 {
            object["spec"]["weight"] = json!(self.weight);
        }
        object
    }

    /// What may be bought for it.
    pub fn goods<'a>(&self, market: &'a [Type]) -> Vec<(&'a Type, &'a Sale)> {
        let all = market.iter().flat_map(|kind| kind.sales.iter().map(move |sale| (kind, sale)));
        all.filter(|(_, sale)| sale.available)
            .filter(|(kind, sale)| {
                let labels = kind.labels(sale.zone, sale.capacity_type);
                self.requirements.iter().filter(|row| text(row, "key") != TEAM).all(|row| holds(row, &labels))
            })
            .collect()
    }

    /// The labels that a node of this pool has besides those of its machine. Where the pool leaves a label open there is one set for each choice.
    pub fn choices(&self) -> Vec<Labels> {
        let mut plain = self.labels.clone();
        plain.insert(NODE_POOL.to_owned(), self.name.to_owned());
        let team = |value: &str| {
            let mut labels = plain.clone();
            labels.insert(TEAM.to_owned(), value.to_owned());
            labels
        };
        let Some(row) = self.requirements.iter().find(|row| text(row, "key") == TEAM) else { return vec![plain] };
        match text(row, "operator") {
            "In" => items(row, "values").iter().filter_map(Value::as_str).map(team).collect(),
            "NotIn" => {
                let allowed = VALUES.iter().filter(|value| holds(row, &team(value)));
                allowed.map(|value| team(value)).chain([plain.clone()]).collect()
            }
            _ => VALUES.iter().map(|value| team(value)).collect(),
        }
    }
}
