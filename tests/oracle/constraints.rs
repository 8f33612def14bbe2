//! Where a workload's pods may run, and beside whom.

use serde_json::{Value, json};

use super::chance::Chance;
use super::features::Features;
use super::market::ZONES;
use super::nodes::required_node_affinity;
use super::pools::Pool;
use super::selector::Labels;
use super::words::{
    ARCH, CAPACITY_TYPE, HOSTNAME, INSTANCE_CPU, INSTANCE_TYPE, NAMESPACE_TIER, NAMESPACES, NOWHERE, RING, TEAM, VALUES, ZONE,
};
use super::workloads::{REVISION, Workload};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Adds what the workload of this number asks of nodes and of other pods.
pub fn add(seed: u64, features: Features, number: usize, all: &[Workload], pools: &[Pool], spec: &mut Value) {
    let chance = |purpose: &str| Chance::of(seed, purpose, number);
    if features.has(Features::LABELS) {
        ask_for_labels(&mut chance("labels"), seed, pools, spec);
    }
    if features.has(Features::TAINTS) {
        tolerate(&mut chance("tolerations"), spec);
    }
    if features.has(Features::SPREAD) {
        let mut chance = chance("spread");
        let count = chance.pick(&[0, 0, 0, 0, 0, 1, 1, 2]);
        let rows: Vec<Value> = (0..count).map(|_| spread(&mut chance, &all[number], "DoNotSchedule")).collect();
        push(spec, &["topologySpreadConstraints"], rows);
    }
    if features.has(Features::AFFINITY) {
        let mut chance = chance("affinity");
        if chance.one_in(7) {
            let term = beside(&mut chance, number, all);
            push(spec, &["affinity", "podAffinity", REQUIRED], vec![term]);
        }
    }
    if features.has(Features::ANTI_AFFINITY) {
        let mut chance = chance("anti-affinity");
        if chance.one_in(6) {
            let term = apart(&mut chance, number, all);
            push(spec, &["affinity", "podAntiAffinity", REQUIRED], vec![term]);
        }
    }
    if features.has(Features::PREFERENCES) {
        prefer(&mut chance("preferences"), number, all, spec);
    }
    if features.has(Features::PORTS) {
        let mut chance = chance("ports");
        if chance.one_in(9) && all[number].waiting() <= 12 {
            let mut port = json!({"containerPort": 80, "hostPort": chance.pick(&[8080, 8080, 9100])});
            match chance.between(0, 5) {
                0 => port["hostIP"] = json!(chance.pick(&["127.0.0.1", "0.0.0.0"])),
                1 => port["protocol"] = json!("UDP"),
                _ => {}
            }
            spec["containers"][0]["ports"] = json!([port]);
        }
    }
}

/// Adds rows to the list at this path, which is made where it is missing.
fn push(spec: &mut Value, path: &[&str], rows: Vec<Value>) {
    let place = path.iter().fold(spec, |place, field| &mut place[*field]);
    if !rows.is_empty() {
        let mut all = place.as_array().cloned().unwrap_or_default();
        all.extend(rows);
        *place = json!(all);
    }
}

/// A row of a selector for nodes; with one that no node answers now and then. `known` are labels that some nodes may have.
fn row(chance: &mut Chance, seed: u64, known: &Labels) -> Value {
    let is = |key: &str, operator: &str, values: Vec<&str>| json!({"key": key, "operator": operator, "values": values});
    let value = |key: &str, chance: &mut Chance| known.get(key).cloned().unwrap_or_else(|| chance.pick(&VALUES).to_owned());
    match chance.between(0, 15) {
        0..=2 => is(ZONE, "In", chance.some(&ZONES, 2)),
        3 => is(ZONE, "NotIn", chance.some(&ZONES, 2)),
        4 => is(CAPACITY_TYPE, "In", vec![chance.pick(&["spot", "on-demand"])]),
        5 => is(CAPACITY_TYPE, "NotIn", vec!["spot"]),
        6 => is(ARCH, "In", vec![chance.pick(&["amd64", "arm64"])]),
        7 => is(INSTANCE_CPU, "Gt", vec![chance.pick(&["2", "3", "8"])]),
        8 => is(INSTANCE_CPU, "Lt", vec![chance.pick(&["5", "16"])]),
        9 => is(INSTANCE_TYPE, chance.pick(&["In", "NotIn"]), vec![chance.pick(&["c-4x-amd64-linux", "s-8x-amd64-linux"])]),
        10 => is(TEAM, chance.pick(&["In", "NotIn"]), vec![&value(TEAM, chance)]),
        11 => json!({"key": chance.pick(&[TEAM, RING]), "operator": chance.pick(&["Exists", "DoesNotExist"])}),
        12 => is(RING, chance.pick(&["In", "NotIn"]), vec![&value(RING, chance)]),
        13 => is(HOSTNAME, "NotIn", vec![&format!("s{seed}-node-0")]),
        14 => json!({"key": chance.pick(&[ZONE, CAPACITY_TYPE, HOSTNAME]), "operator": "Exists"}),
        _ => match chance.between(0, 3) {
            0 => is(NOWHERE, "In", vec!["x"]),
            1 => json!({"key": chance.pick(&[ZONE, HOSTNAME, NOWHERE]), "operator": "DoesNotExist"}),
            _ => is(NOWHERE, "NotIn", vec!["x"]),
        },
    }
}

fn ask_for_labels(chance: &mut Chance, seed: u64, pools: &[Pool], spec: &mut Value) {
    let choices = chance.pick(pools).choices();
    let known = chance.pick(&choices);
    match chance.between(0, 23) {
        0 => spec["nodeSelector"] = json!({ZONE: chance.pick(&ZONES)}),
        1 => spec["nodeSelector"] = json!({CAPACITY_TYPE: "on-demand"}),
        // Of labels that pools give, mostly one that there is.
        2..=4 => {
            let label = [TEAM, RING].into_iter().find_map(|key| Some(json!({key: known.get(key)?})));
            let wrong = chance.one_in(6).then(|| json!({chance.pick(&[TEAM, RING]): chance.pick(&VALUES)}));
            if let Some(label) = label.or(wrong) {
                spec["nodeSelector"] = label;
            }
        }
        5 => spec["nodeSelector"] = json!({INSTANCE_CPU: chance.pick(&["4", "8"])}),
        6 if chance.one_in(3) => spec["nodeSelector"] = json!({HOSTNAME: format!("s{seed}-node-1")}),
        _ => {}
    }
    if chance.one_in(3) {
        let mut terms = Vec::new();
        for _ in 0..chance.pick(&[1, 1, 2, 3]) {
            let rows: Vec<Value> = (0..chance.pick(&[1, 1, 1, 2])).map(|_| row(chance, seed, &known)).collect();
            terms.push(json!({"matchExpressions": rows}));
        }
        if chance.one_in(25) {
            let field = json!({"key": "metadata.name", "operator": chance.pick(&["In", "NotIn"]), "values": [format!("s{seed}-node-0")]});
            terms = vec![json!({"matchFields": [field]})];
        }
        spec["affinity"] = required_node_affinity(json!(terms));
    }
}

fn tolerate(chance: &mut Chance, spec: &mut Value) {
    let mut rows = Vec::new();
    match chance.between(0, 8) {
        0 | 1 => rows.push(json!({"operator": "Exists"})),
        2 => rows.push(json!({"key": "example.com/for", "operator": "Exists"})),
        3 => rows.push(json!({"key": "example.com/for", "operator": "Equal", "value": chance.pick(&VALUES)})),
        4 => {
            rows.push(json!({"key": "example.com/for", "value": chance.pick(&VALUES), "effect": chance.pick(&["NoSchedule", "NoExecute"])}))
        }
        5 => rows.push(json!({"operator": "Exists", "effect": chance.pick(&["NoSchedule", "NoExecute"])})),
        _ => {}
    }
    if chance.one_in(3) {
        rows.push(json!({"key": "example.com/only", "operator": chance.pick(&["Exists", "Equal"])}));
    }
    if !rows.is_empty() {
        spec["tolerations"] = json!(rows);
    }
}

/// The pods of a workload, or those of its tier.
fn selector(chance: &mut Chance, of: &Workload) -> Value {
    match chance.between(0, 7) {
        0 => json!({"matchLabels": {"tier": of.tier}}),
        1 => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": [of.name, "another"]}]}),
        _ => json!({"matchLabels": {"app": of.name}}),
    }
}

fn spread(chance: &mut Chance, of: &Workload, otherwise: &str) -> Value {
    let mut row = json!({
        "maxSkew": chance.pick(&[1, 1, 2, 3]),
        "topologyKey": chance.pick(&[ZONE, ZONE, ZONE, HOSTNAME, HOSTNAME, CAPACITY_TYPE]),
        "whenUnsatisfiable": otherwise,
        "labelSelector": selector(chance, of),
    });
    if otherwise == "DoNotSchedule" && chance.one_in(4) {
        row["minDomains"] = json!(chance.pick(&[1, 2, 2, 3]));
    }
    if chance.one_in(6) {
        row["matchLabelKeys"] = json!([REVISION]);
    }
    if chance.one_in(5) {
        row["nodeAffinityPolicy"] = json!(chance.pick(&["Honor", "Ignore"]));
    }
    if chance.one_in(4) {
        row["nodeTaintsPolicy"] = json!(chance.pick(&["Honor", "Honor", "Ignore"]));
    }
    row
}

/// A term of pod affinity or anti-affinity towards the pods of a workload.
fn term(chance: &mut Chance, from: &Workload, to: &Workload) -> Value {
    let mut term = json!({"topologyKey": chance.pick(&[ZONE, HOSTNAME]), "labelSelector": selector(chance, to)});
    // Pods of another namespace have to be named so; now and then they are not, and are not meant then.
    let is_far = from.namespace != to.namespace;
    match chance.between(0, 7) {
        0 => term["namespaceSelector"] = json!({}),
        1 => {
            let (_, tier) = chance.pick(&NAMESPACES);
            term["namespaceSelector"] = json!({"matchLabels": {NAMESPACE_TIER: tier}});
        }
        2 => {}
        _ if is_far => term["namespaces"] = json!([to.namespace]),
        _ => {}
    }
    if chance.one_in(12) {
        term[chance.pick(&["matchLabelKeys", "mismatchLabelKeys"])] = json!([REVISION]);
    }
    term
}

/// Beside its own pods or another's; with each other within a zone more often than on one node, which few fit on.
fn beside(chance: &mut Chance, number: usize, all: &[Workload]) -> Value {
    let from = &all[number];
    let to = if chance.one_in(2) { from } else { &all[chance.between(0, all.len() - 1)] };
    term(chance, from, to)
}

fn apart(chance: &mut Chance, number: usize, all: &[Workload]) -> Value {
    let from = &all[number];
    let to = if chance.one_in(2) { from } else { &all[chance.between(0, all.len() - 1)] };
    let mut term = term(chance, from, to);
    // One in each zone is few.
    if to.waiting() > 4 && !chance.one_in(4) {
        term["topologyKey"] = json!(HOSTNAME);
    }
    term
}

fn prefer(chance: &mut Chance, number: usize, all: &[Workload], spec: &mut Value) {
    if chance.one_in(5) {
        push(spec, &["topologySpreadConstraints"], vec![spread(chance, &all[number], "ScheduleAnyway")]);
    }
    if chance.one_in(5) {
        let row = json!({"key": chance.pick(&[ZONE, TEAM]), "operator": "In", "values": [chance.pick(&["zone-b", "red"])]});
        let rows = vec![json!({"weight": chance.pick(&[1, 50, 100]), "preference": {"matchExpressions": [row]}})];
        push(spec, &["affinity", "nodeAffinity", PREFERRED], rows);
    }
    for (field, times) in [("podAffinity", 8), ("podAntiAffinity", 5)] {
        if chance.one_in(times) {
            let rows = vec![json!({"weight": chance.pick(&[1, 100]), "podAffinityTerm": beside(chance, number, all)})];
            push(spec, &["affinity", field, PREFERRED], rows);
        }
    }
    // Two constraints of one topology and one consequence are refused.
    if let Some(rows) = spec.get("topologySpreadConstraints").and_then(Value::as_array) {
        let mut kept: Vec<Value> = Vec::new();
        for row in rows {
            let same = |known: &Value| ["topologyKey", "whenUnsatisfiable"].iter().all(|field| known[*field] == row[*field]);
            if !kept.iter().any(same) {
                kept.push(row.clone());
            }
        }
        spec["topologySpreadConstraints"] = json!(kept);
    }
}
