//! The Node object of a machine, as its kubelet would have registered it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint as NodeTaint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::taint::{Effect, Taint};

use crate::ports::MachineRecord;

/// Label and annotation by which kwok finds the nodes that it plays.
const KWOK: (&str, &str) = ("kwok.x-k8s.io/node", "fake");
/// The share of the nodes that one kwok controller plays; there is one.
const PARTITION: (&str, &str) = ("kwok-partition", "a");
/// A node's own name as a label.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Keeps pods away until the claim has put its labels and taints on the node.
const UNREGISTERED: &str = "karpenter.sh/unregistered";

/// The node, named after its claim.
pub(super) fn node(record: &MachineRecord) -> Node {
    let mut labels: BTreeMap<String, String> =
        record.labels.iter().chain(&record.machine.labels).map(|(key, value)| (key.to_string(), value.to_string())).collect();
    labels.insert(HOSTNAME.to_owned(), record.claim.to_string());
    for (key, value) in [KWOK, PARTITION] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    Node {
        metadata: ObjectMeta {
            name: Some(record.claim.to_string()),
            labels: Some(labels),
            annotations: Some(BTreeMap::from([(KWOK.0.to_owned(), KWOK.1.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: Some(record.machine.provider_id.to_string()),
            taints: Some(taints(record)),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            capacity: Some(amounts(&record.machine.capacity)),
            allocatable: Some(amounts(&record.machine.allocatable)),
            phase: Some("Pending".to_owned()),
            ..NodeStatus::default()
        }),
    }
}

/// Kubernetes refuses two taints of the same key and effect: the first of them stays.
fn taints(record: &MachineRecord) -> Vec<NodeTaint> {
    let unregistered = Taint { key: UNREGISTERED.into(), value: "".into(), effect: Effect::NoExecute };
    let mut taints: Vec<NodeTaint> = Vec::new();
    for taint in [&unregistered].into_iter().chain(&record.taints).chain(&record.startup_taints) {
        let effect = match taint.effect {
            Effect::NoSchedule => "NoSchedule",
            Effect::PreferNoSchedule => "PreferNoSchedule",
            Effect::NoExecute => "NoExecute",
        };
        if !taints.iter().any(|there| *there.key == *taint.key && there.effect == effect) {
            let value = (!taint.value.is_empty()).then(|| taint.value.to_string());
            taints.push(NodeTaint { key: taint.key.to_string(), value, effect: effect.to_owned(), time_added: None });
        }
    }
    taints
}

fn amounts(resources: &Resources) -> BTreeMap<String, Quantity> {
    let mut amounts = BTreeMap::from([
        ("cpu".to_owned(), Quantity(resources.cpu.to_string())),
        ("memory".to_owned(), Quantity(resources.memory.to_string())),
        ("pods".to_owned(), Quantity(resources.pods.to_string())),
    ]);
    if resources.ephemeral.0 > 0 {
        amounts.insert("ephemeral-storage".to_owned(), Quantity(resources.ephemeral.to_string()));
    }
    amounts.extend(resources.extended.iter().map(|(name, amount)| (name.to_string(), Quantity(amount.to_string()))));
    amounts
}
