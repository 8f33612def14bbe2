//! Taints of nodes and the tolerations of pods.

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    /// From its spelling in YAML.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "NoSchedule" => Self::NoSchedule,
            "PreferNoSchedule" => Self::PreferNoSchedule,
            "NoExecute" => Self::NoExecute,
            _ => return None,
        })
    }
}

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Taint {
    /// Its key.
    pub key: Name,
    /// Its value, often empty.
    pub value: Name,
    /// What it does.
    pub effect: Effect,
}

/// A toleration. Without a key it tolerates every key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Toleration {
    /// The taint's key, or none for all.
    pub key: Option<Name>,
    /// The taint's value; none for any (operator `Exists`).
    pub value: Option<Name>,
    /// The taint's effect, or none for all.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it tolerates this taint.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

/// The first taint that keeps a pod with these tolerations from being scheduled. `PreferNoSchedule` keeps nobody away.
#[must_use]
pub fn in_the_way<'a>(taints: impl IntoIterator<Item = &'a Taint>, tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints.into_iter().find(|taint| taint.effect != Effect::PreferNoSchedule && !tolerations.iter().any(|t| t.tolerates(taint)))
}

/// Taints that come and go while a node starts: they do not speak against a node that is not initialized yet.
#[must_use]
pub fn is_ephemeral(taint: &Taint) -> bool {
    matches!(
        (taint.key.as_str(), taint.effect),
        ("node.kubernetes.io/not-ready" | "karpenter.sh/unregistered", _)
            | ("node.kubernetes.io/unreachable" | "node.cloudprovider.kubernetes.io/uninitialized", Effect::NoSchedule)
    ) || taint.key.starts_with("readiness.k8s.io/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let taint = Taint { key: "gpu".into(), value: "true".into(), effect: Effect::NoSchedule };
        let yes = [
            Toleration { key: None, value: None, effect: None },
            Toleration { key: Some("gpu".into()), value: None, effect: None },
            Toleration { key: Some("gpu".into()), value: Some("true".into()), effect: Some(Effect::NoSchedule) },
        ];
        let no = [
            Toleration { key: Some("cpu".into()), value: None, effect: None },
            Toleration { key: Some("gpu".into()), value: Some("false".into()), effect: None },
            Toleration { key: Some("gpu".into()), value: None, effect: Some(Effect::NoExecute) },
        ];
        assert!(yes.iter().all(|t| t.tolerates(&taint)));
        assert!(!no.iter().any(|t| t.tolerates(&taint)));
        assert!(in_the_way([&taint], &[]).is_some());
        assert!(in_the_way([&Taint { effect: Effect::PreferNoSchedule, ..taint.clone() }], &[]).is_none());
    }
}
