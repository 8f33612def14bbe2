//! What KEDA's admission checks refuse in one object, and what its CRDs do. What needs the cluster or other objects (a target that is taken, requests of
//! containers) is not here, nor what only a scaler or a formula knows.

use std::collections::BTreeSet;

use super::authentication::{IdentityOwner, IdentityProvider, PodIdentity};
use super::scaled_object::{Fallback, FallbackBehavior, ScalingModifiers};
use super::trigger::{AuthenticationKind, MetricType, Trigger};
use super::{ClusterTriggerAuthentication, ScaledJob, ScaledObject, ScaledObjectSpec, TriggerAuthentication, TriggerAuthenticationSpec};
use crate::lenient::Lenient;
use crate::validate::{Problem, annotations};

/// Kubernetes' limit for the value of a label, which the name becomes.
const NAME_LENGTH: usize = 63;
/// Kubernetes' limit for the window of a behaviour, in seconds.
const WINDOW_S: i32 = 3600;
/// Kubernetes' limit for the period of a policy, in seconds.
const PERIOD_S: i32 = 1800;

/// What is wrong with a ScaledObject.
#[must_use]
pub fn scaled_object(object: &ScaledObject) -> Vec<Problem> {
    let spec = &object.spec;
    let mut problems = annotations(&object.metadata);
    if object.metadata.name.as_ref().is_some_and(|name| name.len() > NAME_LENGTH) {
        problems.push(Problem::new("metadata.name", "it is longer than 63 characters", "choose a shorter name"));
    }
    if spec.scale_target_ref.name.is_empty() {
        problems.push(Problem::new("spec.scaleTargetRef.name", "it is empty", "name the workload to scale"));
    }
    problems.extend(at_least("spec.pollingInterval", spec.polling_interval, 1));
    problems.extend(at_least("spec.cooldownPeriod", spec.cooldown_period, 0));
    problems.extend(at_least("spec.initialCooldownPeriod", spec.initial_cooldown_period, 0));
    problems.extend(at_least("spec.idleReplicaCount", spec.idle_replica_count, 0));
    problems.extend(at_least("spec.minReplicaCount", spec.min_replica_count, 0));
    problems.extend(at_least("spec.maxReplicaCount", spec.max_replica_count, 1));
    bounds(spec, &mut problems);
    triggers(&spec.triggers, &mut problems);
    resource_triggers(&spec.triggers, &mut problems);
    // Only where a 0 is written: KEDA's own manual leaves the minimum out.
    if spec.min_replica_count == Some(0) && !spec.triggers.is_empty() && spec.triggers.iter().all(Trigger::is_resource) {
        let what = "the replicas cannot come back from 0, as only cpu and memory of running pods are looked at";
        problems.push(Problem::new("spec.minReplicaCount", what, "set it to 1 or more, or add another trigger"));
    }
    if let Some(fallback) = &spec.fallback {
        check_fallback(fallback, spec, &mut problems);
    }
    if let Some(modifiers) = spec.advanced.as_ref().and_then(|advanced| advanced.scaling_modifiers.as_ref()) {
        check_modifiers(modifiers, &mut problems);
    }
    check_behavior(spec, &mut problems);
    problems
}

/// What is wrong with a ScaledJob.
#[must_use]
pub fn scaled_job(object: &ScaledJob) -> Vec<Problem> {
    let spec = &object.spec;
    let mut problems = annotations(&object.metadata);
    problems.extend(at_least("spec.pollingInterval", spec.polling_interval, 1));
    problems.extend(at_least("spec.minReplicaCount", spec.min_replica_count, 0));
    problems.extend(at_least("spec.maxReplicaCount", spec.max_replica_count, 1));
    problems.extend(at_least("spec.successfulJobsHistoryLimit", spec.successful_jobs_history_limit, 0));
    problems.extend(at_least("spec.failedJobsHistoryLimit", spec.failed_jobs_history_limit, 0));
    triggers(&spec.triggers, &mut problems);
    for (at, trigger) in spec.triggers.iter().enumerate() {
        if trigger.metric_type.is_some() {
            problems.push(Problem::new(format!("spec.triggers[{at}].metricType"), "a ScaledJob's triggers have none", "leave it out"));
        }
    }
    if spec.job_target_ref.template.spec.as_ref().is_none_or(|pod| pod.containers.is_empty()) {
        let field = "spec.jobTargetRef.template.spec.containers";
        problems.push(Problem::new(field, "there is none", "say what the Job runs"));
    }
    problems.extend(word("spec.rolloutStrategy", spec.rollout_strategy.as_ref(), super::scaled_job::RolloutStrategy::WORDS));
    if let Some(rollout) = &spec.rollout {
        problems.extend(word("spec.rollout.strategy", rollout.strategy.as_ref(), super::scaled_job::RolloutStrategy::WORDS));
        let words = super::scaled_job::PropagationPolicy::WORDS;
        problems.extend(word("spec.rollout.propagationPolicy", rollout.propagation_policy.as_ref(), words));
    }
    if let Some(strategy) = &spec.scaling_strategy {
        problems.extend(word("spec.scalingStrategy.strategy", strategy.strategy.as_ref(), super::scaled_job::Strategy::WORDS));
        let field = "spec.scalingStrategy.multipleScalersCalculation";
        problems.extend(word(field, strategy.multiple_scalers_calculation.as_ref(), super::scaled_job::Calculation::WORDS));
    }
    problems
}

/// What is wrong with a TriggerAuthentication.
#[must_use]
pub fn trigger_authentication(object: &TriggerAuthentication) -> Vec<Problem> {
    let mut problems = annotations(&object.metadata);
    authentication(&object.spec, &mut problems);
    if object.spec.file_path.is_some() {
        let remedy = "leave it out, or use a ClusterTriggerAuthentication";
        problems.push(Problem::new("spec.filePath", "only a ClusterTriggerAuthentication reads files", remedy));
    }
    problems
}

/// What is wrong with a ClusterTriggerAuthentication.
#[must_use]
pub fn cluster_trigger_authentication(object: &ClusterTriggerAuthentication) -> Vec<Problem> {
    let mut problems = annotations(&object.metadata);
    authentication(&object.spec.0, &mut problems);
    problems
}

fn at_least(field: &str, value: Option<i32>, least: i32) -> Option<Problem> {
    let value = value.filter(|value| *value < least)?;
    Some(Problem::new(field, format!("{value} is less than {least}"), format!("set it to {least} or more, or leave it out")))
}

fn word<T>(field: impl Into<String>, value: Option<&Lenient<T>>, words: &[&str]) -> Option<Problem> {
    let text = value?.other()?;
    Some(Problem::new(field, format!("{text:?} is unknown"), format!("write one of {}", words.join(", "))))
}

/// KEDA's `CheckReplicaCountBoundsAreValid`, with its quirk: a minimum that is not set counts as 0 against the idle count, and a written 0 as 1.
fn bounds(spec: &ScaledObjectSpec, problems: &mut Vec<Problem>) {
    let (min, max) = (spec.min_replica_count.unwrap_or(0), spec.max_replica_count.unwrap_or(super::MAX_REPLICA_COUNT));
    if min > max {
        let what = format!("{min} is more than maxReplicaCount, which is {max}");
        problems.push(Problem::new("spec.minReplicaCount", what, "lower it or raise maxReplicaCount"));
    }
    let floor = spec.min_replica_count.map_or(0, |min| min.max(1));
    if let Some(idle) = spec.idle_replica_count
        && idle >= floor
    {
        let what = format!("{idle} is not less than minReplicaCount, which counts as {floor}");
        problems.push(Problem::new("spec.idleReplicaCount", what, "lower it, raise minReplicaCount, or leave it out"));
    }
}

/// KEDA's `ValidateTriggers`, and the words of the CRD.
fn triggers(triggers: &[Trigger], problems: &mut Vec<Problem>) {
    if triggers.is_empty() {
        problems.push(Problem::new("spec.triggers", "there is none", "add at least one trigger"));
    }
    let mut names = BTreeSet::new();
    for (at, trigger) in triggers.iter().enumerate() {
        let field = |name: &str| format!("spec.triggers[{at}].{name}");
        if trigger.kind.is_empty() {
            problems.push(Problem::new(field("type"), "it is empty", "name a scaler; `springtide scalers` lists them"));
        }
        if let Some(name) = trigger.name.as_deref().filter(|name| !name.is_empty())
            && !names.insert(name)
        {
            let what = format!("{name:?} is the name of another trigger too");
            problems.push(Problem::new(field("name"), what, "give each trigger a name of its own"));
        }
        if trigger.use_cached_metrics == Some(true) && matches!(trigger.kind.as_str(), "cpu" | "memory" | "cron") {
            let what = format!("{} cannot serve values that it read before", trigger.kind);
            problems.push(Problem::new(field("useCachedMetrics"), what, "leave it out"));
        }
        problems.extend(word(field("metricType"), trigger.metric_type.as_ref(), MetricType::WORDS));
        if let Some(reference) = &trigger.authentication_ref {
            if reference.name.is_empty() {
                problems.push(Problem::new(field("authenticationRef.name"), "it is empty", "name a TriggerAuthentication"));
            }
            if reference.kind().is_none() {
                problems.extend(word(field("authenticationRef.kind"), reference.kind.as_ref(), AuthenticationKind::WORDS));
            }
        }
    }
}

/// `Utilization` is for cpu and memory, which in turn know no total.
fn resource_triggers(triggers: &[Trigger], problems: &mut Vec<Problem>) {
    for (at, trigger) in triggers.iter().enumerate() {
        let what = match (trigger.is_resource(), trigger.metric_type.as_ref().and_then(Lenient::known)) {
            (false, Some(MetricType::Utilization)) => "Utilization is only for cpu and memory",
            (true, None | Some(MetricType::Value)) => "cpu and memory need Utilization or AverageValue",
            _ => continue,
        };
        let remedy =
            if trigger.is_resource() { "write Utilization or AverageValue" } else { "write AverageValue or Value, or leave it out" };
        problems.push(Problem::new(format!("spec.triggers[{at}].metricType"), what, remedy));
    }
}

/// KEDA's `CheckFallbackValid`.
fn check_fallback(fallback: &Fallback, spec: &ScaledObjectSpec, problems: &mut Vec<Problem>) {
    problems.extend(at_least("spec.fallback.failureThreshold", Some(fallback.failure_threshold), 0));
    problems.extend(at_least("spec.fallback.replicas", Some(fallback.replicas), 0));
    problems.extend(word("spec.fallback.behavior", fallback.behavior.as_ref(), FallbackBehavior::WORDS));
    let has_formula = spec.scaling_modifiers().is_some();
    if fallback.behavior() == FallbackBehavior::ScalingModifiers && !has_formula {
        let what = "scalingModifiers needs a formula";
        problems.push(Problem::new(
            "spec.fallback.behavior",
            what,
            "set spec.advanced.scalingModifiers.formula, or choose another behaviour",
        ));
    }
    if !has_formula && !spec.triggers.is_empty() && spec.triggers.iter().all(Trigger::is_resource) {
        let what = "a fallback is for triggers that read a broker, and there are only cpu and memory";
        problems.push(Problem::new("spec.fallback", what, "leave it out, or add another trigger"));
    }
}

/// KEDA's checks of a formula, without the formula itself, which is the decider's to compile.
fn check_modifiers(modifiers: &ScalingModifiers, problems: &mut Vec<Problem>) {
    let field = |name: &str| format!("spec.advanced.scalingModifiers.{name}");
    let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    let (formula, target) = (text(&modifiers.formula), text(&modifiers.target));
    if formula.is_none() && (target.is_some() || text(&modifiers.activation_target).is_some() || modifiers.metric_type.is_some()) {
        problems.push(Problem::new(field("formula"), "it is missing", "write an expression over the triggers' names"));
    }
    match target {
        None if formula.is_some() => {
            problems.push(Problem::new(field("target"), "it is missing", "write the number that the formula's value is divided by"));
        }
        Some(target) if target.parse().ok().is_none_or(|number: f64| !number.is_finite() || number <= 0.0) => {
            problems.push(Problem::new(field("target"), format!("{target:?} is not a number above 0"), "write a number above 0"));
        }
        _ => {}
    }
    if let Some(target) = text(&modifiers.activation_target)
        && target.parse().ok().is_none_or(|number: f64| !number.is_finite())
    {
        problems.push(Problem::new(field("activationTarget"), format!("{target:?} is not a number"), "write a number"));
    }
    problems.extend(word(field("metricType"), modifiers.metric_type.as_ref(), super::scaled_object::FormulaMetricType::WORDS));
}

/// What Kubernetes refuses in the behaviour of an HPA.
fn check_behavior(spec: &ScaledObjectSpec, problems: &mut Vec<Problem>) {
    let Some(behavior) = spec.behavior() else { return };
    for (name, rules) in [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)] {
        let Some(rules) = rules else { continue };
        let field = |rest: &str| format!("spec.advanced.horizontalPodAutoscalerConfig.behavior.{name}.{rest}");
        if let Some(window) = rules.stabilization_window_seconds
            && !(0..=WINDOW_S).contains(&window)
        {
            let what = format!("{window} is not between 0 and {WINDOW_S}");
            problems.push(Problem::new(field("stabilizationWindowSeconds"), what, "choose a shorter time, in seconds"));
        }
        if let Some(select) = rules.select_policy.as_deref()
            && !matches!(select, "Max" | "Min" | "Disabled")
        {
            problems.push(Problem::new(field("selectPolicy"), format!("{select:?} is unknown"), "write Max, Min or Disabled"));
        }
        if let Some(tolerance) = &rules.tolerance
            && crate::quantity::milli(&tolerance.0).is_ok_and(|milli| milli < 0) | crate::quantity::milli(&tolerance.0).is_err()
        {
            problems.push(Problem::new(field("tolerance"), format!("{:?} is not a share", tolerance.0), "write for example 0.1"));
        }
        for (at, policy) in rules.policies.iter().flatten().enumerate() {
            let field = |rest: &str| field(&format!("policies[{at}].{rest}"));
            if !matches!(policy.type_.as_str(), "Pods" | "Percent") {
                problems.push(Problem::new(field("type"), format!("{:?} is unknown", policy.type_), "write Pods or Percent"));
            }
            if policy.value <= 0 {
                problems.push(Problem::new(field("value"), format!("{} is not above 0", policy.value), "write 1 or more"));
            }
            if !(1..=PERIOD_S).contains(&policy.period_seconds) {
                let what = format!("{} is not between 1 and {PERIOD_S}", policy.period_seconds);
                problems.push(Problem::new(field("periodSeconds"), what, "choose another period, in seconds"));
            }
        }
    }
}

/// KEDA's `validateSpec` of authentications.
fn authentication(spec: &TriggerAuthenticationSpec, problems: &mut Vec<Problem>) {
    if let Some(identity) = &spec.pod_identity {
        pod_identity(identity, problems);
    }
    if let Some(oauth) = &spec.oauth2 {
        problems.extend(word("spec.oauth2.type", Some(&oauth.kind), super::authentication::OAuth2Type::WORDS));
        for (field, text) in [("spec.oauth2.clientId", &oauth.client_id), ("spec.oauth2.tokenUrl", &oauth.token_url)] {
            if text.is_empty() {
                problems.push(Problem::new(field, "it is empty", "write it as the authorization server gave it"));
            }
        }
        if oauth.client_secret.is_none() {
            let remedy = "refer to a key of a Secret with valueFrom.secretKeyRef";
            problems.push(Problem::new("spec.oauth2.clientSecret", "it is missing", remedy));
        }
    }
}

fn pod_identity(identity: &PodIdentity, problems: &mut Vec<Problem>) {
    problems.extend(word("spec.podIdentity.provider", Some(&identity.provider), IdentityProvider::WORDS));
    problems.extend(word("spec.podIdentity.identityOwner", identity.identity_owner.as_ref(), IdentityOwner::WORDS));
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(String::is_empty);
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    match identity.provider() {
        Some(IdentityProvider::AzureWorkload) => {
            for (field, text) in [("identityId", &identity.identity_id), ("identityTenantId", &identity.identity_tenant_id)] {
                if is_empty(text) {
                    problems.push(Problem::new(format!("spec.podIdentity.{field}"), "it is empty", "write it or leave it out"));
                }
            }
            if is_set(&identity.identity_authority_host) && !is_set(&identity.identity_tenant_id) {
                let what = "it needs identityTenantId";
                problems.push(Problem::new("spec.podIdentity.identityAuthorityHost", what, "set identityTenantId too"));
            }
        }
        Some(IdentityProvider::Aws) => {
            if is_set(&identity.role_arn) && identity.identity_owner() == IdentityOwner::Workload {
                let what = "with identityOwner workload the role is that of the target's ServiceAccount";
                problems.push(Problem::new("spec.podIdentity.roleArn", what, "leave out one of the two"));
            }
            if is_set(&identity.external_id) && !is_set(&identity.role_arn) {
                problems.push(Problem::new("spec.podIdentity.externalID", "it needs roleArn", "set roleArn too"));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
