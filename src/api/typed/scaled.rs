//! ScaledObjects as policies of the decider.

use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::scale::policy::{
    Amount, Behavior, Fallback, FallbackBehavior, Pause, Policy, Rate, Rules, Select, TOLERANCE_MILLI, TargetKind, TriggerPolicy,
};
use springtide_core::units::{MetricMilli, Replicas};
use springtide_core::{Span, Timestamp};

use super::{created, key, salvaged};
use crate::conditions;
use crate::keda::scaled_object::{self as api, GroupVersionKindResource, ScaledObjectSpec};
use crate::keda::trigger::{AuthenticationKind, MetricType};
use crate::keda::{ScaledObject, ScaledObjectStatus, Trigger, TriggerAuthenticationSpec};
use crate::validate::Problem;
use crate::{labels, quantity};

/// A trigger that is polled under some identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundTrigger<Id> {
    /// The identity.
    pub id: Id,
    /// The metric's name with its index.
    pub metric: Name,
    /// What the metric is compared with.
    pub target: MetricMilli,
    /// Above what it means activity.
    pub activation: MetricMilli,
}

/// The API version of the kinds that are scaled.
pub const TARGETS_VERSION: &str = "apps/v1";

/// Kinds of targets that are scaled.
pub const TARGETS: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];

/// What is wrong with a text that stands where the name of a variable belongs, and what to do. It says nothing of the text, which may be a password.
pub const NO_VARIABLE: (&str, &str) =
    ("this is no name of a variable", "name a variable of the target's container, and keep the value in it, or in a TriggerAuthentication");

/// The metric's name as KEDA's users know it.
#[must_use]
pub fn metric_name(index: usize, name: &str) -> Name {
    format!("s{index}-{name}").into()
}

/// What is scaled.
#[must_use]
pub fn target(object: &ScaledObject) -> WorkloadKey {
    let target = &object.spec.scale_target_ref;
    WorkloadKey { kind: target.kind().into(), key: Key::new(key(&object.metadata).namespace, target.name.as_str()) }
}

/// Whether its target is of a kind that is scaled.
#[must_use]
pub fn has_known_target(object: &ScaledObject) -> bool {
    let target = &object.spec.scale_target_ref;
    target.api_version() == TARGETS_VERSION && TARGETS.contains(&target.kind())
}

/// What is left of a ScaledObject that cannot be read: who it is, what it scales and what its status says, where that can be read, and no triggers.
#[must_use]
pub fn salvage(object: &Value) -> ScaledObject {
    ScaledObject {
        metadata: salvaged(object, "/metadata"),
        spec: ScaledObjectSpec { scale_target_ref: salvaged(object, "/spec/scaleTargetRef"), ..ScaledObjectSpec::default() },
        status: salvaged(object, "/status"),
    }
}

/// `status.scaleTargetKind`.
#[must_use]
pub fn target_kind(object: &ScaledObject) -> String {
    let target = &object.spec.scale_target_ref;
    format!("{}.{}", target.api_version(), target.kind())
}

/// `status.scaleTargetGVKR`.
#[must_use]
pub fn target_gvkr(object: &ScaledObject) -> GroupVersionKindResource {
    let target = &object.spec.scale_target_ref;
    let (group, version) = target.api_version().split_once('/').unwrap_or(("", target.api_version()));
    GroupVersionKindResource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: target.kind().to_owned(),
        resource: format!("{}s", target.kind().to_lowercase()),
    }
}

/// `status.triggersTypes`.
#[must_use]
pub fn trigger_types(object: &ScaledObject) -> String {
    listed(object.spec.triggers.iter().map(|trigger| trigger.kind.as_str()))
}

/// `status.authenticationsTypes`.
#[must_use]
pub fn authentication_names(object: &ScaledObject) -> String {
    listed(object.spec.triggers.iter().filter_map(|trigger| trigger.authentication_ref.as_ref()).map(|reference| reference.name.as_str()))
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut once: Vec<&str> = Vec::new();
    for word in words {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    once.join(",")
}

/// The authentication of a trigger, and whether it is one of the cluster.
#[must_use]
pub fn authentication(trigger: &Trigger) -> Option<(&str, bool)> {
    let reference = trigger.authentication_ref.as_ref()?;
    Some((&reference.name, reference.kind() == Some(AuthenticationKind::ClusterTriggerAuthentication)))
}

/// The authentications of all triggers, and whether each is one of the cluster.
pub fn authentications(object: &ScaledObject) -> impl Iterator<Item = (&str, bool)> {
    object.spec.triggers.iter().filter_map(authentication)
}

/// Sources of parameters that are set and not read by this version.
#[must_use]
pub fn unserved_sources(spec: &TriggerAuthenticationSpec) -> Vec<&'static str> {
    [
        ("env", !spec.env.is_empty()),
        ("filePath", spec.file_path.is_some()),
        ("hashiCorpVault", spec.hashicorp_vault.is_some()),
        ("boundServiceAccountToken", !spec.bound_service_account_token.is_empty()),
        ("oauth2", spec.oauth2.is_some()),
    ]
    .into_iter()
    .filter_map(|(source, set)| set.then_some(source))
    .collect()
}

/// Whether any trigger takes a value from the environment of the target's container.
#[must_use]
pub fn needs_environment(object: &ScaledObject) -> bool {
    object.spec.triggers.iter().any(|trigger| trigger.metadata.keys().any(|name| name.ends_with("FromEnv")))
}

/// Whether it was active when its status was written.
#[must_use]
pub fn is_active(status: &ScaledObjectStatus) -> bool {
    conditions::is_true(&status.conditions, conditions::keda::ACTIVE)
}

/// When it was active last, as its status says.
#[must_use]
pub fn last_active(status: &ScaledObjectStatus) -> Option<Timestamp> {
    status.last_active_time.as_ref().map(|Time(at)| *at)
}

/// Whether annotations keep all of it from scaling.
#[must_use]
pub fn is_paused(object: &ScaledObject) -> bool {
    !matches!(pause(object), Ok(Pause::None))
}

fn annotation<'a>(object: &'a ScaledObject, name: &str) -> Option<&'a str> {
    object.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn is_set(object: &ScaledObject, name: &str) -> bool {
    labels::switched_on(object.metadata.annotations.as_ref(), name)
}

fn pause(object: &ScaledObject) -> Result<Pause, Problem> {
    if let Some(text) = annotation(object, labels::PAUSED_REPLICAS) {
        let wrong = || {
            let field = format!("metadata.annotations[{}]", labels::PAUSED_REPLICAS);
            Problem::new(field, format!("`{text}` is not a number of replicas"), "write one such as \"0\"")
        };
        return text.parse().map(|replicas| Pause::At(Replicas(replicas))).map_err(|_| wrong());
    }
    Ok(match () {
        () if is_set(object, labels::PAUSED) => Pause::All,
        () if is_set(object, labels::PAUSED_SCALE_IN) && is_set(object, labels::PAUSED_SCALE_OUT) => Pause::All,
        () if is_set(object, labels::PAUSED_SCALE_IN) => Pause::ScaleIn,
        () if is_set(object, labels::PAUSED_SCALE_OUT) => Pause::ScaleOut,
        () => Pause::None,
    })
}

/// What keeps a ScaledObject from becoming a policy although it is valid: what cannot be understood, and what this version does not do.
#[must_use]
pub fn unserved(object: &ScaledObject) -> Vec<Problem> {
    let mut problems: Vec<Problem> = pause(object).err().into_iter().collect();
    if object.spec.scaling_modifiers().is_some() {
        let remedy = "remove it to scale by the largest trigger";
        problems.push(Problem::new("spec.advanced.scalingModifiers", "formulas are not computed yet", remedy));
    }
    problems
}

/// The policy of a ScaledObject whose triggers are bound.
///
/// # Errors
/// All that is wrong with it.
pub fn policy<Id>(object: &ScaledObject, bound: &[BoundTrigger<Id>]) -> Result<Policy, Vec<String>> {
    let spec = &object.spec;
    let mut wrong: Vec<String> = unserved(object).iter().map(ToString::to_string).collect();
    let pause = pause(object).unwrap_or(Pause::All);
    let mut triggers = Vec::new();
    for (i, (trigger, bound)) in spec.triggers.iter().zip(bound).enumerate() {
        let kind = match trigger.metric_type() {
            MetricType::AverageValue => TargetKind::AverageValue,
            MetricType::Value => TargetKind::Value,
            MetricType::Utilization => {
                wrong.push(format!("spec.triggers[{i}].metricType: Utilization is for cpu and memory; write AverageValue or Value"));
                continue;
            }
        };
        triggers.push(TriggerPolicy { name: bound.metric.clone(), target: bound.target, kind, activation: bound.activation });
    }
    let behavior = behavior(object).unwrap_or_else(|problem| {
        wrong.push(problem);
        None
    });
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Policy {
        min: spec.min_replica_count(),
        max: spec.max_replica_count(),
        idle: spec.idle_replica_count(),
        cooldown: spec.cooldown_period(),
        initial_cooldown: spec.initial_cooldown_period(),
        created: created(&object.metadata),
        behavior,
        fallback: spec.fallback.as_ref().map(fallback),
        pause,
        forced: is_set(object, labels::FORCE_ACTIVATION),
        triggers,
    })
}

fn fallback(fallback: &api::Fallback) -> Fallback {
    let behavior = match fallback.behavior() {
        api::FallbackBehavior::Static | api::FallbackBehavior::ScalingModifiers => FallbackBehavior::Static,
        api::FallbackBehavior::CurrentReplicas => FallbackBehavior::CurrentReplicas,
        api::FallbackBehavior::CurrentReplicasIfHigher => FallbackBehavior::CurrentReplicasIfHigher,
        api::FallbackBehavior::CurrentReplicasIfLower => FallbackBehavior::CurrentReplicasIfLower,
    };
    Fallback { after_failures: u32::try_from(fallback.failure_threshold).unwrap_or(0), replicas: fallback.replicas(), behavior }
}

/// The behaviour with the API server's defaults filled in, where one is given.
fn behavior(object: &ScaledObject) -> Result<Option<Behavior>, String> {
    let Some(given) = object.spec.behavior() else { return Ok(None) };
    let at = "spec.advanced.horizontalPodAutoscalerConfig.behavior";
    Ok(Some(Behavior {
        up: rules(given.scale_up.as_ref(), Rules::default_up(), &format!("{at}.scaleUp"))?,
        down: rules(given.scale_down.as_ref(), Rules::default_down(), &format!("{at}.scaleDown"))?,
    }))
}

fn rules(given: Option<&HPAScalingRules>, default: Rules, at: &str) -> Result<Rules, String> {
    let Some(given) = given else { return Ok(default) };
    let policies = match given.policies.as_deref() {
        None | Some([]) => default.policies,
        Some(policies) => {
            policies.iter().enumerate().map(|(i, policy)| rate(policy, &format!("{at}.policies[{i}]"))).collect::<Result<_, _>>()?
        }
    };
    let select = match given.select_policy.as_deref() {
        None | Some("" | "Max") => Select::Max,
        Some("Min") => Select::Min,
        Some("Disabled") => Select::Disabled,
        Some(other) => return Err(format!("{at}.selectPolicy: `{other}` does not exist; write Max, Min or Disabled")),
    };
    let tolerance_milli = match &given.tolerance {
        None => TOLERANCE_MILLI,
        Some(text) => {
            let milli = quantity::milli(&text.0).map_err(|error| format!("{at}.tolerance: {error}"))?;
            u32::try_from(milli).map_err(|_| format!("{at}.tolerance: `{}` is negative; write a share such as 0.1", text.0))?
        }
    };
    let window = given.stabilization_window_seconds.map_or(default.window, |s| Span::from_secs(i64::from(s.max(0))));
    Ok(Rules { window, select, policies, tolerance_milli })
}

fn rate(policy: &HPAScalingPolicy, at: &str) -> Result<Rate, String> {
    let value = u32::try_from(policy.value).map_err(|_| format!("{at}.value: {} is negative", policy.value))?;
    let amount = match policy.type_.as_str() {
        "Pods" => Amount::Pods(value),
        "Percent" => Amount::Percent(value),
        other => return Err(format!("{at}.type: `{other}` does not exist; write Pods or Percent")),
    };
    Ok(Rate { amount, period: Span::from_secs(i64::from(policy.period_seconds.max(1))) })
}

#[cfg(test)]
#[path = "scaled_tests.rs"]
mod tests;
