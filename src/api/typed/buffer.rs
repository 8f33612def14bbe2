//! CapacityBuffers: for pods like which ones, and for how many.

use springtide_core::name::{Key, Name};
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::shape::{Shape, ShapeId, Shapes};
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::units::Replicas;

use super::workload::Looks;
use super::{Unclear, key, resources};
use crate::capacity_buffer::{ACTIVE_CAPACITY, CapacityBuffer, CapacityBufferStatus, READY_FOR_PROVISIONING};

/// Kinds whose templates a buffer may name.
const SCALABLE: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];

/// A CapacityBuffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Whose pods it keeps room for.
    pub source: Source,
    /// For how many, where somebody has worked it out already.
    resolved: Option<u32>,
    replicas: Option<u32>,
    percentage: Option<u32>,
    limits: Vec<(Name, i64)>,
}

/// Whose pods a buffer keeps room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A PodTemplate's.
    Template(Key),
    /// A workload's.
    Workload(WorkloadKey),
}

/// A buffer; none where it is kept in a way that is not by nodes that run.
///
/// # Errors
/// What about it cannot be understood.
pub fn buffer(object: &CapacityBuffer) -> Result<(Key, Option<Buffer>), Unclear> {
    let (key, spec) = (key(&object.metadata), &object.spec);
    if spec.provisioning_strategy.as_deref().is_some_and(|strategy| !strategy.is_empty() && strategy != ACTIVE_CAPACITY) {
        return Ok((key, None));
    }
    let generation = object.metadata.generation;
    let status = object.status.as_ref().filter(|status| is_current(status, generation));
    let template = |name: &str| Source::Template(Key::new(key.namespace.clone(), name));
    let source = match (&spec.pod_template_ref, &spec.scalable_ref) {
        (Some(named), None) => template(&named.name),
        (None, Some(target)) => {
            if !matches!(target.api_group.as_str(), "" | "apps") || !SCALABLE.contains(&target.kind.as_str()) {
                let what =
                    format!("{} of {:?} has no template that is known; name one of {}", target.kind, target.api_group, SCALABLE.join(", "));
                return Err(Unclear::new("spec.scalableRef.kind", what));
            }
            let name = Key::new(key.namespace.clone(), target.name.as_str());
            Source::Workload(WorkloadKey { kind: target.kind.as_str().into(), key: name })
        }
        (Some(_), Some(_)) => return Err(Unclear::new("spec", "it has both podTemplateRef and scalableRef; remove one of them")),
        (None, None) => return Err(Unclear::new("spec", "it has neither podTemplateRef nor scalableRef; add one of them")),
    };
    let source = status.and_then(|status| status.pod_template_ref.as_ref()).map_or(source, |named| template(&named.name));
    let count = |number: Option<i32>| number.map(|number| u32::try_from(number).unwrap_or(0));
    let limits = resources(spec.limits.as_ref(), "spec.limits")?;
    let buffer = Buffer {
        source,
        resolved: count(status.and_then(|status| status.replicas)),
        replicas: count(spec.replicas),
        percentage: count(spec.percentage),
        limits: spec.limits.iter().flatten().map(|(name, _)| (Name::from(name), limits.get(name))).collect(),
    };
    Ok((key, Some(buffer)))
}

/// Whether a status speaks of the buffer as it is now.
fn is_current(status: &CapacityBufferStatus, generation: Option<i64>) -> bool {
    let ready = status.conditions.iter().find(|condition| condition.type_ == READY_FOR_PROVISIONING);
    ready
        .is_none_or(|ready| ready.status == "True" && ready.observed_generation.is_none_or(|seen| generation.is_none_or(|now| seen >= now)))
}

impl Buffer {
    /// How pods in its room schedule: as those of its source, after all others, and without volumes, which no pod has that does not exist.
    pub fn shape(&self, (shape, identity): &Looks, shapes: &mut Shapes) -> ShapeId {
        let shape = Shape { priority: i32::MIN, volumes: Vec::new(), ..(**shapes.get(*shape)).clone() };
        shapes.intern_for(shape, identity)
    }

    /// For how many pods it keeps room, where each asks for this, and its workload has so many: the least of what is set.
    #[must_use]
    pub fn count(&self, requests: &Resources, workload: Replicas) -> u32 {
        if let Some(resolved) = self.resolved {
            return resolved;
        }
        // Rounded up, so that it is at least one where there is any at all.
        let share = |percentage: u32| u32::try_from((u64::from(workload.0) * u64::from(percentage)).div_ceil(100)).unwrap_or(u32::MAX);
        let share = self.percentage.filter(|_| matches!(self.source, Source::Workload(_))).map(share);
        let fitting = self.limits.iter().filter_map(|(name, limit)| {
            let each = requests.get(name);
            (each > 0).then(|| u32::try_from((limit / each).max(0)).unwrap_or(u32::MAX))
        });
        [self.replicas, share].into_iter().flatten().chain(fitting).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Option<Buffer>, Unclear> {
        let yaml = format!("metadata: {{name: b, namespace: n, generation: 2}}\n{yaml}");
        buffer(&serde_saphyr::from_str(&yaml).expect("a buffer")).map(|(_, buffer)| buffer)
    }

    fn count(yaml: &str) -> u32 {
        let mut requests = Resources { pods: 1, ..Resources::default() };
        requests.set("cpu", 500);
        read(yaml).expect("a buffer that can be understood").expect("one that is kept").count(&requests, Replicas(10))
    }

    #[test]
    fn the_least_that_is_set_counts() {
        let scalable = "scalableRef: {kind: Deployment, name: d}";
        let table = [
            ("podTemplateRef: {name: t}, replicas: 3".to_owned(), 3),
            ("podTemplateRef: {name: t}, replicas: 3, percentage: 1".to_owned(), 3),
            (format!("{scalable}, percentage: 25"), 3),
            (format!("{scalable}, percentage: 1"), 1),
            (format!("{scalable}, percentage: 0"), 0),
            (format!("{scalable}, percentage: 50, replicas: 2"), 2),
            (format!("{scalable}, percentage: 50, limits: {{cpu: '2'}}"), 4),
            (format!("{scalable}, limits: {{cpu: '2', memory: 1Gi}}"), 4),
            // nothing bounds it, and nothing asks for it
            (scalable.to_owned(), 0),
            (format!("{scalable}, limits: {{memory: 1Gi}}"), 0),
        ];
        for (spec, expected) in table {
            assert_eq!(count(&format!("spec: {{{spec}}}")), expected, "{spec}");
        }
    }

    #[test]
    fn what_a_controller_worked_out_counts_as_long_as_it_speaks_of_this_spec() {
        let status = |seen: u8, ready: &str| {
            format!(
                "spec: {{podTemplateRef: {{name: t}}, replicas: 3}}\nstatus: {{replicas: 7, podTemplateRef: {{name: u}}, conditions: [{{type: ReadyForProvisioning, status: '{ready}', observedGeneration: {seen}, reason: r, message: m, lastTransitionTime: 2026-01-01T00:00:00Z}}]}}"
            )
        };
        assert_eq!(count(&status(2, "True")), 7);
        assert_eq!(count(&status(1, "True")), 3);
        assert_eq!(count(&status(2, "False")), 3);
        let source = read(&status(2, "True")).expect("clear").expect("kept").source;
        assert_eq!(source, Source::Template(Key::new("n", "u")));
    }

    #[test]
    fn what_is_kept_otherwise_is_none_of_ours_and_what_is_unclear_is_told() {
        assert_eq!(read("spec: {provisioningStrategy: other.example/own, podTemplateRef: {name: t}}"), Ok(None));
        for (spec, field) in [
            ("{}", "spec"),
            ("{podTemplateRef: {name: t}, scalableRef: {kind: Deployment, name: d}}", "spec"),
            ("{scalableRef: {apiGroup: example.com, kind: Deployment, name: d}}", "spec.scalableRef.kind"),
            ("{scalableRef: {kind: Job, name: d}}", "spec.scalableRef.kind"),
        ] {
            assert_eq!(read(&format!("spec: {spec}")).expect_err(spec).field, field);
        }
    }
}
