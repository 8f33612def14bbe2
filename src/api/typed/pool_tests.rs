//! NodePools as people write them, and what the planner makes of them.

use springtide_core::nodes::pool::{BudgetNodes, DisruptionReason};
use springtide_core::{Span, Timestamp};

use super::{contradictions, invalid, pool, salvage};
use crate::karpenter::NodePool;

fn object(more: &str) -> NodePool {
    let yaml = format!(
        "apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {{name: spot, uid: u}}
spec:
  template:
    metadata: {{labels: {{team: data}}}}
    spec:
      nodeClassRef: {{group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}}
      taints: [{{key: queue, value: 'true', effect: NoSchedule}}]
      requirements:
        - {{key: karpenter.sh/capacity-type, operator: In, values: [spot]}}
        - {{key: karpenter.kwok.sh/instance-cpu, operator: Lt, values: ['17'], minValues: 2}}
{more}
"
    );
    serde_saphyr::from_str(&yaml).expect("a NodePool")
}

#[test]
fn what_is_not_written_has_karpenters_defaults() {
    let pool = pool(&object("")).expect("a pool");
    assert_eq!(pool.unusable, None);
    assert_eq!(pool.disruption.consolidate_after, Some(Span::ZERO));
    assert_eq!(pool.disruption.budgets.iter().map(|budget| budget.nodes).collect::<Vec<_>>(), [BudgetNodes::Percent(10)]);
    assert_eq!(pool.expire_after, Some(Span::from_hours(720)));
    assert_eq!((pool.weight, pool.limits.nodes), (0, None));
    let wish = |key: &str| pool.wishes.0.get(key).expect("a wish");
    assert!(wish("team").allows("data") && !wish("team").allows("web"));
    assert!(wish("karpenter.sh/nodepool").allows("spot"));
    assert!(wish("karpenter.kwok.sh/instance-cpu").allows("16") && !wish("karpenter.kwok.sh/instance-cpu").allows("17"));
    assert_eq!(wish("karpenter.kwok.sh/instance-cpu").min_values, Some(2));
    assert_eq!((pool.taints[0].key.as_str(), pool.class.to_string().as_str()), ("queue", "KWOKNodeClass/default"));
}

#[test]
fn limits_and_disruption_are_taken_over() {
    let pool = pool(&object(
        "  limits: {cpu: '100', memory: 400Gi, nodes: '7'}
  weight: 30
  disruption:
    consolidateAfter: Never
    consolidationPolicy: WhenEmpty
    budgets:
      - {nodes: '2', reasons: [Drifted]}
      - {nodes: '0', schedule: '0 9 * * *', duration: 8h}",
    ))
    .expect("a pool");
    assert_eq!((pool.weight, pool.limits.nodes, pool.limits.resources.get("cpu").copied()), (30, Some(7), Some(100_000)));
    assert_eq!(pool.disruption.consolidate_after, None);
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let allowed = |reason, time| pool.disruption.allowed(reason, 50, at(time));
    assert_eq!(allowed(DisruptionReason::Drifted, "2026-03-01T20:00:00Z"), 2);
    assert_eq!(allowed(DisruptionReason::Empty, "2026-03-01T20:00:00Z"), u32::MAX);
    assert_eq!(allowed(DisruptionReason::Empty, "2026-03-01T12:00:00Z"), 0);
}

#[test]
fn a_pool_that_is_wrong_says_why_it_cannot_be_used() {
    let mut wrong = object("");
    wrong.spec.template.metadata.labels.insert("karpenter.sh/nodepool".to_owned(), "other".to_owned());
    assert!(pool(&wrong).expect("a pool").unusable.expect("a reason").contains("karpenter.sh/nodepool"));
    let mut fixed = object("");
    fixed.spec.replicas = Some(3);
    assert!(pool(&fixed).expect("a pool").unusable.is_some());
    let mut torn = object("");
    let other = crate::karpenter::Requirement::new("karpenter.sh/capacity-type", crate::karpenter::Operator::In, ["on-demand"]);
    torn.spec.template.spec.requirements.push(other);
    assert!(pool(&torn).expect("a pool").unusable.expect("a reason").contains("karpenter.sh/capacity-type"));
    let mut unknown = object("");
    unknown.spec.template.spec.requirements[0].operator = crate::Lenient::Other("Near".to_owned());
    assert!(pool(&unknown).expect_err("no operator").to_string().contains("`Near`"));
}

#[test]
fn a_contradiction_names_both_rows() {
    let requirement = |key: &str, operator, values: &[&str]| crate::karpenter::Requirement::new(key, operator, values.iter().copied());
    let mut torn = object("");
    torn.spec.template.spec.requirements.push(requirement("karpenter.sh/capacity-type", crate::karpenter::Operator::In, &["on-demand"]));
    let expected = "spec.template.spec.requirements[2]: karpenter.sh/capacity-type In [on-demand] contradicts \
        spec.template.spec.requirements[0], which says In [spot]: no machine can be both; correct or remove one of them";
    assert_eq!(invalid(&torn).as_deref(), Some(expected));
    let mut labelled = object("");
    labelled.spec.template.spec.requirements.push(requirement("team", crate::karpenter::Operator::DoesNotExist, &[]));
    let text = invalid(&labelled).expect("a contradiction");
    assert!(text.contains("team DoesNotExist contradicts spec.template.metadata.labels[team], which says `data`"), "{text}");
    // Two by two they agree, and all three together do not.
    let mut three = object("");
    for (operator, values) in [
        (crate::karpenter::Operator::In, &["a", "b"][..]),
        (crate::karpenter::Operator::NotIn, &["a"][..]),
        (crate::karpenter::Operator::NotIn, &["b"][..]),
    ] {
        three.spec.template.spec.requirements.push(requirement("zone", operator, values));
    }
    assert!(invalid(&three).expect("a contradiction").contains("requirements[4]: zone NotIn [b] contradicts"));
    let mut fine = object("");
    fine.spec.template.spec.requirements.push(requirement("zone", crate::karpenter::Operator::NotIn, &["a"]));
    fine.spec.template.spec.requirements.push(requirement("zone", crate::karpenter::Operator::DoesNotExist, &[]));
    assert_eq!(invalid(&fine), None);
}

#[test]
fn what_is_left_of_a_pool_that_cannot_be_read_is_who_it_is() {
    let mut value = serde_json::to_value(object("")).expect("JSON");
    value["spec"]["template"]["spec"]["taints"] = "none".into();
    let unclear = crate::typed::read::<NodePool>(value.clone()).expect_err("a word is no list");
    assert_eq!(unclear.field, "spec.template.spec.taints");
    let known = salvage(&value);
    let pool = super::unusable_pool(&known, "why".to_owned());
    assert_eq!((pool.name.as_str(), pool.uid.as_str(), pool.class.to_string().as_str()), ("spot", "u", "KWOKNodeClass/default"));
    assert_eq!((pool.unusable.as_deref(), pool.disruption.consolidate_after), (Some("why"), None));
    // A status that cannot be read harms nobody.
    let mut value = serde_json::to_value(object("")).expect("JSON");
    value["status"] = serde_json::json!({ "conditions": "none" });
    assert!(crate::typed::read::<NodePool>(value).expect("a pool").status.is_none());
}

#[test]
fn requirements_that_leave_nothing_are_named_with_their_row() {
    let found = |rows: &str| -> Vec<String> {
        let object = object(&format!("        - {{key: a, operator: In, values: [x, y]}}\n{rows}"));
        contradictions(&object).into_iter().map(|problem| problem.field).collect()
    };
    let at = |i: usize| vec![format!("spec.template.spec.requirements[{i}]")];
    assert!(found("        - {key: a, operator: NotIn, values: [x]}").is_empty());
    assert_eq!(found("        - {key: a, operator: NotIn, values: [x, y]}"), at(3));
    assert_eq!(found("        - {key: a, operator: DoesNotExist}"), at(3));
    assert_eq!(found("        - {key: b, operator: Gt, values: ['3']}\n        - {key: b, operator: Lt, values: ['4']}"), at(4));
    assert!(found("        - {key: b, operator: NotIn, values: [x]}\n        - {key: b, operator: DoesNotExist}").is_empty());
    assert_eq!(found("        - {key: team, operator: In, values: [web]}"), at(3));
    // One that cannot be understood is not also said to contradict.
    assert!(found("        - {key: a, operator: Near, values: [z]}").is_empty());
}
