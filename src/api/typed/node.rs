//! Nodes, DaemonSets and quotas.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1 as core;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Node;
use springtide_core::nodes::shape::Shapes;
use springtide_core::nodes::taint::{Effect, Taint};
use springtide_core::nodes::workload::Quota;

use super::workload::{Looks, looks};
use super::{Unclear, amounts, key, labels, resources, uid, version};
use crate::labels::{DO_NOT_DISRUPT, TERMINATION_FINALIZER};

/// A node.
///
/// # Errors
/// A quantity that cannot be read.
pub fn node(node: &core::Node) -> Result<(Name, Node), Unclear> {
    let meta = &node.metadata;
    let status = node.status.as_ref();
    let ready = status.and_then(|s| s.conditions.as_ref()).is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    let has = |list: &Option<Vec<String>>, what: &str| list.iter().flatten().any(|item| item == what);
    Ok((
        key(meta).name,
        Node {
            uid: uid(meta),
            version: version(meta),
            provider_id: node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref()).unwrap_or_default().into(),
            labels: labels(meta.labels.as_ref()),
            taints: node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).filter_map(taint).collect(),
            allocatable: resources(status.and_then(|s| s.allocatable.as_ref()), "status.allocatable")?,
            ready,
            deleting: meta.deletion_timestamp.is_some(),
            finalized: has(&meta.finalizers, TERMINATION_FINALIZER),
            do_not_disrupt: meta.annotations.as_ref().and_then(|all| all.get(DO_NOT_DISRUPT)).is_some_and(|value| value != "false"),
        },
    ))
}

/// A taint; none where its effect is none that exists.
#[must_use]
pub fn taint(taint: &core::Taint) -> Option<Taint> {
    let effect = Effect::parse(&taint.effect)?;
    Some(Taint { key: (&taint.key).into(), value: taint.value.as_deref().unwrap_or_default().into(), effect })
}

/// What a DaemonSet's pods look like.
///
/// # Errors
/// What about its template cannot be understood.
pub fn daemon_set(set: &DaemonSet, shapes: &mut Shapes) -> Result<(Key, Looks), Unclear> {
    let (key, empty) = (key(&set.metadata), core::PodTemplateSpec::default());
    let template = set.spec.as_ref().map_or(&empty, |spec| &spec.template);
    let looks = looks("DaemonSet", &key.namespace, template, shapes)?;
    Ok((key, looks))
}

/// A quota.
///
/// # Errors
/// A quantity that cannot be read.
pub fn quota(quota: &core::ResourceQuota) -> Result<(Key, Quota), Unclear> {
    let spec = quota.spec.as_ref();
    let status = quota.status.as_ref();
    let hard = status.and_then(|s| s.hard.as_ref()).or_else(|| spec.and_then(|s| s.hard.as_ref()));
    let scoped = spec.is_some_and(|s| s.scopes.as_ref().is_some_and(|scopes| !scopes.is_empty()) || s.scope_selector.is_some());
    Ok((
        key(&quota.metadata),
        Quota { hard: amounts(hard, "status.hard")?, used: amounts(status.and_then(|s| s.used.as_ref()), "status.used")?, scoped },
    ))
}
