//! Pods by formula and seed, as Kubernetes' own objects: the mixes of Karpenter's benchmark, workers of queues, and services that ask for resources alone.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;
/// Labels and selectors of Karpenter's mixes.
const LETTERS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
const HOST: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What a pod asks for besides resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Generic,
    /// Pods of a label evenly over zones.
    ZoneSpread,
    /// Pods of a label evenly over nodes.
    HostSpread,
    /// The zone of its like.
    Affine,
    /// No node with its like.
    Apart,
    /// A zone that there is; if it can be, none of its like in its zone (which cannot be) or on its node.
    Preferring,
    /// A queue's worker of this number: evenly over zones if it can be.
    Worker(u8),
}

/// One pod, in short. A hundred thousand of them are small; the object is made when it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    number: usize,
    cpu_m: i64,
    memory: i64,
    label: &'static str,
    selector: &'static str,
    /// The number of the node that it runs on.
    pub(crate) on: Option<usize>,
}

impl Row {
    fn new(kind: Kind, number: usize, cpu_m: i64, memory: i64) -> Self {
        Self { kind, number, cpu_m, memory, label: "a", selector: "a", on: None }
    }

    /// The object.
    pub(crate) fn pod(&self) -> Pod {
        let (kind, labels, more) = self.wishes();
        let amount = |bytes: i64| if bytes % MIB == 0 { format!("{}Mi", bytes / MIB) } else { bytes.to_string() };
        let name = format!("{kind}-{:06}", self.number);
        let mut spec = json!({"containers": [{"name": "main", "image": "example.test/app:1", "resources": {
            "requests": {"cpu": format!("{}m", self.cpu_m), "memory": amount(self.memory)}}}]});
        let mut status =
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
        if let Some(fields) = spec.as_object_mut() {
            fields.extend(more.as_object().cloned().unwrap_or_default());
            if let Some(node) = self.on {
                fields.insert("nodeName".to_owned(), json!(node_name(node)));
                status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
            }
        }
        let meta = json!({"name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": labels,
            "creationTimestamp": "2026-01-01T00:00:00Z"});
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status});
        serde_json::from_value(object).expect("the formula makes pods")
    }

    /// The kind's name, labels, and what the specification says besides its container.
    fn wishes(&self) -> (String, Value, Value) {
        let term = |key: &str, label: &str, value: &str| json!({"labelSelector": {"matchLabels": {label: value}}, "topologyKey": key});
        let spread = |key: &str, when: &str, label: &str, value: &str| {
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when,
                "labelSelector": {"matchLabels": {label: value}}}]})
        };
        let required = |what: &str, term: Value| json!({"affinity": {what: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        let mine = json!({"my-label": self.label});
        match self.kind {
            Kind::Generic => ("generic".to_owned(), mine, json!({})),
            Kind::ZoneSpread => ("zone-spread".to_owned(), mine, spread(ZONE, "DoNotSchedule", "my-label", self.selector)),
            Kind::HostSpread => ("host-spread".to_owned(), mine, spread(HOST, "DoNotSchedule", "my-label", self.selector)),
            Kind::Affine => {
                ("affine".to_owned(), json!({"my-affinity": self.label}), required("podAffinity", term(ZONE, "my-affinity", self.label)))
            }
            Kind::Apart => ("apart".to_owned(), json!({"app": "nginx"}), required("podAntiAffinity", term(HOST, "app", "nginx"))),
            Kind::Preferring => {
                let zone = json!([{"weight": 1, "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["test-zone-1"]}]}}]);
                let apart = json!([{"weight": 10, "podAffinityTerm": term(ZONE, "app", "nginx")},
                    {"weight": 1, "podAffinityTerm": term(HOST, "app", "nginx")}]);
                let preferred = |what: Value| json!({"preferredDuringSchedulingIgnoredDuringExecution": what});
                let affinity = json!({"nodeAffinity": preferred(zone), "podAntiAffinity": preferred(apart)});
                ("preferring".to_owned(), json!({"app": "nginx"}), json!({"affinity": affinity}))
            }
            Kind::Worker(queue) => {
                let app = format!("worker-{queue}");
                (app.clone(), json!({"app": app}), spread(ZONE, "ScheduleAnyway", "app", &app))
            }
        }
    }
}

/// The name of a node that is there from the start.
pub(crate) fn node_name(number: usize) -> String {
    format!("node-{number:04}")
}

fn pick<T: Copy>(chance: &mut fastrand::Rng, from: &[T]) -> T {
    from[chance.usize(..from.len())]
}

/// CPU and memory of Karpenter's mixes.
fn draw(chance: &mut fastrand::Rng) -> (i64, i64) {
    (pick(chance, &[100, 250, 500, 1000, 1500]), pick(chance, &[100, 256, 512, 1024, 2048, 4096]) * MIB)
}

/// Karpenter's diverse mix: a fifth each of five kinds, what is left over generic; labels and selectors drawn apart from each other.
pub(crate) fn diverse(count: usize, seed: u64) -> Vec<Row> {
    let chance = &mut fastrand::Rng::with_seed(seed);
    let share = count / 5;
    let kinds = [Kind::ZoneSpread, Kind::HostSpread, Kind::Affine, Kind::Apart];
    let rest = std::iter::repeat_n(Kind::Generic, count - share * kinds.len());
    let kinds = rest.chain(kinds.into_iter().flat_map(|kind| std::iter::repeat_n(kind, share)));
    kinds
        .enumerate()
        .map(|(number, kind)| {
            let (cpu, memory) = draw(chance);
            Row { label: pick(chance, &LETTERS), selector: pick(chance, &LETTERS), ..Row::new(kind, number, cpu, memory) }
        })
        .collect()
}

/// Karpenter's pods with preferences, all alike; with `Kind::Generic` the same pods as it sees them where it ignores preferences.
pub(crate) fn preferring(count: usize, seed: u64, kind: Kind) -> Vec<Row> {
    let (cpu, memory) = draw(&mut fastrand::Rng::with_seed(seed));
    (0..count).map(|number| Row::new(kind, number, cpu, memory)).collect()
}

/// Workers of this many queues. Each has 0.25 to 4 CPUs with 1 to 6 GiB for each, and a share of the pods that is up to eight times another's.
pub(crate) fn workers(count: usize, seed: u64, queues: u8) -> Vec<Row> {
    let chance = &mut fastrand::Rng::with_seed(seed);
    let shapes: Vec<(i64, i64, u32)> = (0..queues)
        .map(|_| {
            let cpu = pick(chance, &[250, 500, 1000, 1500, 2000, 3000, 4000]);
            let memory = cpu * pick(chance, &[1024, 1536, 2048, 3072, 4096, 6144]) / 1000 / 64 * 64;
            (cpu, memory.max(64) * MIB, chance.u32(1..=8))
        })
        .collect();
    let whole: u32 = shapes.iter().map(|(_, _, weight)| weight).sum();
    let mut rows = Vec::with_capacity(count);
    for (queue, (cpu, memory, weight)) in (0_u8..).zip(&shapes) {
        let last = usize::from(queue) + 1 == shapes.len();
        let share = if last { count - rows.len() } else { count * (*weight as usize) / (whole as usize) };
        rows.extend((0..share).map(|number| Row::new(Kind::Worker(queue), number, *cpu, *memory)));
    }
    rows
}

/// Services that ask for resources alone: more than half of them small, a third middling, a few with much memory or many CPUs, so that some three hundred of
/// a thousand differ.
pub(crate) fn services(count: usize, seed: u64) -> Vec<Row> {
    let chance = &mut fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|number| {
            let (cpu, memory) = match chance.u32(0..100) {
                0..56 => (50 * chance.i64(1..=10), 64 * MIB * chance.i64(2..=16)),
                56..86 => (250 * chance.i64(2..=8), 256 * MIB * chance.i64(4..=16)),
                86..96 => (500 * chance.i64(4..=8), GIB * chance.i64(4..=16)),
                96..98 => (500 * chance.i64(1..=4), 2 * GIB * chance.i64(6..=16)),
                _ => (1000 * chance.i64(5..=12), GIB * chance.i64(4..=12)),
            };
            Row::new(Kind::Generic, number, cpu, memory)
        })
        .collect()
}

/// Pods of a quarter of a CPU.
pub(crate) fn small(count: usize) -> Vec<Row> {
    (0..count).map(|number| Row::new(Kind::Generic, number, 250, 64 * MIB)).collect()
}

/// The pods of Cluster Autoscaler's own benchmark of its estimator.
pub(crate) fn estimated() -> Vec<Row> {
    (0..51_000)
        .map(|number| if number < 50_000 { Row::new(Kind::Generic, number, 50, 100) } else { Row::new(Kind::Generic, number, 95, 190) })
        .collect()
}

/// Pods that run on `nodes` nodes of `cpu_m` and `memory` already, each node filled to between a fifth and nine tenths.
pub(crate) fn running(nodes: usize, cpu_m: i64, memory: i64, seed: u64) -> Vec<Row> {
    let chance = &mut fastrand::Rng::with_seed(seed);
    let mut rows: Vec<Row> = Vec::new();
    for node in 0..nodes {
        let share = chance.i64(20..=90);
        let (mut cpu_left, mut memory_left) = (cpu_m * share / 100, memory * share / 100);
        loop {
            let (cpu, bytes) = (250 * chance.i64(1..=8), 256 * MIB * chance.i64(1..=16));
            if cpu > cpu_left || bytes > memory_left {
                break;
            }
            (cpu_left, memory_left) = (cpu_left - cpu, memory_left - bytes);
            rows.push(Row { on: Some(node), ..Row::new(Kind::Generic, 1_000_000 + rows.len(), cpu, bytes) });
        }
    }
    rows
}
