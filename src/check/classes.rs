//! NodeClasses that NodePools and NodeClaims may refer to, and who serves them.

use springtide_api::Problem;
use springtide_api::karpenter::NodeClassRef;
use springtide_api::labels::KWOK_GROUP;

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
