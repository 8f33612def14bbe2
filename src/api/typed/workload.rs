//! Scale targets.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    EphemeralVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimTemplate, PodSpec, PodTemplateSpec, ReplicationController, Volume,
};
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
    let (key, mut workload) = workload("Deployment", &object.metadata, numbers, spec.map(|s| &s.template));
    workload.revision = revision(&object.metadata);
    workload.failure = failure.map(|c| c.message.clone().unwrap_or_default());
    (key, workload)
}

/// A StatefulSet.
#[must_use]
pub fn stateful_set(object: &StatefulSet) -> (WorkloadKey, Workload) {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let numbers = [spec.and_then(|s| s.replicas), status.map(|s| s.replicas), status.and_then(|s| s.ready_replicas)];
    let template = stateful_template(object);
    let (key, mut workload) = workload("StatefulSet", &object.metadata, numbers, template.as_ref());
    workload.one_by_one = spec.and_then(|s| s.pod_management_policy.as_deref()) != Some("Parallel");
    (key, workload)
}

/// The template of a StatefulSet, with a volume for each claim that is made with a pod of it.
#[must_use]
pub fn stateful_template(object: &StatefulSet) -> Option<PodTemplateSpec> {
    let spec = object.spec.as_ref()?;
    let mut template = spec.template.clone();
    let volumes = claimed(spec.volume_claim_templates.as_deref().unwrap_or_default());
    if !volumes.is_empty() {
        template.spec.get_or_insert_default().volumes.get_or_insert_default().extend(volumes);
    }
    Some(template)
}

/// Claims that a StatefulSet makes with each pod, as volumes of the pod.
#[must_use]
pub fn claimed(templates: &[PersistentVolumeClaim]) -> Vec<Volume> {
    let volume = |claim: &PersistentVolumeClaim| Volume {
        name: claim.metadata.name.clone().unwrap_or_default(),
        ephemeral: Some(EphemeralVolumeSource {
            volume_claim_template: Some(PersistentVolumeClaimTemplate { metadata: None, spec: claim.spec.clone().unwrap_or_default() }),
        }),
        ..Volume::default()
    };
    templates.iter().map(volume).collect()
}

/// A ReplicationController.
#[must_use]
pub fn replication_controller(object: &ReplicationController) -> (WorkloadKey, Workload) {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let numbers = [spec.and_then(|s| s.replicas), status.map(|s| s.replicas), status.and_then(|s| s.ready_replicas)];
    workload("ReplicationController", &object.metadata, numbers, spec.and_then(|s| s.template.as_ref()))
}

/// A Job, which has as many replicas as it still runs at a time.
#[must_use]
pub fn job(object: &Job) -> (WorkloadKey, Workload) {
    let spec = object.spec.as_ref();
    let status = object.status.as_ref();
    let conditions = status.iter().flat_map(|s| s.conditions.iter().flatten());
    let ended = conditions.into_iter().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True");
    let held = spec.is_some_and(|s| s.suspend == Some(true));
    let done = status.and_then(|s| s.succeeded).unwrap_or(0);
    let parallel = spec.and_then(|s| s.parallelism).unwrap_or(1);
    // Without a number to complete, one that succeeds ends it all.
    let left = match spec.and_then(|s| s.completions) {
        Some(completions) => completions.saturating_sub(done).min(parallel),
        None if done > 0 => 0,
        None => parallel,
    };
    let replicas = if ended || held { 0 } else { left.max(0) };
    let numbers = [Some(replicas), status.and_then(|s| s.active), status.and_then(|s| s.ready)];
    workload("Job", &object.metadata, numbers, spec.map(|s| &s.template))
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
    let (key, workload) = workload("ReplicaSet", &object.metadata, numbers, template);
    (key, workload, set)
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

/// How pods schedule, and what selectors ask of them: the one changes where selectors come and go, and follows from the other.
pub type Looks = (ShapeId, Arc<Identity>);

/// How the pods of a template schedule.
///
/// # Errors
/// What about it cannot be understood.
pub fn looks(kind: &str, namespace: &Name, template: &PodTemplateSpec, shapes: &mut Shapes) -> Result<Looks, Unclear> {
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
    let (shape, identity) = looks(kind, namespace, template, shapes)?;
    let limits = template.spec.as_ref().map(pod::limits).transpose()?.unwrap_or_default();
    Ok(Template::Pod { shape, identity, limits })
}

fn revision(meta: &ObjectMeta) -> u64 {
    meta.annotations.as_ref().and_then(|all| all.get(REVISION)).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn workload(
    kind: &str,
    meta: &ObjectMeta,
    [replicas, existing, ready]: [Option<i32>; 3],
    template: Option<&PodTemplateSpec>,
) -> (WorkloadKey, Workload) {
    // Kubernetes takes replicas that are not set as one.
    let count = |n: Option<i32>, unset: u32| Replicas(n.map_or(unset, |n| u32::try_from(n).unwrap_or(0)));
    let workload = Workload {
        uid: uid(meta),
        version: version(meta),
        replicas: count(replicas, 1),
        existing: count(existing, 0),
        ready: count(ready, 0),
        template: template_hash(kind, meta, template),
        revision: 0,
        one_by_one: false,
        failure: None,
        writing: None,
    };
    (WorkloadKey { kind: kind.into(), key: key(meta) }, workload)
}

/// The hash of a template in its namespace, whose admission may differ, and of its kind of controller, which puts its own labels on pods. It lives in this process only, so the standard hasher will do.
fn template_hash(kind: &str, meta: &ObjectMeta, template: Option<&PodTemplateSpec>) -> Name {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    meta.namespace.hash(&mut hasher);
    template.and_then(|template| serde_json::to_string(template).ok()).hash(&mut hasher);
    format!("{:016x}", hasher.finish()).into()
}
