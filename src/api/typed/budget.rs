//! PodDisruptionBudgets.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use springtide_core::name::Key;
use springtide_core::nodes::cluster::PodBudget;
use springtide_core::nodes::selector::{Part, PodSelector};
use springtide_core::nodes::shape::Shapes;

use super::constraints::selector;
use super::{Unclear, key};

/// A PodDisruptionBudget. Its selector is interned; one that is not there selects nothing, an empty one all pods of the namespace.
///
/// # Errors
/// What about its selector or its numbers cannot be understood.
pub fn budget(object: &PodDisruptionBudget, shapes: &mut Shapes) -> Result<(Key, PodBudget), Unclear> {
    let key = key(&object.metadata);
    let spec = object.spec.as_ref();
    let labels = selector(spec.and_then(|spec| spec.selector.as_ref()), "spec.selector")?;
    let part = Part { namespaces: [key.namespace.clone()].into(), namespace_labels: None, labels };
    // Of how many pods its status speaks. None are no answer.
    let expected = object.status.as_ref().map(|status| i64::from(status.expected_pods)).filter(|expected| *expected > 0);
    let most = amount(spec.and_then(|spec| spec.max_unavailable.as_ref()), "spec.maxUnavailable")?;
    let least = amount(spec.and_then(|spec| spec.min_available.as_ref()), "spec.minAvailable")?;
    let none_may_go = matches!(most, Some(Amount::Pods(..=0) | Amount::Percent(..=0)));
    let all_must_stay = match (least, expected) {
        (Some(Amount::Percent(percent)), _) if percent >= 100 => true,
        // Kubernetes rounds up.
        (Some(Amount::Percent(percent)), Some(expected)) => percent.saturating_mul(expected) > (expected - 1).saturating_mul(100),
        (Some(Amount::Pods(pods)), Some(expected)) => pods >= expected,
        _ => false,
    };
    Ok((key, PodBudget { selector: shapes.select(PodSelector(vec![part])), blocks: none_may_go || all_must_stay }))
}

enum Amount {
    Pods(i64),
    Percent(i64),
}

fn amount(value: Option<&IntOrString>, field: &str) -> Result<Option<Amount>, Unclear> {
    Ok(match value {
        None => None,
        Some(IntOrString::Int(pods)) => Some(Amount::Pods(i64::from(*pods))),
        Some(IntOrString::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
            let percent = percent.ok_or_else(|| Unclear::new(field, format!("`{text}` is neither a number nor a share, as 50%")))?;
            Some(Amount::Percent(i64::from(percent)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_blocks_where_it_never_lets_a_pod_go() {
        let table = [
            ("spec: {maxUnavailable: 0}", true),
            ("spec: {maxUnavailable: 0%}", true),
            ("spec: {maxUnavailable: 1}", false),
            // rounds up to one
            ("spec: {maxUnavailable: 1%}", false),
            ("spec: {minAvailable: 100%}", true),
            ("spec: {minAvailable: 99%}", false),
            ("spec: {minAvailable: 2}", false),
            ("spec: {minAvailable: 2}\nstatus: {expectedPods: 2, currentHealthy: 2, desiredHealthy: 2, disruptionsAllowed: 0}", true),
            ("spec: {minAvailable: 2}\nstatus: {expectedPods: 3, currentHealthy: 3, desiredHealthy: 2, disruptionsAllowed: 1}", false),
            ("spec: {minAvailable: 0}\nstatus: {expectedPods: 0, currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0}", false),
            ("spec: {minAvailable: 51%}\nstatus: {expectedPods: 2, currentHealthy: 2, desiredHealthy: 2, disruptionsAllowed: 0}", true),
            ("spec: {minAvailable: 50%}\nstatus: {expectedPods: 2, currentHealthy: 2, desiredHealthy: 1, disruptionsAllowed: 1}", false),
            ("spec: {}", false),
        ];
        for (yaml, blocks) in table {
            let object = serde_saphyr::from_str(&format!("metadata: {{name: b, namespace: n}}\n{yaml}")).expect("a budget");
            let (key, budget) = budget(&object, &mut Shapes::default()).expect("a budget that can be understood");
            assert_eq!((key.to_string().as_str(), budget.blocks), ("n/b", blocks), "{yaml}");
        }
        let object = serde_saphyr::from_str("metadata: {name: b}\nspec: {maxUnavailable: half}").expect("a budget");
        assert_eq!(budget(&object, &mut Shapes::default()).expect_err("no number").field, "spec.maxUnavailable");
    }
}
