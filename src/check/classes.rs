//! What NodePools and NodeClaims may name: NodeClasses, with who serves them, and labels.

use springtide_api::Problem;
use springtide_api::karpenter::{NodeClassRef, Requirement};
use springtide_api::labels::{CAPACITY_TYPE, KWOK_GROUP};

use super::finding::Severity;
use super::nearest::nearest;

/// Group and kind, and whether this version serves it.
const CLASSES: [(&str, &str, bool); 8] = [
    (KWOK_GROUP, "KWOKNodeClass", true),
    ("karpenter.k8s.aws", "EC2NodeClass", false),
    ("karpenter.azure.com", "AKSNodeClass", false),
    ("eks.amazonaws.com", "NodeClass", false),
    ("karpenter.k8s.gcp", "GCENodeClass", false),
    ("karpenter.k8s.alibabacloud", "ECSNodeClass", false),
    ("karpenter.cluster.x-k8s.io", "ClusterAPINodeClass", false),
    ("karpenter.k8s.oracle", "OCINodeClass", false),
];

/// What there is to say of a reference. `at` is its field.
pub fn reference(at: &str, reference: &NodeClassRef) -> Option<(Severity, Problem)> {
    let (group, kind) = (reference.group.as_str(), reference.kind.as_str());
    // What is empty or has a version in it was said.
    if group.is_empty() || kind.is_empty() || group.contains('/') {
        return None;
    }
    match CLASSES.iter().find(|(known, name, _)| (*known, *name) == (group, kind)) {
        Some((.., true)) => None,
        Some(_) => {
            let what = format!("{kind} is not served by this version: its nodes are left to the controller that serves it");
            let remedy = "keep that controller running, or name a KWOKNodeClass";
            Some((Severity::Notice, Problem::new(at, what, remedy)))
        }
        None => {
            let of_group = CLASSES.iter().find(|(known, ..)| *known == group);
            let of_kind = CLASSES.iter().find(|(_, name, _)| *name == kind);
            let near =
                nearest(kind, CLASSES.iter().map(|(_, name, _)| *name)).and_then(|near| CLASSES.iter().find(|(_, name, _)| *name == near));
            let (field, remedy) = match (of_group, of_kind.or(near)) {
                (Some((_, known, _)), _) => (format!("{at}.kind"), format!("write kind: {known}")),
                (None, Some((known, name, _))) => (format!("{at}.group"), format!("write group: {known}, kind: {name}")),
                (None, None) => (at.to_owned(), "name a NodeClass, as in karpenter.k8s.aws, EC2NodeClass, default".to_owned()),
            };
            Some((Severity::Problem, Problem::new(field, format!("no NodeClass {kind:?} is known in the group {group:?}"), remedy)))
        }
    }
}

/// The same problem, which says of a label of Karpenter's that a pool may not ask for which one was probably meant.
pub fn near_label(problem: Problem, requirements: &[Requirement]) -> Problem {
    let index = |rest: &str| rest.strip_suffix("].key")?.parse::<usize>().ok();
    let written = if let Some((_, label)) = problem.field.split_once("metadata.labels[") {
        label.strip_suffix(']')
    } else {
        let row = problem.field.split_once("requirements[").and_then(|(_, rest)| requirements.get(index(rest)?));
        row.map(|row| row.key.as_str())
    };
    // It is the only one of its domain that may be asked for.
    match written.and_then(|label| nearest(label, [CAPACITY_TYPE])) {
        Some(near) => Problem { remedy: format!("did you mean {near}?"), ..problem },
        None => problem,
    }
}
