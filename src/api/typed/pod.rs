//! Pods and pod templates: what decides where they may run, and how far they have come.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1 as core;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::{Pod, PodPhase, PodRole};
use springtide_core::nodes::requirement::{Operator, Requirement, Requirements};
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::shape::{Beyond, Shape, Shapes};
use springtide_core::nodes::taint::{Effect, Toleration};
use springtide_core::{Span, Timestamp};

use super::{Unclear, created, key, resources, uid, version};

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
    let mut shape = shape(spec)?;
    if role != PodRole::Work {
        // A DaemonSet's pod names its node, which would make a shape of each; nobody asks where it may run.
        shape.wishes = vec![Requirements::default()];
    }
    Ok((
        key(meta),
        Pod {
            uid: uid(meta),
            version: version(meta),
            shape: shapes.intern(shape),
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

/// All that decides where pods of this specification may run.
///
/// # Errors
/// What about it cannot be understood.
pub fn shape(spec: &core::PodSpec) -> Result<Shape, Unclear> {
    Ok(Shape {
        requests: requests(spec)?,
        wishes: wishes(spec)?,
        tolerations: spec.tolerations.iter().flatten().map(toleration).collect(),
        priority: spec.priority.unwrap_or(0),
        beyond: beyond(spec),
    })
}

/// What a pod asks for: its containers and sidecars together, or its hungriest init container with the sidecars started before it, whichever is more, and the
/// runtime's overhead. A request at the pod's level takes the place of the containers' sum.
fn requests(spec: &core::PodSpec) -> Result<Resources, Unclear> {
    let mut sum = total(spec, |r| r.requests.as_ref().or(r.limits.as_ref()), "requests")?;
    if let Some(whole) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let whole = resources(Some(whole), "spec.resources.requests")?;
        for name in ["cpu", "memory"] {
            if whole.get(name) > 0 {
                sum.set(name, whole.get(name));
            }
        }
    }
    sum.add(&resources(spec.overhead.as_ref(), "spec.overhead")?, 1);
    sum.pods = 1;
    Ok(sum)
}

/// The limits of a pod, added up as its requests are.
///
/// # Errors
/// A quantity that cannot be read.
pub fn limits(spec: &core::PodSpec) -> Result<Resources, Unclear> {
    total(spec, |r| r.limits.as_ref(), "limits")
}

type Amounts<'a> = Option<&'a std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>;

fn total(spec: &core::PodSpec, of: impl Fn(&core::ResourceRequirements) -> Amounts<'_>, what: &str) -> Result<Resources, Unclear> {
    let ask = |container: &core::Container, kind: &str| {
        resources(container.resources.as_ref().and_then(&of), &format!("spec.{kind}[{}].resources.{what}", container.name))
    };
    let (mut sidecars, mut hungriest) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let wants = ask(container, "initContainers")?;
        if container.restart_policy.as_deref() == Some("Always") {
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

fn wishes(spec: &core::PodSpec) -> Result<Vec<Requirements>, Unclear> {
    let mut all = Requirements::default();
    for (label, value) in spec.node_selector.iter().flatten() {
        all.add(label.into(), &Requirement::is(value.into()));
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
        .filter(|(_, term)| {
            term.match_expressions.as_ref().is_some_and(|e| !e.is_empty()) || term.match_fields.as_ref().is_some_and(|f| !f.is_empty())
        })
        .map(|(i, term)| {
            let mut wishes = all.clone();
            for expression in term.match_expressions.iter().flatten().chain(term.match_fields.iter().flatten()) {
                let wish = requirement(&expression.operator, expression.values.as_deref().unwrap_or_default());
                wishes.add((&expression.key).into(), &wish.map_err(|what| Unclear::new(format!("{field}[{i}]"), what))?);
            }
            Ok(wishes)
        })
        .collect()
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

/// Constraints that the planner does not place yet. Preferences are left to the scheduler.
fn beyond(spec: &core::PodSpec) -> BTreeSet<Beyond> {
    let affinity = spec.affinity.as_ref();
    let near = affinity.and_then(|a| a.pod_affinity.as_ref()).and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let apart =
        affinity.and_then(|a| a.pod_anti_affinity.as_ref()).and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let spread = spec.topology_spread_constraints.iter().flatten().any(|c| c.when_unsatisfiable == "DoNotSchedule");
    let ports = spec.containers.iter().flat_map(|c| c.ports.iter().flatten()).any(|port| port.host_port.is_some_and(|port| port > 0));
    let volumes = spec.volumes.iter().flatten().any(|v| v.persistent_volume_claim.is_some() || v.ephemeral.is_some());
    [
        (Beyond::PodAffinity, near.is_some_and(|terms| !terms.is_empty())),
        (Beyond::PodAntiAffinity, apart.is_some_and(|terms| !terms.is_empty())),
        (Beyond::TopologySpread, spread),
        (Beyond::HostPort, ports),
        (Beyond::Volume, volumes),
        (Beyond::ResourceClaim, spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty())),
    ]
    .into_iter()
    .filter_map(|(what, there)| there.then_some(what))
    .collect()
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
