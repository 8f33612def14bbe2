//! NodeClaims as the API server takes them: a new one from a plan, the status of its progress, and what a node gets when it registers.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};
use springtide_api::conditions::karpenter;
use springtide_api::labels;
use springtide_core::name::Name;
use springtide_core::nodes::claim::{Claim, ClaimSpec, Machine};
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::taint::Taint as CoreTaint;
use springtide_core::nodes::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE};
use springtide_core::units::Bytes;

use super::watch::Custom;

/// A NodeClaim to create.
#[must_use]
pub fn new_object(name: &Name, spec: &ClaimSpec, pool: Option<&DynamicObject>) -> DynamicObject {
    let mut object = DynamicObject::new(name, &Custom::NodeClaim.resource());
    let mut names: std::collections::BTreeMap<String, String> = text(&spec.labels);
    names.insert(NODE_POOL.to_owned(), spec.pool.to_string());
    names.insert(format!("{}/{}", spec.class.group, spec.class.kind.to_lowercase()), spec.class.name.to_string());
    object.metadata.labels = Some(names);
    let mut notes = text(&spec.annotations);
    notes.insert(labels::NODEPOOL_HASH.to_owned(), spec.hash.to_string());
    notes.insert(labels::NODEPOOL_HASH_VERSION.to_owned(), springtide_api::hash::VERSION.to_owned());
    object.metadata.annotations = Some(notes);
    object.metadata.finalizers = Some(vec![labels::TERMINATION_FINALIZER.to_owned()]);
    object.metadata.owner_references = pool.map(|pool| {
        vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
            api_version: "karpenter.sh/v1".to_owned(),
            kind: "NodePool".to_owned(),
            name: pool.name_any(),
            uid: pool.uid().unwrap_or_default(),
            block_owner_deletion: Some(true),
            controller: None,
        }]
    });
    object.data = json!({ "spec": {
        "nodeClassRef": { "group": spec.class.group, "kind": spec.class.kind, "name": spec.class.name },
        "requirements": requirements(spec),
        "resources": { "requests": quantities(&spec.requests) },
        "taints": spec.taints.iter().map(taint).collect::<Vec<_>>(),
        "startupTaints": spec.startup_taints.iter().map(taint).collect::<Vec<_>>(),
        "expireAfter": spec.expire_after.map_or_else(|| "Never".to_owned(), springtide_api::duration::print),
    }});
    if let (Some(grace), Some(fields)) = (spec.termination_grace_period, object.data.get_mut("spec").and_then(Value::as_object_mut)) {
        fields.insert("terminationGracePeriod".to_owned(), springtide_api::duration::print(grace).into());
    }
    object
}

/// Wishes as the API spells them. The types keep the plan's order of preference, which the set of a wish does not have.
fn requirements(spec: &ClaimSpec) -> Vec<Value> {
    let mut rows = Vec::new();
    for (key, wish) in &spec.wishes.0 {
        if key == INSTANCE_TYPE && !spec.types.is_empty() {
            rows.push(json!({ "key": key, "operator": "In", "values": spec.types }));
            continue;
        }
        for (operator, values) in wish.spelled() {
            rows.push(json!({ "key": key, "operator": operator, "values": values }));
        }
    }
    rows
}

/// The status of a claim whose machine was bought.
#[must_use]
pub fn launched(machine: &Machine, now: Timestamp) -> Value {
    json!({
        "providerID": machine.provider_id,
        "capacity": quantities(&machine.capacity),
        "allocatable": quantities(&machine.allocatable),
        "conditions": [condition(karpenter::LAUNCHED, now)],
    })
}

/// The labels that a claim has once its machine is known.
#[must_use]
pub fn labels_of(machine: &Machine) -> Value {
    let mut all = Map::new();
    for (key, value) in &machine.labels {
        all.insert(key.to_string(), value.as_str().into());
    }
    all.insert(CAPACITY_TYPE.to_owned(), machine.capacity_type.label().into());
    all.insert(ZONE.to_owned(), machine.zone.as_str().into());
    all.insert(INSTANCE_TYPE.to_owned(), machine.instance_type.as_str().into());
    all.insert(labels::INSTANCE_PRICE.to_owned(), machine.price.to_string().into());
    Value::Object(all)
}

/// The status of a claim whose node has registered.
#[must_use]
pub fn registered(node: &Name, now: Timestamp) -> Value {
    json!({ "nodeName": node, "conditions": [condition(karpenter::REGISTERED, now)] })
}

/// The status of a claim whose node is ready for pods.
#[must_use]
pub fn initialized(now: Timestamp) -> Value {
    json!({ "conditions": [condition(karpenter::INITIALIZED, now), condition(karpenter::READY, now)] })
}

fn condition(kind: &str, now: Timestamp) -> Value {
    json!({ "type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": format!("{now:.0}") })
}

/// A merge patch of the status in which the new conditions take the place of those of their types and the others stay.
#[must_use]
pub fn with_conditions(present: &DynamicObject, status: &Value) -> Value {
    let mut status = status.clone();
    let new: Vec<Value> = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_new = |kind: Option<&Value>| new.iter().any(|condition| condition.get("type") == kind);
    let old = present.data.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all: Vec<Value> = old.into_iter().filter(|condition| !is_new(condition.get("type"))).collect();
    all.extend(new.clone());
    if let Some(fields) = status.as_object_mut() {
        fields.insert("conditions".to_owned(), Value::Array(all));
    }
    json!({ "metadata": { "resourceVersion": present.resource_version() }, "status": status })
}

/// What a node gets when it registers: labels, annotations, taints, finalizer and owner; the taint of an unregistered node goes.
#[must_use]
pub fn registration(name: &Name, claim: &Claim, node: &Node) -> Value {
    let mut names = claim.labels();
    names.insert(NODE_POOL.into(), claim.spec.pool.clone());
    names.insert(labels::NODE_REGISTERED.into(), "true".into());
    names.insert(labels::INSTANCE_PRICE.into(), claim.price().to_string().into());
    names.remove("kubernetes.io/hostname");
    let mut taints: Vec<Taint> = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.retain(|taint| taint.key != labels::UNREGISTERED_TAINT);
    let before_registering = !node.labels().contains_key(labels::NODE_REGISTERED);
    for wanted in claim.spec.taints.iter().chain(claim.spec.startup_taints.iter().filter(|_| before_registering)) {
        if !taints.iter().any(|taint| taint.key == wanted.key.as_str() && taint.effect == format!("{:?}", wanted.effect)) {
            taints.push(Taint {
                key: wanted.key.to_string(),
                value: Some(wanted.value.to_string()).filter(|value| !value.is_empty()),
                effect: format!("{:?}", wanted.effect),
                time_added: None,
            });
        }
    }
    let mut finalizers: Vec<String> = node.finalizers().to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == labels::TERMINATION_FINALIZER) {
        finalizers.push(labels::TERMINATION_FINALIZER.to_owned());
    }
    let owner = claim
        .uid
        .as_ref()
        .map(|uid| json!([{ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": name, "uid": uid, "blockOwnerDeletion": true }]));
    json!({
        "metadata": {
            "resourceVersion": node.resource_version(),
            "labels": names,
            "annotations": text(&claim.spec.annotations),
            "finalizers": finalizers,
            "ownerReferences": owner,
        },
        "spec": { "taints": taints },
    })
}

fn taint(taint: &CoreTaint) -> Value {
    let mut fields =
        Map::from_iter([("key".to_owned(), taint.key.as_str().into()), ("effect".to_owned(), format!("{:?}", taint.effect).into())]);
    if !taint.value.is_empty() {
        fields.insert("value".to_owned(), taint.value.as_str().into());
    }
    Value::Object(fields)
}

/// Amounts as Kubernetes writes them.
#[must_use]
pub fn quantities(resources: &Resources) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, there: bool, text: String| {
        if there {
            all.insert(name.to_owned(), text.into());
        }
    };
    put("cpu", resources.cpu.0 > 0, resources.cpu.to_string());
    put("memory", resources.memory.0 > 0, resources.memory.to_string());
    put("ephemeral-storage", resources.ephemeral.0 > 0, resources.ephemeral.to_string());
    put("pods", resources.pods > 0, resources.pods.to_string());
    for (name, amount) in &resources.extended {
        put(name, *amount > 0, Bytes(*amount).0.to_string());
    }
    Value::Object(all)
}

fn text(labels: &Labels) -> std::collections::BTreeMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
