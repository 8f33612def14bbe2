//! Scale targets.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use springtide_core::name::Name;
use springtide_core::nodes::selector::Identity;
use springtide_core::nodes::shape::{ShapeId, Shapes};
use springtide_core::nodes::workload::{ReplicaSet as Set, Template, Workload, WorkloadKey};
use springtide_core::units::Replicas;

use super::{Unclear, key, labels, pod, uid, version};

/// Labels by which controllers tell the pods of one revision from those of another.
const REVISIONS: [(&str, &str); 2] = [("Deployment", "pod-template-hash"), ("StatefulSet", "controller-revision-hash")];
/// The revision of pods that do not exist. No label has such a value, so they are not taken for pods of a revision that does.
const NO_REVISION: &str = "(new)";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A Deployment.
#[must_use]
pub fn deployment(object: &Deployment) -> (WorkloadKey, Workload) {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let failure = status.iter().flat_map(|s| s.conditions.iter().flatten()).find(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    let numbers = [spec.and_then(|s| s.replicas), status.and_then(|s| s.replicas), status.and_then(|s| s.ready_replicas)];
    let mut workload = workload(&object.metadata, numbers, spec.map(|s| &s.template));
    workload.revision = revision(&object.metadata);
    workload.failure = failure.map(|c| c.message.clone().unwrap_or_default());
    (WorkloadKey { kind: "Deployment".into(), key: key(&object.metadata) }, workload)
}

/// A StatefulSet.
#[must_use]
pub fn stateful_set(object: &StatefulSet) -> (WorkloadKey, Workload) {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let numbers = [spec.and_then(|s| s.replicas), status.map(|s| s.replicas), status.and_then(|s| s.ready_replicas)];
    let mut workload = workload(&object.metadata, numbers, spec.map(|s| &s.template));
    workload.one_by_one = spec.and_then(|s| s.pod_management_policy.as_deref()) != Some("Parallel");
    (WorkloadKey { kind: "StatefulSet".into(), key: key(&object.metadata) }, workload)
}

/// A ReplicaSet, as a target of its own and as what stands between a Deployment and its pods.
#[must_use]
pub fn replica_set(object: &ReplicaSet) -> (WorkloadKey, Workload, Set) {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let numbers = [spec.and_then(|s| s.replicas), status.map(|s| s.replicas), status.and_then(|s| s.ready_replicas)];
    let owner = object.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let set = Set { owner: owner.map(|owner| Name::from(&owner.uid)), revision: revision(&object.metadata) };
    let template = spec.and_then(|s| s.template.as_ref());
    (WorkloadKey { kind: "ReplicaSet".into(), key: key(&object.metadata) }, workload(&object.metadata, numbers, template), set)
}

/// What selectors ask of the pods that this kind of controller makes of a template.
#[must_use]
pub fn identity(kind: &str, namespace: &Name, of_template: Option<&BTreeMap<String, String>>) -> Identity {
    let mut labels = labels(of_template);
    if let Some((_, label)) = REVISIONS.iter().find(|(of, _)| *of == kind) {
        labels.entry((*label).into()).or_insert_with(|| NO_REVISION.into());
    }
    Identity { namespace: namespace.clone(), labels }
}

/// How the pods of a template schedule.
///
/// # Errors
/// What about it cannot be understood.
pub fn shape(kind: &str, namespace: &Name, template: &PodTemplateSpec, shapes: &mut Shapes) -> Result<(ShapeId, Arc<Identity>), Unclear> {
    let identity = identity(kind, namespace, template.metadata.as_ref().and_then(|meta| meta.labels.as_ref()));
    let identity = shapes.identify(identity);
    let empty = PodSpec::default();
    let shape = pod::shape(template.spec.as_ref().unwrap_or(&empty), &identity, shapes)?;
    Ok((shapes.intern_for(shape, &identity), identity))
}

/// What the pods of a template look like where nobody admits or changes them.
///
/// # Errors
/// What about it cannot be understood.
pub fn template(kind: &str, namespace: &Name, template: &PodTemplateSpec, shapes: &mut Shapes) -> Result<Template, Unclear> {
    let (shape, identity) = shape(kind, namespace, template, shapes)?;
    let limits = template.spec.as_ref().map(pod::limits).transpose()?.unwrap_or_default();
    Ok(Template::Pod { shape, identity, limits })
}

fn revision(meta: &ObjectMeta) -> u64 {
    meta.annotations.as_ref().and_then(|all| all.get(REVISION)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn workload(meta: &ObjectMeta, [replicas, existing, ready]: [Option<i32>; 3], template: Option<&PodTemplateSpec>) -> Workload {
    // Kubernetes takes replicas that are not set as one.
    let count = |n: Option<i32>, unset: u32| Replicas(n.map_or(unset, |n| u32::try_from(n).unwrap_or(0)));
    Workload {
        uid: uid(meta),
        version: version(meta),
        replicas: count(replicas, 1),
        existing: count(existing, 0),
        ready: count(ready, 0),
        template: template_hash(meta, template),
        revision: 0,
        one_by_one: false,
        failure: None,
        writing: None,
    }
}

/// The hash of a template in its namespace, whose admission may differ. It lives in this process only, so the standard hasher will do.
fn template_hash(meta: &ObjectMeta, template: Option<&PodTemplateSpec>) -> Name {
    let mut hasher = DefaultHasher::new();
    meta.namespace.hash(&mut hasher);
    template.and_then(|template| serde_json::to_string(template).ok()).hash(&mut hasher);
    format!("{:016x}", hasher.finish()).into()
}
