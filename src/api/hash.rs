//! The drift hash: what of a NodePool's template a node cannot be changed into, as one short text on the pool and on its claims. A claim whose text differs
//! from its pool's has drifted.
//!
//! It covers what Karpenter's covers: the template's labels, annotations, taints, startup taints, NodeClass, termination grace period and expiry. It leaves
//! out requirements, which are compared one by one, and limits, weight and disruption, which do not make a node another one. Lists count as sets, and what is
//! empty counts as missing.
//!
//! The text itself is not Karpenter's, and says so in its [`VERSION`]. Karpenter stamps claims of another version anew instead of calling them drifted, and so
//! do we; copying its hash would tie us to the insides of a Go library, and one slip would replace every node of a cluster.

use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::karpenter::NodeClaimTemplate;

/// How [`of`] computes, in the annotation `karpenter.sh/nodepool-hash-version`. Change it whenever the same template would give another text.
pub const VERSION: &str = "springtide-v1";

/// The drift hash of a template: 16 hexadecimal digits.
#[must_use]
pub fn of(template: &NodeClaimTemplate) -> String {
    let spec = &template.spec;
    // Keys in a fixed order; what is written in two ways but means the same (90m, 1h30m) has one spelling here.
    let covered = json!([
        ["labels", template.metadata.labels],
        ["annotations", template.metadata.annotations],
        ["taints", set(&spec.taints)],
        ["startupTaints", set(&spec.startup_taints)],
        ["nodeClassRef", [&spec.node_class_ref.group, &spec.node_class_ref.kind, &spec.node_class_ref.name]],
        ["terminationGracePeriod", spec.termination_grace_period.as_ref().map(ToString::to_string)],
        ["expireAfter", spec.expire_after.as_ref().map_or_else(default_expiry, ToString::to_string)],
    ]);
    let digest = Sha256::digest(covered.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The API server fills the default in; a file that never saw it must not look different.
fn default_expiry() -> String {
    crate::duration::print(crate::karpenter::EXPIRE_AFTER)
}

fn set(taints: &[Taint]) -> Vec<Value> {
    let mut rows: Vec<[&str; 3]> =
        taints.iter().map(|taint| [taint.key.as_str(), taint.value.as_deref().unwrap_or_default(), taint.effect.as_str()]).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.into_iter().map(|row| json!(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::karpenter::{Operator, Requirement};

    fn template(yaml: &str) -> NodeClaimTemplate {
        serde_saphyr::from_str(yaml).expect("a template")
    }

    const BASE: &str = "
metadata: {labels: {a: x, b: y}, annotations: {note: one}}
spec:
  nodeClassRef: {group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}
  requirements: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]
  taints: [{key: a, effect: NoSchedule}, {key: b, value: x, effect: NoExecute}]
  startupTaints: [{key: c, effect: NoSchedule}]
  terminationGracePeriod: 1h30m
";

    #[test]
    fn stays_the_same_from_build_to_build() {
        assert_eq!(of(&template(BASE)), "caf5744b9d910997");
    }

    #[test]
    fn order_and_spelling_do_not_count() {
        let other = template(
            "
spec:
  expireAfter: 720h
  terminationGracePeriod: 90m
  startupTaints: [{key: c, effect: NoSchedule, value: ''}]
  taints: [{key: b, value: x, effect: NoExecute}, {key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}]
  requirements: []
  nodeClassRef: {name: default, kind: KWOKNodeClass, group: karpenter.kwok.sh}
metadata: {annotations: {note: one}, labels: {b: y, a: x}}
",
        );
        assert_eq!(of(&other), of(&template(BASE)));
    }

    #[test]
    fn requirements_do_not_count() {
        let mut other = template(BASE);
        other.spec.requirements.push(Requirement::new("team", Operator::Exists, Vec::<String>::new()));
        assert_eq!(of(&other), of(&template(BASE)));
    }

    #[test]
    fn each_thing_that_counts_counts() {
        let base = of(&template(BASE));
        let changes: [fn(&mut NodeClaimTemplate); 8] = [
            |t| drop(t.metadata.labels.insert("c".into(), "z".into())),
            |t| drop(t.metadata.annotations.insert("note".into(), "two".into())),
            |t| drop(t.spec.taints.pop()),
            |t| drop(t.spec.startup_taints.pop()),
            |t| std::mem::swap(&mut t.spec.taints, &mut t.spec.startup_taints),
            |t| t.spec.node_class_ref.name = "other".into(),
            |t| t.spec.termination_grace_period = None,
            |t| t.spec.expire_after = "Never".parse().ok().map(crate::lenient::Lenient::Known),
        ];
        let mut seen: std::collections::BTreeSet<String> = [base].into();
        for (at, change) in changes.into_iter().enumerate() {
            let mut other = template(BASE);
            change(&mut other);
            assert!(seen.insert(of(&other)), "change {at} gives a hash of its own");
        }
    }
}
