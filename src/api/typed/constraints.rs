//! What pods ask of the company that they keep: spread, affinity to other pods, host ports, volumes, and preferences.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::constraint::{HostPort, Preference, Preferred, Spread, Term};
use springtide_core::nodes::requirement::{Operator, Requirement, Requirements};
use springtide_core::nodes::selector::{Identity, Part, PodSelector};
use springtide_core::nodes::shape::Shapes;
use springtide_core::nodes::storage::VolumeUse;

use super::Unclear;
use super::pod::{is_empty, is_sidecar, node_term};
use crate::labels::normalized;

const SPREADS: &str = "spec.topologySpreadConstraints";

/// Reads the constraints of one pod; their selectors are interned.
pub struct Constraints<'a> {
    pod: &'a Identity,
    shapes: &'a mut Shapes,
}

impl<'a> Constraints<'a> {
    /// For a pod of this identity: where a constraint names no namespace it speaks of the pod's own, and it may ask for the values of the pod's labels.
    pub const fn new(pod: &'a Identity, shapes: &'a mut Shapes) -> Self {
        Self { pod, shapes }
    }

    /// `topologySpreadConstraints` that must hold.
    pub fn spreads(&mut self, spec: &core::PodSpec) -> Result<Vec<Spread>, Unclear> {
        Ok(self.all_spreads(spec)?.into_iter().filter_map(|(must, spread)| must.then_some(spread)).collect())
    }

    fn all_spreads(&mut self, spec: &core::PodSpec) -> Result<Vec<(bool, Spread)>, Unclear> {
        let all = spec.topology_spread_constraints.iter().flatten().enumerate();
        all.map(|(i, constraint)| self.spread(constraint, &format!("{SPREADS}[{i}]"))).collect()
    }

    /// One constraint, and whether it must hold.
    fn spread(&mut self, constraint: &core::TopologySpreadConstraint, field: &str) -> Result<(bool, Spread), Unclear> {
        let wrong = |name: &str, what: &str| Unclear::new(format!("{field}.{name}"), what);
        let must = match constraint.when_unsatisfiable.as_str() {
            "DoNotSchedule" => true,
            "ScheduleAnyway" => false,
            _ => return Err(wrong("whenUnsatisfiable", "it is neither DoNotSchedule nor ScheduleAnyway")),
        };
        let honours = |policy: &Option<String>, name: &str, unset: bool| match policy.as_deref() {
            None => Ok(unset),
            Some("Honor") => Ok(true),
            Some("Ignore") => Ok(false),
            Some(_) => Err(wrong(name, "it is neither Honor nor Ignore")),
        };
        let positive = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
        let keys = [&constraint.match_label_keys, &None];
        let part = self.part(constraint.label_selector.as_ref(), keys, field)?;
        let spread = Spread {
            key: key(&constraint.topology_key, field)?,
            selector: self.shapes.select(PodSelector(vec![part])),
            max_skew: positive(constraint.max_skew).ok_or_else(|| wrong("maxSkew", "it must be at least 1"))?,
            min_domains: match constraint.min_domains {
                Some(number) => Some(positive(number).ok_or_else(|| wrong("minDomains", "it must be at least 1"))?),
                None => None,
            },
            by_affinity: honours(&constraint.node_affinity_policy, "nodeAffinityPolicy", true)?,
            by_taints: honours(&constraint.node_taints_policy, "nodeTaintsPolicy", false)?,
        };
        Ok((must, spread))
    }

    /// Required pod affinity. Only pods that answer all terms are counted, for each of them: so kube-scheduler counts.
    pub fn near(&mut self, spec: &core::PodSpec) -> Result<Vec<Term>, Unclear> {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
        let terms =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        let field = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution";
        let read = terms.iter().enumerate().map(|(i, term)| self.term(term, &format!("{field}[{i}]")));
        let (keys, mut parts): (Vec<Name>, Vec<Part>) = read.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        parts.sort();
        parts.dedup();
        let selector = self.shapes.select(PodSelector(parts));
        Ok(keys.into_iter().map(|key| Term { key, selector }).collect())
    }

    /// Required pod anti-affinity.
    pub fn apart(&mut self, spec: &core::PodSpec) -> Result<Vec<Term>, Unclear> {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let terms =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        let field = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution";
        terms.iter().enumerate().map(|(i, term)| self.interned(term, &format!("{field}[{i}]"))).collect()
    }

    /// What would be good to have, heaviest first.
    pub fn preferences(&mut self, spec: &core::PodSpec) -> Result<Vec<Preference>, Unclear> {
        let mut all = Vec::new();
        let affinity = spec.affinity.as_ref();
        let nodes = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
        let nodes = nodes.and_then(|nodes| nodes.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        for (i, term) in nodes.iter().enumerate() {
            let field = format!("spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{i}]");
            let weight = weight(term.weight, &field)?;
            if !is_empty(&term.preference) {
                all.push(Preference { weight, wish: Preferred::Node(node_term(&term.preference, &format!("{field}.preference"))?) });
            }
        }
        let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let near = near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        self.prefer("podAffinity", near, Preferred::Near, &mut all)?;
        let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let apart = apart.and_then(|apart| apart.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
        self.prefer("podAntiAffinity", apart, Preferred::Apart, &mut all)?;
        let spreads = self.all_spreads(spec)?.into_iter().filter(|(must, _)| !must);
        all.extend(spreads.map(|(_, spread)| Preference { weight: 0, wish: Preferred::Spread(spread) }));
        all.sort_by_key(|preference| std::cmp::Reverse(preference.weight));
        Ok(all)
    }

    fn prefer(
        &mut self,
        kind: &str,
        terms: &[core::WeightedPodAffinityTerm],
        wish: fn(Term) -> Preferred,
        all: &mut Vec<Preference>,
    ) -> Result<(), Unclear> {
        for (i, term) in terms.iter().enumerate() {
            let field = format!("spec.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution[{i}]");
            let weight = weight(term.weight, &field)?;
            all.push(Preference { weight, wish: wish(self.interned(&term.pod_affinity_term, &format!("{field}.podAffinityTerm"))?) });
        }
        Ok(())
    }

    fn interned(&mut self, term: &core::PodAffinityTerm, field: &str) -> Result<Term, Unclear> {
        let (key, part) = self.term(term, field)?;
        Ok(Term { key, selector: self.shapes.select(PodSelector(vec![part])) })
    }

    fn term(&self, term: &core::PodAffinityTerm, field: &str) -> Result<(Name, Part), Unclear> {
        let mut part = self.part(term.label_selector.as_ref(), [&term.match_label_keys, &term.mismatch_label_keys], field)?;
        let named = term.namespaces.as_deref().unwrap_or_default();
        if !named.is_empty() || term.namespace_selector.is_some() {
            part.namespaces = named.iter().map(Name::from).collect();
            part.namespace_labels = selector(term.namespace_selector.as_ref(), &format!("{field}.namespaceSelector"))?;
        }
        Ok((key(&term.topology_key, field)?, part))
    }

    /// The pods in the pod's own namespace that a selector selects and that have the pod's own values of some labels, and of others not.
    fn part(&self, labels: Option<&LabelSelector>, keys: [&Option<Vec<String>>; 2], field: &str) -> Result<Part, Unclear> {
        let mut labels = selector(labels, &format!("{field}.labelSelector"))?;
        for (keys, operator) in keys.into_iter().zip([Operator::In, Operator::NotIn]) {
            for key in keys.iter().flatten() {
                let Some(labels) = labels.as_mut() else {
                    let name = if operator == Operator::In { "matchLabelKeys" } else { "mismatchLabelKeys" };
                    return Err(Unclear::new(format!("{field}.{name}"), "it goes with a labelSelector only"));
                };
                // A label that the pod does not have asks for nothing.
                if let Some(value) = self.pod.labels.get(key.as_str()) {
                    let wish = Requirement::new(operator, [value.clone()]).map_err(|what| Unclear::new(field, what))?;
                    labels.add(key.into(), &wish);
                }
            }
        }
        Ok(Part { namespaces: [self.pod.namespace.clone()].into(), namespace_labels: None, labels })
    }
}

fn key(key: &str, field: &str) -> Result<Name, Unclear> {
    if key.is_empty() { Err(Unclear::new(format!("{field}.topologyKey"), "it is missing")) } else { Ok(normalized(key).into()) }
}

fn weight(weight: i32, field: &str) -> Result<u32, Unclear> {
    let known = u32::try_from(weight).ok().filter(|weight| (1..=100).contains(weight));
    known.ok_or_else(|| Unclear::new(format!("{field}.weight"), "it must be between 1 and 100"))
}

/// A selector's wishes: one that is not there selects nothing, an empty one everything.
///
/// # Errors
/// An operator that does not exist, or values that do not go with it.
pub fn selector(selector: Option<&LabelSelector>, field: &str) -> Result<Option<Requirements>, Unclear> {
    let Some(selector) = selector else { return Ok(None) };
    let mut wishes = Requirements::default();
    for (label, value) in selector.match_labels.iter().flatten() {
        wishes.add(label.into(), &Requirement::is(value.into()));
    }
    for (i, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let wish = expressed(expression).map_err(|what| Unclear::new(format!("{field}.matchExpressions[{i}]"), what))?;
        wishes.add((&expression.key).into(), &wish);
    }
    Ok(Some(wishes))
}

fn expressed(expression: &LabelSelectorRequirement) -> Result<Requirement, String> {
    let values = expression.values.as_deref().unwrap_or_default();
    let operator = match (expression.operator.as_str(), values.is_empty()) {
        ("In", false) => Operator::In,
        ("NotIn", false) => Operator::NotIn,
        ("Exists", true) => Operator::Exists,
        ("DoesNotExist", true) => Operator::DoesNotExist,
        ("In" | "NotIn", true) => return Err(format!("operator {} needs values", expression.operator)),
        ("Exists" | "DoesNotExist", false) => return Err(format!("operator {} goes without values", expression.operator)),
        (other, _) => return Err(format!("operator `{other}` does not exist; use In, NotIn, Exists or DoesNotExist")),
    };
    Requirement::new(operator, values.iter().map(Name::from))
}

/// Ports of the node that containers and sidecars take, each once.
pub fn ports(spec: &core::PodSpec) -> Result<Vec<HostPort>, Unclear> {
    let on_host = spec.host_network == Some(true);
    let sidecars =
        spec.init_containers.iter().flatten().filter(|container| is_sidecar(container)).map(|container| ("initContainers", container));
    let containers = spec.containers.iter().map(|container| ("containers", container)).chain(sidecars);
    let mut all = Vec::new();
    for (kind, container) in containers {
        for port in container.ports.iter().flatten() {
            // In the node's own network a container's port is a port of the node.
            let number = port.host_port.filter(|port| *port != 0).or(on_host.then_some(port.container_port)).unwrap_or(0);
            if number == 0 {
                continue;
            }
            let field = || format!("spec.{kind}[{}].ports.hostPort", container.name);
            let number = u16::try_from(number).map_err(|_| Unclear::new(field(), format!("{number} is no port")))?;
            let address = port.host_ip.as_deref().filter(|address| !matches!(*address, "0.0.0.0" | "::")).unwrap_or_default();
            all.push(HostPort { address: address.into(), protocol: port.protocol.as_deref().unwrap_or("TCP").into(), port: number });
        }
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// Volumes that have a claim, each once. A claim that is made with the pod is called after it.
pub fn volumes(spec: &core::PodSpec, pod: &Identity, name: &str) -> Vec<VolumeUse> {
    let used = spec.volumes.iter().flatten().filter_map(|volume| {
        let (claim, ephemeral) = if let Some(source) = &volume.persistent_volume_claim {
            (Name::from(&source.claim_name), None)
        } else {
            let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref();
            let class = template.and_then(|template| template.spec.storage_class_name.as_ref()).map(Name::from);
            (format!("{name}-{}", volume.name).into(), Some(class))
        };
        Some(VolumeUse { claim: Key::new(pod.namespace.clone(), claim), ephemeral })
    });
    let mut all: Vec<VolumeUse> = used.collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
#[path = "constraints_tests.rs"]
mod tests;
