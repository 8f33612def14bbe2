//! ScaledObject: a workload whose replicas follow its triggers.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use springtide_core::units::Replicas;

use super::trigger::{MetricType, Trigger, TriggerActivity};
use super::{MAX_REPLICA_COUNT, POLLING_INTERVAL_S, replicas, seconds};
use crate::conditions::KedaCondition;
use crate::lenient::{Lenient, null_as_default, words};
use crate::schema;

/// What is to be scaled, and by what.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "ScaledObject",
    plural = "scaledobjects",
    shortname = "so",
    namespaced,
    status = "ScaledObjectStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A workload whose replicas follow its triggers.",
    printcolumn(name = "ScaleTargetKind", type_ = "string", json_path = ".status.scaleTargetKind"),
    printcolumn(name = "ScaleTargetName", type_ = "string", json_path = ".spec.scaleTargetRef.name"),
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.minReplicaCount"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.maxReplicaCount"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.conditions[?(@.type==\"Active\")].status"),
    printcolumn(name = "Fallback", type_ = "string", json_path = ".status.conditions[?(@.type==\"Fallback\")].status"),
    printcolumn(name = "Paused", type_ = "string", json_path = ".status.conditions[?(@.type==\"Paused\")].status"),
    printcolumn(name = "Triggers", type_ = "string", json_path = ".status.triggersTypes"),
    printcolumn(name = "Authentications", type_ = "string", json_path = ".status.authenticationsTypes"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "minReplicaCount must be less than or equal to maxReplicaCount",
    "rule": "!has(self.minReplicaCount) || self.minReplicaCount <= (has(self.maxReplicaCount) ? self.maxReplicaCount : 100)",
}]))]
pub struct ScaledObjectSpec {
    /// What is scaled.
    pub scale_target_ref: ScaleTarget,
    /// Seconds between two readings of the triggers; 30 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub polling_interval: Option<i32>,
    /// Seconds after the creation of this object during which the replicas do not go to none; 0 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub initial_cooldown_period: Option<i32>,
    /// Seconds after the last activity until the replicas go to none, or to idleReplicaCount; 300 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub cooldown_period: Option<i32>,
    /// Replicas while no trigger is active. Less than minReplicaCount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub idle_replica_count: Option<i32>,
    /// Replicas at least; 0 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_replica_count: Option<i32>,
    /// Replicas at most; 100 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replica_count: Option<i32>,
    /// How the replicas move, and formulas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
    /// What to ask for demand. The trigger that wants most decides.
    #[schemars(length(min = 1))]
    #[serde(deserialize_with = "null_as_default")]
    pub triggers: Vec<Trigger>,
    /// Replicas while a trigger cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

impl ScaledObjectSpec {
    /// Time between two readings of the triggers; 30 s unless set.
    #[must_use]
    pub fn polling_interval(&self) -> SignedDuration {
        seconds(self.polling_interval.unwrap_or(POLLING_INTERVAL_S))
    }

    /// Time after the last activity until the replicas go to none; 300 s unless set.
    #[must_use]
    pub fn cooldown_period(&self) -> SignedDuration {
        seconds(self.cooldown_period.unwrap_or(300))
    }

    /// Time after creation during which the replicas do not go to none; 0 unless set.
    #[must_use]
    pub fn initial_cooldown_period(&self) -> SignedDuration {
        seconds(self.initial_cooldown_period.unwrap_or(0))
    }

    /// Replicas while no trigger is active, where that was set.
    #[must_use]
    pub fn idle_replica_count(&self) -> Option<Replicas> {
        self.idle_replica_count.map(replicas)
    }

    /// Replicas at least; 0 unless set.
    #[must_use]
    pub fn min_replica_count(&self) -> Replicas {
        replicas(self.min_replica_count.unwrap_or(0))
    }

    /// Replicas at most; 100 unless set.
    #[must_use]
    pub fn max_replica_count(&self) -> Replicas {
        replicas(self.max_replica_count.unwrap_or(MAX_REPLICA_COUNT))
    }

    /// Whether the replicas that there were before are restored when this object is deleted.
    #[must_use]
    pub fn restores_original_replica_count(&self) -> bool {
        self.advanced.as_ref().and_then(|advanced| advanced.restore_to_original_replica_count).unwrap_or(false)
    }

    /// How fast replicas may be added and removed, where that was set.
    #[must_use]
    pub fn behavior(&self) -> Option<&HorizontalPodAutoscalerBehavior> {
        self.advanced.as_ref()?.horizontal_pod_autoscaler_config.as_ref()?.behavior.as_ref()
    }

    /// The formula over the triggers, where there is one. KEDA takes an empty formula as none.
    #[must_use]
    pub fn scaling_modifiers(&self) -> Option<&ScalingModifiers> {
        let modifiers = self.advanced.as_ref()?.scaling_modifiers.as_ref()?;
        modifiers.formula.as_ref().is_some_and(|formula| !formula.is_empty()).then_some(modifiers)
    }
}

/// A workload with a `/scale` subresource, in the namespace of the ScaledObject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTarget {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its API version; `apps/v1` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Its kind; `Deployment` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The container whose environment the triggers' `...FromEnv` parameters name; the first one unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_source_container_name: Option<String>,
}

impl ScaleTarget {
    /// API version; `apps/v1` unless set.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.api_version.as_deref().filter(|text| !text.is_empty()).unwrap_or("apps/v1")
    }

    /// Kind; `Deployment` unless set.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_deref().filter(|text| !text.is_empty()).unwrap_or("Deployment")
    }
}

/// What few need to set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// How fast replicas may be added and removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizontal_pod_autoscaler_config: Option<AutoscalerConfig>,
    /// Whether the replicas that there were before are restored when this object is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_to_original_replica_count: Option<bool>,
    /// A formula that makes one metric of the triggers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_modifiers: Option<ScalingModifiers>,
}

/// What KEDA hands on to its HPA.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AutoscalerConfig {
    /// Name of the HPA. Accepted and without effect, as there is no HPA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How fast replicas may be added and removed, in the terms of autoscaling/v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::behavior")]
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

words! {
    /// What a formula's target means.
    FormulaMetricType {
        /// So much for each replica.
        AverageValue = "AverageValue",
        /// So much in all.
        Value = "Value",
    }
}

impl From<FormulaMetricType> for MetricType {
    fn from(kind: FormulaMetricType) -> Self {
        match kind {
            FormulaMetricType::AverageValue => Self::AverageValue,
            FormulaMetricType::Value => Self::Value,
        }
    }
}

/// A formula that makes one metric of the triggers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingModifiers {
    /// An expression over the triggers' names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// What its value is divided by; a number above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The value above which the workload is active; 0 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_target: Option<String>,
    /// What the target means; AverageValue unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<Lenient<FormulaMetricType>>,
}

impl ScalingModifiers {
    /// What the target means; AverageValue where nothing that we know was said.
    #[must_use]
    pub fn metric_type(&self) -> MetricType {
        self.metric_type.as_ref().and_then(Lenient::known).copied().map_or(MetricType::AverageValue, MetricType::from)
    }
}

words! {
    /// Which replicas a fallback gives.
    FallbackBehavior {
        /// Those of the fallback.
        Static = "static",
        /// Those that there are.
        CurrentReplicas = "currentReplicas",
        /// Those that there are, if they are more than the fallback's.
        CurrentReplicasIfHigher = "currentReplicasIfHigher",
        /// Those that there are, if they are fewer than the fallback's.
        CurrentReplicasIfLower = "currentReplicasIfLower",
        /// What the formula makes of a missing value.
        ScalingModifiers = "scalingModifiers",
    }
}

/// Replicas while a trigger cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// More failures than this, one after another, and the fallback is in force.
    #[schemars(range(min = 0))]
    pub failure_threshold: i32,
    /// How many replicas.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Which replicas; static unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "static"))]
    pub behavior: Option<Lenient<FallbackBehavior>>,
}

impl Fallback {
    /// Which replicas; static where nothing that we know was said, as in KEDA.
    #[must_use]
    pub fn behavior(&self) -> FallbackBehavior {
        self.behavior.as_ref().and_then(Lenient::known).copied().unwrap_or(FallbackBehavior::Static)
    }

    /// How many replicas.
    #[must_use]
    pub fn replicas(&self) -> Replicas {
        replicas(self.replicas)
    }
}

/// What was found and done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObjectStatus {
    /// API version and kind of the target, as `apps/v1.Deployment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_target_kind: Option<String>,
    /// Where the API server serves the target.
    #[serde(rename = "scaleTargetGVKR", default, skip_serializing_if = "Option::is_none")]
    pub scale_target_gvkr: Option<GroupVersionKindResource>,
    /// Replicas before the first scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_replica_count: Option<i32>,
    /// When some trigger was active last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active_time: Option<Time>,
    /// Names of the metrics that come from brokers.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub external_metric_names: Vec<String>,
    /// Names of the metrics that come from the pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub resource_metric_names: Vec<String>,
    /// Name of the metric that a formula makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composite_scaler_name: Option<String>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub conditions: Vec<KedaCondition>,
    /// How reading each metric goes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub health: BTreeMap<String, Health>,
    /// Which metrics were active.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub triggers_activity: BTreeMap<String, TriggerActivity>,
    /// The replicas that somebody paused it at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_replica_count: Option<i32>,
    /// Name of the HPA. Empty where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpa_name: Option<String>,
    /// The triggers' types, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggers_types: Option<String>,
    /// The authentications' names, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentications_types: Option<String>,
}

/// Where the API server serves a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct GroupVersionKindResource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub resource: String,
}

/// How reading one metric goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Failures since the last success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_of_failures: Option<i32>,
    /// Happy or Failing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub status: Option<Lenient<HealthStatus>>,
}

words! {
    /// Whether a metric can be read.
    HealthStatus {
        /// The last reading succeeded.
        Happy = "Happy",
        /// It failed.
        Failing = "Failing",
    }
}
