//! Pods and pod templates: what decides where they may run, and how far they have come.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::{Pod, PodPhase, PodRole};
use springtide_core::nodes::requirement::{NAME, Operator, Requirement, Requirements};
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::selector::Identity;
use springtide_core::nodes::shape::{Beyond, Shape, Shapes};
use springtide_core::nodes::taint::{Effect, Toleration};
use springtide_core::{Span, Timestamp};

use super::constraints::Constraints;
use super::{Unclear, created, key, labels, resources, uid, version};
use crate::labels::normalized;

/// The name of a pod that does not exist: no pod can be called so.
const NO_POD: &str = "(new)";

/// A pod.
///
/// # Errors
/// What about its specification cannot be understood.
pub fn pod(pod: &core::Pod, shapes: &mut Shapes) -> Result<(Key, Pod), Unclear> {
    let (meta, empty) = (&pod.metadata, core::PodSpec::default());
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let status = pod.status.as_ref();
    let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let role = match controller.map(|owner| owner.kind.as_str()) {
        Some("DaemonSet") => PodRole::Daemon,
        Some("Node") => PodRole::Static,
        _ => PodRole::Work,
    };
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Running") => PodPhase::Running,
        Some("Succeeded" | "Failed") => PodPhase::Ended,
        _ => PodPhase::Pending,
    };
    let ready = status.and_then(|s| s.conditions.as_ref()).is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    let identity = shapes.identify(identity(meta));
    let mut shape = named(spec, &identity, meta.name.as_deref().unwrap_or(NO_POD), shapes)?;
    if role != PodRole::Work {
        // A DaemonSet's pod names its node, which would make a shape of each; nobody asks where it may run. It still keeps others away.
        let Shape { requests, tolerations, priority, apart, ports, beyond, .. } = shape;
        shape = Shape { requests, wishes: vec![Requirements::default()], tolerations, priority, apart, ports, beyond, ..Shape::default() };
    }
    Ok((
        key(meta),
        Pod {
            uid: uid(meta),
            version: version(meta),
            shape: shapes.intern_for(shape, &identity),
            identity,
            node: spec.node_name.as_deref().filter(|name| !name.is_empty()).map(Name::from),
            controller: controller.map(|owner| Name::from(&owner.uid)),
            role,
            phase,
            ready,
            deleting: meta.deletion_timestamp.is_some(),
            gated: spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()),
            // Kubernetes' own time for those that do not say.
            grace: Span::from_secs(spec.termination_grace_period_seconds.unwrap_or(30).max(0)),
            created: created(meta).max(Timestamp::UNIX_EPOCH),
        },
    ))
}

/// What selectors ask of a pod.
#[must_use]
pub fn identity(meta: &ObjectMeta) -> Identity {
    Identity { namespace: meta.namespace.as_deref().unwrap_or_default().into(), labels: labels(meta.labels.as_ref()) }
}

/// All that decides where pods of this specification and identity may run, but for which selectors select them: for that [`Shapes::intern_for`] sees.
///
/// # Errors
/// What about it cannot be understood.
pub fn shape(spec: &core::PodSpec, pod: &Identity, shapes: &mut Shapes) -> Result<Shape, Unclear> {
    named(spec, pod, NO_POD, shapes)
}

fn named(spec: &core::PodSpec, pod: &Identity, name: &str, shapes: &mut Shapes) -> Result<Shape, Unclear> {
    let mut constraints = Constraints::new(pod, shapes);
    Ok(Shape {
        requests: requests(spec)?,
        wishes: wishes(spec)?,
        tolerations: spec.tolerations.iter().flatten().map(toleration).collect(),
        priority: spec.priority.unwrap_or(0),
        spreads: constraints.spreads(spec)?,
        near: constraints.near(spec)?,
        apart: constraints.apart(spec)?,
        preferences: constraints.preferences(spec)?,
        ports: super::constraints::ports(spec)?,
        volumes: super::constraints::volumes(spec, pod, name),
        selected_by: springtide_core::nodes::selector::Selectors::default(),
        beyond: spec.resource_claims.iter().flatten().map(|_| Beyond::ResourceClaim).collect(),
    })
}

type Amounts = BTreeMap<String, Quantity>;

/// What a pod asks for: its containers and sidecars together, or its hungriest init container with the sidecars started before it, whichever is more, and the
/// runtime's overhead. A request at the pod's level takes the place of the containers' sum; a limit stands in for a request that is missing.
fn requests(spec: &core::PodSpec) -> Result<Resources, Unclear> {
    let mut sum = total(spec, "requests", |container| with_limits(container.requests.as_ref(), container.limits.as_ref()))?;
    if let Some(whole) = &spec.resources {
        let requests = resources(whole.requests.as_ref(), "spec.resources.requests")?;
        let limits = resources(whole.limits.as_ref(), "spec.resources.limits")?;
        for name in whole.limits.iter().chain(&whole.requests).flat_map(BTreeMap::keys).filter(|name| is_for_pods(name)) {
            match requests.get(name) {
                // A limit of the pod stands in only where the containers ask for nothing.
                0 if sum.get(name) == 0 => sum.set(name, limits.get(name)),
                0 => {}
                amount => sum.set(name, amount),
            }
        }
    }
    sum.add(&resources(spec.overhead.as_ref(), "spec.overhead")?, 1);
    sum.pods = 1;
    Ok(sum)
}

/// What can be asked for at the level of the pod.
fn is_for_pods(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

fn with_limits(requests: Option<&Amounts>, limits: Option<&Amounts>) -> Amounts {
    let mut all = limits.cloned().unwrap_or_default();
    all.extend(requests.cloned().unwrap_or_default());
    all
}

/// The limits of a pod, added up as its requests are.
///
/// # Errors
/// A quantity that cannot be read.
pub fn limits(spec: &core::PodSpec) -> Result<Resources, Unclear> {
    let mut sum = total(spec, "limits", |container| container.limits.clone().unwrap_or_default())?;
    if let Some(whole) = spec.resources.as_ref().and_then(|whole| whole.limits.as_ref()) {
        let limits = resources(Some(whole), "spec.resources.limits")?;
        whole.keys().filter(|name| is_for_pods(name)).for_each(|name| sum.set(name, limits.get(name)));
    }
    // Overhead counts where there is a limit.
    let overhead = resources(spec.overhead.as_ref(), "spec.overhead")?;
    for name in spec.overhead.iter().flat_map(BTreeMap::keys).filter(|name| sum.get(name) > 0).collect::<Vec<_>>() {
        sum.set(name, sum.get(name) + overhead.get(name));
    }
    Ok(sum)
}

fn total(spec: &core::PodSpec, what: &str, of: impl Fn(&core::ResourceRequirements) -> Amounts) -> Result<Resources, Unclear> {
    let ask = |container: &core::Container, kind: &str| {
        let amounts = container.resources.as_ref().map(&of);
        resources(amounts.as_ref(), &format!("spec.{kind}[{}].resources.{what}", container.name))
    };
    let (mut sidecars, mut hungriest) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let wants = ask(container, "initContainers")?;
        if is_sidecar(container) {
            sidecars.add(&wants, 1);
            hungriest = hungriest.max(&sidecars);
        } else {
            let mut with = sidecars.clone();
            with.add(&wants, 1);
            hungriest = hungriest.max(&with);
        }
    }
    let mut sum = sidecars;
    for container in &spec.containers {
        sum.add(&ask(container, "containers")?, 1);
    }
    Ok(sum.max(&hungriest))
}

/// Whether an init container goes on beside those that come after it.
pub(super) fn is_sidecar(container: &core::Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn wishes(spec: &core::PodSpec) -> Result<Vec<Requirements>, Unclear> {
    let mut all = Requirements::default();
    for (label, value) in spec.node_selector.iter().flatten() {
        all.add(normalized(label).into(), &Requirement::is(value.into()));
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|n| n.required_during_scheduling_ignored_during_execution.as_ref());
    let Some(required) = required else { return Ok(vec![all]) };
    let field = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    required
        .node_selector_terms
        .iter()
        .enumerate()
        // An empty term matches no node.
        .filter(|(_, term)| !is_empty(term))
        .map(|(i, term)| Ok(all.and(&node_term(term, &format!("{field}[{i}]"))?)))
        .collect()
}

/// What one term asks of a node.
///
/// # Errors
/// An operator that does not exist, or values that do not go with it.
pub fn node_term(term: &core::NodeSelectorTerm, field: &str) -> Result<Requirements, Unclear> {
    let mut wishes = Requirements::default();
    let labels = term.match_expressions.iter().flatten().map(|expression| (expression, normalized(&expression.key).into()));
    // The only field of a node that may be asked for.
    let fields = term.match_fields.iter().flatten().map(|expression| (expression, Name::from(NAME)));
    for (expression, key) in labels.chain(fields) {
        let wish = requirement(&expression.operator, expression.values.as_deref().unwrap_or_default());
        wishes.add(key, &wish.map_err(|what| Unclear::new(field, what))?);
    }
    Ok(wishes)
}

/// Whether a term asks for nothing.
#[must_use]
pub fn is_empty(term: &core::NodeSelectorTerm) -> bool {
    term.match_expressions.iter().flatten().next().is_none() && term.match_fields.iter().flatten().next().is_none()
}

/// A wish from the operator and values of a selector.
///
/// # Errors
/// An operator that does not exist, or values that do not go with it.
pub fn requirement(operator: &str, values: &[String]) -> Result<Requirement, String> {
    let known = Operator::parse(operator)
        .ok_or_else(|| format!("operator `{operator}` does not exist; use In, NotIn, Exists, DoesNotExist, Gt or Lt"))?;
    Requirement::new(known, values.iter().map(Name::from))
}

fn toleration(toleration: &core::Toleration) -> Toleration {
    let exists = toleration.operator.as_deref() == Some("Exists");
    Toleration {
        key: toleration.key.as_deref().filter(|key| !key.is_empty()).map(Name::from),
        value: (!exists).then(|| toleration.value.as_deref().unwrap_or_default().into()),
        effect: toleration.effect.as_deref().and_then(Effect::parse),
    }
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
