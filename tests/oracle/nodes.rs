//! Nodes that are there, and what runs on them; and nodes as a plan wants them.

use serde_json::{Value, json};

use super::chance::Chance;
use super::features::Features;
use super::market::{Type, ZONES};
use super::pools::{Pool, taint};
use super::selector::{Labels, items, runs_daemon, text};
use super::words::{ARCH, CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, NODE_POOL, OS, RING, SYSTEM, TEAM, VALUES, ZONE, pin};
use super::workloads::Workload;

/// How many pods can be pinned to a node.
const PINS: &str = "1000";

/// A node that is ready.
pub fn node(name: &str, mut labels: Labels, taints: &[Value], allocatable: &Value) -> Value {
    labels.insert(HOSTNAME.to_owned(), name.to_owned());
    if labels.contains_key(NODE_POOL) {
        labels.extend(["registered", "initialized"].map(|done| (format!("karpenter.sh/{done}"), "true".to_owned())));
    }
    let mut allocatable = allocatable.clone();
    allocatable[pin(name)] = json!(PINS);
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": if taints.is_empty() { json!({}) } else { json!({"taints": taints}) },
        "status": {
            "capacity": allocatable,
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// The labels of a node.
pub fn labels_of(node: &Value) -> Labels {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// The taints of a node.
pub fn taints_of(node: &Value) -> &[Value] {
    node.get("spec").map_or(&[], |spec| items(spec, "taints"))
}

/// The pods that DaemonSets have on this node.
pub fn daemon_pods(daemons: &[Value], node: &Value) -> Vec<Value> {
    let (labels, taints) = (labels_of(node), taints_of(node));
    let name = text(&node["metadata"], "name");
    let fits = daemons.iter().filter(|set| runs_daemon(&set["spec"]["template"]["spec"], &labels, taints));
    fits.map(|set| {
        let set_name = text(&set["metadata"], "name");
        let mut pod = set["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(format!("{set_name}-{name}"));
        pod["metadata"]["namespace"] = json!(SYSTEM);
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": set_name, "uid": format!("uid-of-{set_name}"), "controller": true}]);
        pod["spec"]["nodeName"] = json!(name);
        pod
    })
    .collect()
}

/// DaemonSets of a scene.
pub fn daemons(seed: u64, features: Features) -> Vec<Value> {
    if !features.has(Features::DAEMONS) {
        return Vec::new();
    }
    let count = Chance::of(seed, "daemons", 0).pick(&[0, 0, 1, 1, 2]);
    (0..count).map(|number| daemon(seed, features, number)).collect()
}

fn daemon(seed: u64, features: Features, number: usize) -> Value {
    let mut chance = Chance::of(seed, "daemon", number);
    let (name, labels) = (format!("agent-{number}"), json!({"app": format!("agent-{number}")}));
    let requests = json!({"cpu": chance.pick(&["50m", "100m", "250m"]), "memory": chance.pick(&["64Mi", "200Mi"])});
    let mut container = json!({"name": "agent", "image": "agent", "resources": {"requests": requests}});
    if features.has(Features::PORTS) && chance.one_in(3) {
        container["ports"] = json!([{"containerPort": 9100, "hostPort": 9100}]);
    }
    let mut spec = json!({"containers": [container]});
    if chance.one_in(2) {
        spec["tolerations"] = json!([{"operator": "Exists"}]);
    }
    if features.has(Features::LABELS) {
        match chance.between(0, 8) {
            0 => spec["nodeSelector"] = json!({ARCH: "amd64"}),
            1 => spec["nodeSelector"] = json!({CAPACITY_TYPE: "spot"}),
            2 => {
                let row = json!({"key": TEAM, "operator": chance.pick(&["NotIn", "In"]), "values": [chance.pick(&VALUES)]});
                spec["affinity"] = required_node_affinity(json!([{"matchExpressions": [row]}]));
            }
            3 => spec["nodeSelector"] = json!({ZONE: chance.pick(&ZONES)}),
            _ => {}
        }
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    })
}

/// Node affinity that must hold, with these terms.
pub fn required_node_affinity(terms: Value) -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}})
}

/// Nodes that are there with the pods that run on them, the DaemonSets' among them.
pub fn existing(
    seed: u64,
    features: Features,
    market: &[Type],
    pools: &[Pool],
    daemons: &[Value],
    workloads: &[Workload],
) -> (Vec<Value>, Vec<Value>) {
    let count = Chance::of(seed, "nodes", 0).pick(&[0, 1, 2, 3, 4, 6]);
    let (mut nodes, mut running) = (Vec::new(), Vec::new());
    for number in 0..count {
        let Some((node, milli)) = existing_node(seed, features, number, market, pools) else { continue };
        running.extend(load(seed, number, &node, milli, workloads));
        // Now and then a DaemonSet's pod has not come yet, and needs its room all the same.
        if !Chance::of(seed, "daemons to come", number).one_in(6) {
            running.extend(daemon_pods(daemons, &node));
        }
        nodes.push(node);
    }
    (nodes, running)
}

/// A node and its CPU for pods, in millicores.
fn existing_node(seed: u64, features: Features, number: usize, market: &[Type], pools: &[Pool]) -> Option<(Value, u32)> {
    let mut chance = Chance::of(seed, "node", number);
    let name = format!("s{seed}-node-{number}");
    let pool = chance.pick(pools);
    let goods = pool.goods(market);
    let mut node = if chance.one_in(3) || goods.is_empty() {
        let kind = chance.pick(market);
        let mut labels = kind.labels(chance.pick(&ZONES), chance.pick(&["spot", "on-demand"]));
        let mut taints = Vec::new();
        if chance.one_in(4) {
            // Somebody's own machine, of which less is known.
            labels = Labels::from([(OS.to_owned(), "linux".to_owned())]);
        }
        labels.remove(INSTANCE_TYPE);
        if features.has(Features::LABELS) && chance.one_in(2) {
            labels.insert(chance.pick(&[TEAM, RING]).to_owned(), chance.pick(&VALUES).to_owned());
        }
        if features.has(Features::TAINTS) && chance.one_in(3) {
            taints.push(taint(&mut chance));
        }
        (node(&name, labels, &taints, &kind.allocatable()), kind.milli())
    } else {
        let (kind, sale) = chance.pick(&goods);
        let mut labels = kind.labels(sale.zone, sale.capacity_type);
        labels.extend(chance.pick(&pool.choices()));
        (node(&name, labels, &pool.taints, &kind.allocatable()), kind.milli())
    };
    if features.has(Features::TAINTS) && chance.one_in(12) {
        node.0["spec"]["unschedulable"] = json!(true);
        let mut taints = taints_of(&node.0).to_vec();
        taints.push(json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}));
        node.0["spec"]["taints"] = json!(taints);
    }
    Some(node)
}

/// Pods that run on a node: mostly more of those that wait, whose labels count and whose anti-affinity keeps others away.
fn load(seed: u64, number: usize, node: &Value, milli: u32, workloads: &[Workload]) -> Vec<Value> {
    let mut chance = Chance::of(seed, "load", number);
    let (mut left, mut pods, mut with_ports) = (milli * 7 / 10, Vec::new(), false);
    let name = text(&node["metadata"], "name");
    for place in 0..chance.pick(&[0, 1, 2, 3, 5]) {
        let cpu = chance.pick(&[100, 500, 500, 1000, 1500]);
        if cpu > left {
            break;
        }
        left -= cpu;
        let workload = chance.pick(workloads);
        let mut pod = workload.pod(&format!("runs-{number}-{place}"), chance.between(0, 1));
        // A running pod's own constraints towards nodes do not matter any more; what it holds and whom it keeps away does.
        let requests = json!({"cpu": format!("{cpu}m"), "memory": chance.pick(&["128Mi", "600Mi"])});
        let mut container = json!({"name": "main", "image": "app", "resources": {"requests": requests}});
        if let Some(ports) = workload.spec["containers"][0].get("ports").filter(|_| !with_ports && chance.one_in(2)) {
            (container["ports"], with_ports) = (ports.clone(), true);
        }
        let mut spec = json!({"containers": [container], "nodeName": name});
        if let Some(apart) = workload.spec.pointer("/affinity/podAntiAffinity") {
            spec["affinity"] = json!({"podAntiAffinity": apart});
        }
        pod["spec"] = spec;
        pods.push(pod);
    }
    pods
}
