//! What an API server, a kubelet or a scheduler would have written into an object, where a file leaves it out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use springtide_api::labels;
use springtide_core::Timestamp;
use springtide_core::name::Key;

use super::kind::is_of_cluster;
use super::{NAMESPACE_NAME, key};
use crate::manifests::{Document, Node};

/// The kubelet's own bound on pods, where a node does not tell.
const PODS: u32 = 110;
/// The taint of a node that somebody cordoned.
const CORDONED: &str = "node.kubernetes.io/unschedulable";

/// UIDs of objects, by kind and name.
pub struct Uids<'a>(BTreeMap<(&'a str, Key), &'a str>);

impl<'a> Uids<'a> {
    /// Those that the files tell.
    pub fn of(documents: &[&'a Document]) -> Self {
        let told = |document: &&'a Document| {
            let uid = document.tree.at(&["metadata", "uid"]).and_then(Node::text).filter(|uid| !uid.is_empty())?;
            // Nobody is owned by these, and there are many.
            (document.kind != "Pod").then(|| ((document.kind.as_str(), key(document)), uid))
        };
        Self(documents.iter().filter_map(told).collect())
    }

    /// The UID of this object; one made of its name where the files do not tell it.
    fn get(&self, kind: &str, key: &Key) -> String {
        self.0.get(&(kind, key.clone())).map_or_else(|| format!("uid-of-{kind}-{key}"), |uid| (*uid).to_owned())
    }
}

/// Fills in an object.
pub fn fill(object: &mut Value, document: &Document, uids: &Uids<'_>) {
    let key = key(document);
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if !is_of_cluster(&document.kind) {
        absent(metadata, "namespace", || json!(key.namespace.as_str()));
    }
    absent(metadata, "uid", || json!(uids.get(&document.kind, &key)));
    for owner in metadata.get_mut("ownerReferences").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let namespace = if is_of_cluster(&text("kind")) { "" } else { key.namespace.as_str() };
        let uid = uids.get(&text("kind"), &Key::new(namespace, text("name")));
        absent(owner, "uid", || json!(uid));
    }
    match document.kind.as_str() {
        "Pod" => pod(object),
        "Node" => node(object, &key),
        "Namespace" => {
            if let Some(labels) = part(object, "metadata").and_then(|metadata| map(metadata, "labels")) {
                absent(labels, NAMESPACE_NAME, || json!(key.name.as_str()));
            }
        }
        _ => {}
    }
}

/// A pod that is bound runs.
fn pod(object: &mut Value) {
    if object.pointer("/spec/nodeName").and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let Some(status) = part(object, "status") else { return };
    if !status.contains_key("phase") {
        status.insert("phase".to_owned(), json!("Running"));
        absent(status, "conditions", || json!([{ "type": "Ready", "status": "True" }]));
    }
}

/// A node is ready, its pods may have all of it, and it is called by its name; one that is cordoned has the taint for that.
fn node(object: &mut Value, key: &Key) {
    if object.pointer("/spec/unschedulable") == Some(&json!(true))
        && let Some(spec) = part(object, "spec")
    {
        absent(spec, "taints", || json!([]));
        let taints = spec.get_mut("taints").and_then(Value::as_array_mut);
        if let Some(taints) = taints.filter(|taints| !taints.iter().any(|taint| taint.get("key") == Some(&json!(CORDONED)))) {
            taints.push(json!({ "key": CORDONED, "effect": "NoSchedule" }));
        }
    }
    if let Some(metadata) = part(object, "metadata")
        && let Some(labels) = map(metadata, "labels")
    {
        absent(labels, labels::HOSTNAME, || json!(key.name.as_str()));
    }
    let Some(status) = part(object, "status") else { return };
    absent(status, "conditions", || json!([]));
    if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut)
        && !conditions.iter().any(|condition| condition.get("type") == Some(&json!("Ready")))
    {
        conditions.push(json!({ "type": "Ready", "status": "True" }));
    }
    let capacity = status.get("capacity").cloned();
    absent(status, "allocatable", || capacity.unwrap_or_default());
    if let Some(allocatable) = map(status, "allocatable") {
        absent(allocatable, "pods", || json!(PODS.to_string()));
    }
}

/// A part of an object that is a map, made where there is none.
fn part<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    map(object.as_object_mut()?, name)
}

fn map<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    absent(fields, name, || json!({}));
    fields.get_mut(name)?.as_object_mut()
}

/// Fills in what is not there, or is nothing.
fn absent(fields: &mut Map<String, Value>, name: &str, value: impl FnOnce() -> Value) {
    if fields.get(name).is_none_or(|known| known.is_null() || known == "") {
        fields.insert(name.to_owned(), value());
    }
}

/// The newest moment that objects tell of.
pub fn newest(documents: &[&Document]) -> Option<Timestamp> {
    let moments = documents.iter().flat_map(|document| {
        let at = |path: &[&str]| document.tree.at(path).and_then(Node::text);
        let conditions = document.tree.at(&["status", "conditions"]).map_or(&[][..], Node::items);
        let of_conditions = conditions.iter().filter_map(|condition| condition.get("lastTransitionTime").and_then(Node::text));
        [at(&["metadata", "creationTimestamp"]), at(&["status", "startTime"]), at(&["status", "lastActiveTime"])]
            .into_iter()
            .flatten()
            .chain(of_conditions)
            .filter_map(|text| text.parse().ok())
    });
    moments.max()
}
