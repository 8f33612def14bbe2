//! Workloads: pods that wait, alike but for their names, and what they ask for.

use serde_json::{Value, json};

use super::chance::Chance;
use super::constraints;
use super::features::Features;
use super::pools::Pool;
use super::volumes;
use super::words::{GPU, NAMESPACES};

/// The label by which revisions of a workload differ.
pub const REVISION: &str = "pod-template-hash";

/// More CPUs than any machine has.
const HUGE: &str = "40";

/// Pods that are alike.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name, also the pods' label `app`.
    pub name: String,
    /// Its namespace.
    pub namespace: &'static str,
    /// The pods' label `tier`, which several workloads share.
    pub tier: &'static str,
    /// What its pods are.
    pub spec: Value,
    waiting: usize,
    has_revisions: bool,
}

/// Two to six workloads with 10 to 60 pods together, with the volumes that they name.
pub fn workloads(seed: u64, features: Features, pools: &[Pool]) -> (Vec<Workload>, Vec<Value>) {
    let mut chance = Chance::of(seed, "workloads", 0);
    let count = chance.between(2, 6);
    let mut left = chance.between(10, 60);
    let mut all: Vec<Workload> = Vec::new();
    for number in 0..count {
        let waiting = if number + 1 == count { left } else { chance.between(1, (left - (count - number - 1)).min(25)) };
        left -= waiting;
        all.push(Workload {
            name: format!("w{number}"),
            namespace: chance.pick(&NAMESPACES).0,
            tier: chance.pick(&["web", "batch"]),
            spec: Value::Null,
            waiting,
            has_revisions: chance.one_in(4),
        });
    }
    let mut objects = Vec::new();
    for number in 0..count {
        let mut spec = spec(seed, features, number);
        constraints::add(seed, features, number, &all, pools, &mut spec);
        if features.has(Features::VOLUMES) {
            objects.extend(volumes::add(seed, number, &all[number], &mut spec));
        }
        all[number].spec = spec;
    }
    (all, objects)
}

impl Workload {
    /// A pod of one of the two revisions, which are one where the workload has none.
    pub fn pod(&self, name: &str, revision: usize) -> Value {
        let revision = if self.has_revisions { revision } else { 0 };
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": format!("{}-{name}", self.name),
                "namespace": self.namespace,
                "labels": {"app": self.name, "tier": self.tier, REVISION: format!("r{revision}")},
            },
            "spec": self.spec,
        })
    }

    /// The pods that wait. Where each has a volume of its own, its name is in place of a mark.
    pub fn pods(&self) -> Vec<Value> {
        let pods = (0..self.waiting).map(|number| {
            let mut pod = self.pod(&number.to_string(), number % 2);
            volumes::name_own(&mut pod, number);
            pod
        });
        pods.collect()
    }

    /// How many pods wait.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }
}

/// What a workload's pods ask for.
fn spec(seed: u64, features: Features, number: usize) -> Value {
    let mut chance = Chance::of(seed, "requests", number);
    let cpu = chance.pick(&["50m", "100m", "250m", "500m", "750m", "1", "1500m", "2", "3200m"]);
    let memory = chance.pick(&["64Mi", "200Mi", "512Mi", "1Gi", "1500Mi", "3Gi", "6Gi"]);
    let mut requests = json!({"cpu": cpu, "memory": memory});
    match chance.between(0, 29) {
        0 => requests["cpu"] = json!(HUGE),
        1 => requests["memory"] = json!("14Gi"),
        2 | 3 => requests = json!({}),
        _ => {}
    }
    let mut main = json!({"name": "main", "image": "app", "resources": {"requests": requests}});
    if features.has(Features::EXTENDED) {
        let mut chance = Chance::of(seed, "extended", number);
        if chance.one_in(8) {
            main["resources"]["limits"] = json!({GPU: chance.pick(&["1", "2"])});
        }
        if chance.one_in(8) {
            main["resources"]["requests"]["ephemeral-storage"] = json!(chance.pick(&["1Gi", "6Gi"]));
        }
    }
    let mut spec = json!({"containers": [main]});
    if features.has(Features::CONTAINERS) {
        add_containers(&mut Chance::of(seed, "containers", number), &mut spec);
    }
    if features.has(Features::PRIORITIES) {
        let mut chance = Chance::of(seed, "priorities", number);
        if chance.one_in(3) {
            spec["priority"] = json!(chance.pick(&[-10, 100, 100, 1000]));
        }
        if chance.one_in(20) {
            spec["schedulingGates"] = json!([{"name": "example.com/later"}]);
        }
    }
    spec
}

fn add_containers(chance: &mut Chance, spec: &mut Value) {
    if chance.one_in(5) {
        // What is not asked for is taken from the limit, resource by resource.
        let limits = json!({"cpu": "4", "memory": chance.pick(&["2Gi", "3Gi"])});
        spec["containers"][0]["resources"]["limits"] = merged(&spec["containers"][0]["resources"]["limits"], &limits);
        spec["containers"][0]["resources"]["requests"] = json!({"cpu": chance.pick(&["100m", "1"])});
        if chance.one_in(3) {
            spec["containers"][0]["resources"]["requests"] = json!({});
        }
    }
    if chance.one_in(5) {
        let resources = json!({"requests": {"cpu": chance.pick(&["10m", "200m"]), "memory": "100Mi"}});
        spec["containers"]
            .as_array_mut()
            .into_iter()
            .for_each(|all| all.push(json!({"name": "proxy", "image": "proxy", "resources": resources})));
    }
    let mut first = Vec::new();
    for number in 0..chance.pick(&[0, 0, 0, 0, 1, 1, 2, 3]) {
        let requests = json!({"cpu": chance.pick(&["100m", "900m", "2500m"]), "memory": chance.pick(&["50Mi", "2Gi"])});
        let mut container = json!({"name": format!("init-{number}"), "image": "init", "resources": {"requests": requests}});
        if chance.one_in(2) {
            container["restartPolicy"] = json!("Always");
            container["resources"]["requests"] = json!({"cpu": chance.pick(&["50m", "400m"]), "memory": "128Mi"});
        }
        first.push(container);
    }
    if !first.is_empty() {
        spec["initContainers"] = json!(first);
    }
    if chance.one_in(8) {
        spec["overhead"] = json!({"cpu": chance.pick(&["50m", "250m"]), "memory": "120Mi"});
    }
    if chance.one_in(20) && spec["containers"][0]["resources"]["requests"]["cpu"] != HUGE {
        // For the whole pod; at least what its containers ask for together.
        spec["resources"] = json!({"requests": {"cpu": chance.pick(&["8", "9500m"])}});
        if chance.one_in(2) {
            spec["resources"]["requests"]["memory"] = json!("20Gi");
        }
    }
}

fn merged(limits: &Value, more: &Value) -> Value {
    let both = [limits, more].into_iter().filter_map(Value::as_object).flatten();
    both.map(|(key, value)| (key.clone(), value.clone())).collect()
}
