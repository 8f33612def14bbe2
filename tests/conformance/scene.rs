//! A scene with its plan: where each pod is, which labels that place has, and what could be bought, worked out from the scene's own text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::market::allows;
use super::sold::{self, Kind};
use crate::plan::Said;

/// Amounts of resources by name, in units.
pub type Amounts = BTreeMap<String, f64>;

/// The key of the zone's label.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The key of the capacity type's label.
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// The key of the host's name.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// A scene and what the program says of it.
pub struct Scene {
    pub documents: Vec<Value>,
    pub kinds: Vec<Kind>,
    pub plan: Value,
    pub errors: String,
    /// Pods that the plan gives a place, with the name of the node or NodeClaim.
    pub placed: BTreeMap<String, String>,
    /// Pods that the plan leaves without, with the reasons.
    pub unplaced: BTreeMap<String, String>,
    /// Pods that were bound and are alive, with the node's name.
    pub bound: BTreeMap<String, String>,
}

/// A value's text; a number is spelled.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

/// A quantity of Kubernetes'; 0 for what is none.
pub fn amount(value: &Value) -> f64 {
    let text = text(value);
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().unwrap_or_default();
    let factor = match &text[end..] {
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        _ => 1.0,
    };
    number * factor
}

pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The objects of a List, or the one object that a document is.
fn unlisted(mut document: Value) -> Vec<Value> {
    if document["kind"] != "List" {
        return vec![document];
    }
    match document["items"].take() {
        Value::Array(objects) => objects,
        _ => Vec::new(),
    }
}

pub fn pairs(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn key(document: &Value) -> String {
    let namespace = document["metadata"]["namespace"].as_str().unwrap_or("default");
    format!("{namespace}/{}", text(&document["metadata"]["name"]))
}

impl Scene {
    /// # Errors
    /// Why scene, types or plan cannot be read.
    pub fn of(documents: &str, types: &Path, said: &Said) -> Result<Self, String> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(documents).map_err(|error| format!("the scene cannot be read: {error}"))?;
        let documents = documents.into_iter().flat_map(unlisted).collect::<Vec<_>>();
        let kinds = sold::read(types)?;
        let plan: Value = serde_json::from_str(&said.out).map_err(|error| format!("{error}: no JSON in {}{}", said.out, said.errors))?;
        let (mut placed, mut unplaced, mut bound) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (list, name) in [("nodeClaims", "name"), ("placements", "node")] {
            for place in items(&plan[list]) {
                placed.extend(items(&place["pods"]).map(|pod| (text(pod), text(&place[name]))));
            }
        }
        for pod in items(&plan["unschedulable"]) {
            unplaced.insert(text(&pod["pod"]), items(&pod["reasons"]).map(text).collect::<Vec<_>>().join("; "));
        }
        for pod in documents.iter().filter(|document| document["kind"] == "Pod") {
            let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            let going = !pod["metadata"]["deletionTimestamp"].is_null();
            if let Some(node) = pod["spec"]["nodeName"].as_str().filter(|_| !is_over && !going) {
                bound.insert(key(pod), node.to_owned());
            }
        }
        Ok(Self { documents, kinds, plan, errors: said.errors.clone(), placed, unplaced, bound })
    }

    /// The pods of this pattern: a name, with the namespace where that is not `default`, in which `*` is anything.
    pub fn pods(&self, pattern: &str) -> Vec<String> {
        let pattern = if pattern.contains('/') { pattern.to_owned() } else { format!("default/{pattern}") };
        let of_scene = self.documents.iter().filter(|document| document["kind"] == "Pod").map(key);
        let all: BTreeSet<String> = self.placed.keys().chain(self.unplaced.keys()).cloned().chain(of_scene).collect();
        all.into_iter().filter(|pod| matches(&pattern, pod)).collect()
    }

    /// Where a pod is or will be.
    pub fn place(&self, pod: &str) -> Option<&str> {
        self.placed.get(pod).or_else(|| self.bound.get(pod)).map(String::as_str)
    }

    /// Every node of the scene, and every NodeClaim that the plan makes.
    pub fn all_places(&self) -> Vec<String> {
        let nodes = self.documents.iter().filter(|document| document["kind"] == "Node").map(|node| text(&node["metadata"]["name"]));
        nodes.chain(items(&self.plan["nodeClaims"]).map(|claim| text(&claim["name"]))).collect()
    }

    /// The NodeClaim of this name that the plan makes.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        items(&self.plan["nodeClaims"]).find(|claim| claim["name"] == name)
    }

    /// The types that a planned NodeClaim may become, the first choice first.
    pub fn types(&self, claim: &Value) -> Vec<String> {
        std::iter::once(&claim["instanceType"]).chain(items(&claim["alternatives"])).map(text).collect()
    }

    /// Object of this kind and name, without a namespace.
    pub fn object(&self, kind: &str, name: &str) -> Option<&Value> {
        self.documents.iter().find(|document| document["kind"] == kind && document["metadata"]["name"] == name)
    }

    /// The values that a label may come to have at a place, whatever is bought; none among them is a node without the label.
    pub fn values(&self, place: &str, label: &str) -> BTreeSet<Option<String>> {
        match self.claim(place) {
            Some(claim) => self.values_of_claim(claim, label, &self.types(claim)),
            None => BTreeSet::from([self.labels_of_object(place).remove(label)]),
        }
    }

    /// The value that a label has at a place where the first choice is bought.
    pub fn first(&self, place: &str, label: &str) -> Option<String> {
        let Some(claim) = self.claim(place) else { return self.labels_of_object(place).remove(label) };
        match label {
            ZONE => Some(text(&claim["zone"])),
            CAPACITY_TYPE => Some(text(&claim["capacityType"])),
            _ => self.values_of_claim(claim, label, &self.types(claim)[..1]).pop_first().flatten(),
        }
    }

    fn values_of_claim(&self, claim: &Value, label: &str, types: &[String]) -> BTreeSet<Option<String>> {
        let fixed = match label {
            HOSTNAME => Some(text(&claim["name"])),
            "karpenter.sh/nodepool" => Some(text(&claim["nodePool"])),
            _ => claim["labels"].get(label).map(text),
        };
        if let Some(value) = fixed {
            return BTreeSet::from([Some(value)]);
        }
        let wished = |label: &str, value: &str| {
            items(&claim["requirements"]).filter(|wish| wish["key"] == label).all(|wish| allows(wish, Some(value)))
        };
        let mut found = BTreeSet::new();
        for kind in self.kinds.iter().filter(|kind| types.contains(&kind.name)) {
            let offerings = kind.offerings.iter();
            let sold = offerings.filter(|offer| wished(ZONE, &offer.zone) && wished(CAPACITY_TYPE, &offer.capacity_type));
            match label {
                ZONE => found.extend(sold.map(|offer| Some(offer.zone.clone()))),
                CAPACITY_TYPE => found.extend(sold.map(|offer| Some(offer.capacity_type.clone()))),
                _ => match kind.labels.get(label) {
                    Some(values) => found.extend(values.iter().filter(|value| wished(label, value)).map(|value| Some(value.clone()))),
                    None => drop(found.insert(None)),
                },
            }
        }
        found
    }

    /// The labels of a node, or of a NodeClaim that has none yet.
    fn labels_of_object(&self, name: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([(HOSTNAME.to_owned(), name.to_owned())]);
        for object in [self.object("NodeClaim", name), self.object("Node", name)].into_iter().flatten() {
            for wish in items(&object["spec"]["requirements"]).filter(|wish| wish["operator"] == "In") {
                if let [value] = &items(&wish["values"]).collect::<Vec<_>>()[..] {
                    labels.insert(text(&wish["key"]), text(value));
                }
            }
            labels.extend(pairs(&object["metadata"]["labels"]));
        }
        labels
    }

    /// A pod's specification and labels; those of its workload's template where it is still to be made.
    pub fn pod(&self, pod: &str) -> Option<(&Value, BTreeMap<String, String>)> {
        let name = pod.strip_suffix("-(moved)").unwrap_or(pod);
        if let Some(found) = self.documents.iter().find(|document| document["kind"] == "Pod" && key(document) == name) {
            return Some((&found["spec"], pairs(&found["metadata"]["labels"])));
        }
        let (workload, _) = pod.split_once("-(new-")?;
        let found = self.documents.iter().find(|document| !document["spec"]["template"].is_null() && key(document) == workload)?;
        let template = &found["spec"]["template"];
        Some((&template["spec"], pairs(&template["metadata"]["labels"])))
    }

    /// All pods that have a place and these labels (`*`, or `KEY=VALUE` with commas), counted by the value of a label at their place.
    pub fn counts(&self, label: &str, selector: &str) -> BTreeMap<String, usize> {
        let wished: Vec<(&str, &str)> = selector.split(',').filter_map(|part| part.split_once('=')).collect();
        let mut counts = BTreeMap::new();
        for (pod, place) in self.placed.iter().chain(&self.bound) {
            let labels = self.pod(pod).map(|(_, labels)| labels).unwrap_or_default();
            if wished.iter().all(|(key, value)| labels.get(*key).is_some_and(|known| known == value))
                && let Some(value) = self.first(place, label)
            {
                *counts.entry(value).or_default() += 1;
            }
        }
        counts
    }
}

/// Whether a text answers a pattern in which `*` is anything.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            text.strip_prefix(start).is_some_and(|left| (0..=left.len()).any(|at| left.is_char_boundary(at) && matches(rest, &left[at..])))
        }
    }
}
