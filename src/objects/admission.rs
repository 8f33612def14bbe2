//! What admission and the scheduler would have made of a pod: its priority by its class, and over what it is spread where it does not say.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PodSpec, Service, TopologySpreadConstraint};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, OwnerReference};
use springtide_api::typed;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::selector::Identity;

use super::kind::Object;
use super::scheduler::{Configuration, DEFAULT};

/// Classes that every cluster has.
const CLASSES: [(&str, i32); 2] = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
/// The label by which a ReplicaSet of a Deployment knows its pods.
const REVISION: &str = "pod-template-hash";

type Labels = BTreeMap<String, String>;

/// All that is known of pods beside their own text.
#[derive(Default)]
pub struct Admission {
    priorities: BTreeMap<String, i32>,
    priority: Option<i32>,
    /// Selectors of Services, by namespace and name: of two that want different values of one label the last one counts.
    services: BTreeMap<Name, BTreeMap<Name, Labels>>,
    owners: BTreeMap<(&'static str, Key), LabelSelector>,
    defaults: BTreeMap<String, Vec<TopologySpreadConstraint>>,
    /// Classes that pods name and that are not known.
    unknown: BTreeSet<String>,
}

impl Admission {
    /// Takes in what an object says of other objects' pods.
    pub fn learn(&mut self, object: &Object) {
        let (kind, meta, selector) = match object {
            Object::PriorityClass(class) => return self.learn_class(class),
            Object::Service(service) => return self.learn_service(service),
            Object::Deployment(o) => ("Deployment", &o.metadata, o.spec.as_ref().map(|spec| spec.selector.clone())),
            Object::StatefulSet(o) => ("StatefulSet", &o.metadata, o.spec.as_ref().map(|spec| spec.selector.clone())),
            Object::ReplicaSet(o) => ("ReplicaSet", &o.metadata, o.spec.as_ref().map(|spec| spec.selector.clone())),
            Object::Controller(o) => {
                let labels = o.spec.as_ref().and_then(|spec| spec.selector.clone());
                (
                    "ReplicationController",
                    &o.metadata,
                    labels.map(|labels| LabelSelector { match_labels: Some(labels), match_expressions: None }),
                )
            }
            _ => return,
        };
        if let Some(selector) = selector {
            self.owners.insert((kind, typed::key(meta)), selector);
        }
    }

    fn learn_class(&mut self, class: &PriorityClass) {
        self.priorities.insert(class.metadata.name.clone().unwrap_or_default(), class.value);
        if class.global_default == Some(true) {
            // Of several the least, as an API server decides.
            self.priority = Some(self.priority.map_or(class.value, |known| known.min(class.value)));
        }
    }

    fn learn_service(&mut self, service: &Service) {
        let key = typed::key(&service.metadata);
        if let Some(selector) = service.spec.as_ref().and_then(|spec| spec.selector.clone()) {
            self.services.entry(key.namespace).or_default().insert(key.name, selector);
        }
    }

    /// Takes in how the scheduler is set.
    pub fn configure(&mut self, configuration: &Configuration) -> Result<(), springtide_api::Problem> {
        self.defaults = configuration.defaults()?;
        Ok(())
    }

    /// Fills in a pod's specification. `owner` is the kind and name of what makes the pod, or of what makes that. Answers with its priority class where that
    /// is not known, once for each class.
    pub fn admit(&mut self, spec: &mut PodSpec, pod: &Identity, owner: Option<(&str, &str)>) -> Option<String> {
        self.spread(spec, pod, owner);
        if spec.priority.is_some() {
            return None;
        }
        let Some(class) = spec.priority_class_name.as_deref().filter(|class| !class.is_empty()) else {
            spec.priority = self.priority;
            return None;
        };
        let built_in = CLASSES.iter().find(|(name, _)| *name == class).map(|(_, value)| *value);
        spec.priority = self.priorities.get(class).copied().or(built_in);
        (spec.priority.is_none() && self.unknown.insert(class.to_owned())).then(|| class.to_owned())
    }

    fn spread(&self, spec: &mut PodSpec, pod: &Identity, owner: Option<(&str, &str)>) {
        let scheduler = spec.scheduler_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT);
        let Some(defaults) = self.defaults.get(scheduler).filter(|defaults| !defaults.is_empty()) else { return };
        if spec.topology_spread_constraints.as_ref().is_some_and(|own| !own.is_empty()) {
            return;
        }
        let Some(selector) = self.selector(pod, owner) else { return };
        let selected = |constraint: &TopologySpreadConstraint| TopologySpreadConstraint {
            label_selector: Some(selector.clone()),
            ..constraint.clone()
        };
        spec.topology_spread_constraints = Some(defaults.iter().map(selected).collect());
    }

    /// Which pods kube-scheduler takes as this one's like (its `helper.DefaultSelector`): the labels that Services ask for which select it, with what the
    /// controller asks for. None where that is nothing: it would be every pod.
    fn selector(&self, pod: &Identity, owner: Option<(&str, &str)>) -> Option<LabelSelector> {
        let of_pod =
            |selector: &&Labels| selector.iter().all(|(key, value)| pod.labels.get(key.as_str()).is_some_and(|own| own == value.as_str()));
        let services = self.services.get(&pod.namespace).into_iter().flat_map(BTreeMap::values);
        let mut labels: Labels = services.filter(of_pod).flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut expressions = Vec::new();
        if let Some((kind, selector)) = owner.and_then(|(kind, name)| self.owner(kind, &Key::new(pod.namespace.clone(), name))) {
            let own = selector.match_labels.clone().unwrap_or_default();
            if kind == "ReplicationController" {
                // Here the controller's value takes the place of a Service's; else both must hold.
                labels.extend(own);
            } else {
                expressions.extend(own.into_iter().map(|(key, value)| is(&key, &value)));
                expressions.extend(selector.match_expressions.iter().flatten().cloned());
            }
            // Between a Deployment and its pods stands a ReplicaSet that knows its own.
            if let Some(revision) = pod.labels.get(REVISION).filter(|_| kind == "Deployment") {
                expressions.push(is(REVISION, revision));
            }
        }
        if labels.is_empty() && expressions.is_empty() {
            return None;
        }
        Some(LabelSelector { match_labels: Some(labels), match_expressions: Some(expressions) })
    }

    fn owner(&self, kind: &str, key: &Key) -> Option<(&'static str, &LabelSelector)> {
        let find = |kind: &'static str, key: &Key| Some((kind, self.owners.get(&(kind, key.clone()))?));
        match kind {
            "Deployment" => find("Deployment", key),
            "StatefulSet" => find("StatefulSet", key),
            "ReplicationController" => find("ReplicationController", key),
            // Where the files leave a ReplicaSet out, its name tells whose it is.
            "ReplicaSet" => find("ReplicaSet", key).or_else(|| {
                let (deployment, _) = key.name.rsplit_once('-')?;
                find("Deployment", &Key::new(key.namespace.clone(), deployment))
            }),
            _ => None,
        }
    }
}

fn is(key: &str, value: &str) -> LabelSelectorRequirement {
    LabelSelectorRequirement { key: key.to_owned(), operator: "In".to_owned(), values: Some(vec![value.to_owned()]) }
}

/// What controls a pod.
pub fn controller(owners: Option<&Vec<OwnerReference>>) -> Option<&OwnerReference> {
    owners?.iter().find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
