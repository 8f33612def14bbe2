//! ScaledObjects as people write them, and the policies that they mean.

use springtide_core::Span;
use springtide_core::scale::policy::{Amount, FallbackBehavior, Pause, Rate, Rules, Select, TargetKind};
use springtide_core::units::{MetricMilli, Replicas};

use super::{BoundTrigger, authentications, metric_name, needs_environment, policy, target, target_gvkr, trigger_types};
use crate::keda::ScaledObject;

fn object(more: &str) -> ScaledObject {
    let yaml = format!(
        "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: orders, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}}
spec:
  scaleTargetRef: {{name: worker}}
{more}
  triggers:
    - type: rabbitmq
      metadata: {{queueName: orders, hostFromEnv: HOST}}
      authenticationRef: {{name: rabbit}}
"
    );
    serde_saphyr::from_str(&yaml).expect("a ScaledObject")
}

fn bound() -> Vec<BoundTrigger<u8>> {
    vec![BoundTrigger { id: 1, metric: metric_name(0, "rabbitmq-orders"), target: MetricMilli(20_000), activation: MetricMilli(0) }]
}

#[test]
fn what_is_not_written_has_kedas_defaults() {
    let object = object("");
    let policy = policy(&object, &bound()).expect("a policy");
    assert_eq!((policy.min, policy.max, policy.idle), (Replicas(0), Replicas(100), None));
    assert_eq!((policy.cooldown, policy.initial_cooldown), (Span::from_mins(5), Span::ZERO));
    assert!(policy.behavior.is_none() && policy.fallback.is_none() && policy.pause == Pause::None && !policy.forced);
    assert_eq!(policy.triggers[0].name, "s0-rabbitmq-orders");
    assert_eq!(policy.triggers[0].kind, TargetKind::AverageValue);
    assert_eq!(target(&object).to_string(), "Deployment shop/worker");
    assert_eq!(target_gvkr(&object).resource, "deployments");
    assert_eq!(trigger_types(&object), "rabbitmq");
    assert_eq!(authentications(&object).collect::<Vec<_>>(), [("rabbit", false)]);
    assert!(needs_environment(&object));
}

#[test]
fn a_behaviour_is_filled_up_as_the_api_server_fills_it() {
    let object = object(
        "  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp: {stabilizationWindowSeconds: 0, policies: [{type: Percent, value: 1000, periodSeconds: 15}], tolerance: '0.05'}
        scaleDown: {selectPolicy: Disabled}",
    );
    let behavior = policy(&object, &bound()).expect("a policy").behavior.expect("a behaviour");
    let up = Rules {
        window: Span::ZERO,
        select: Select::Max,
        policies: vec![Rate { amount: Amount::Percent(1000), period: Span::from_secs(15) }],
        tolerance_milli: 50,
    };
    assert_eq!(behavior.up, up);
    assert_eq!(behavior.down, Rules { select: Select::Disabled, ..Rules::default_down() });
}

#[test]
fn a_fallback_and_a_kind_of_target_are_taken_over() {
    let mut object = object("  fallback: {failureThreshold: 3, replicas: 6, behavior: currentReplicasIfHigher}");
    object.spec.triggers[0].metric_type = Some(crate::keda::trigger::MetricType::Value.into());
    let policy = policy(&object, &bound()).expect("a policy");
    let fallback = policy.fallback.expect("a fallback");
    assert_eq!(
        (fallback.after_failures, fallback.replicas, fallback.behavior),
        (3, Replicas(6), FallbackBehavior::CurrentReplicasIfHigher)
    );
    assert_eq!(policy.triggers[0].kind, TargetKind::Value);
}

#[test]
fn annotations_pause_as_kedas_do() {
    let table = [
        (&[("autoscaling.keda.sh/paused", "true")][..], Pause::All),
        (&[("autoscaling.keda.sh/paused", "nonsense")], Pause::All),
        (&[("autoscaling.keda.sh/paused", "false")], Pause::None),
        (&[("autoscaling.keda.sh/paused-replicas", "4"), ("autoscaling.keda.sh/paused", "false")], Pause::At(Replicas(4))),
        (&[("autoscaling.keda.sh/paused-scale-in", "true")], Pause::ScaleIn),
        (&[("autoscaling.keda.sh/paused-scale-out", "true")], Pause::ScaleOut),
        (&[("autoscaling.keda.sh/paused-scale-in", "true"), ("autoscaling.keda.sh/paused-scale-out", "true")], Pause::All),
    ];
    for (annotations, pause) in table {
        let mut object = object("");
        object.metadata.annotations = Some(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
        assert_eq!(policy(&object, &bound()).expect("a policy").pause, pause, "{annotations:?}");
    }
    let mut object = object("");
    object.metadata.annotations = Some([("autoscaling.keda.sh/paused-replicas".to_owned(), "few".to_owned())].into());
    let wrong = policy(&object, &bound()).expect_err("no number");
    assert!(wrong[0].contains("`few`"), "{wrong:?}");
}

#[test]
fn what_is_not_computed_yet_is_said_and_never_ignored() {
    let formula = object("  advanced: {scalingModifiers: {formula: 'a + b', target: '5'}}");
    assert!(policy(&formula, &bound()).expect_err("formulas are not computed")[0].contains("scalingModifiers"));
}
