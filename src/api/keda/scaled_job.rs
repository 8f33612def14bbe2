//! ScaledJob: Jobs, one or more for each message.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use springtide_core::units::Replicas;

use super::trigger::{Trigger, TriggerActivity};
use super::{MAX_REPLICA_COUNT, POLLING_INTERVAL_S, replicas, seconds};
use crate::conditions::KedaCondition;
use crate::lenient::{Lenient, null_as_default, words};
use crate::schema;

/// Which Jobs are to be created, and by what.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "ScaledJob",
    plural = "scaledjobs",
    shortname = "sj",
    namespaced,
    status = "ScaledJobStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Jobs that are created as triggers ask for them.",
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.minReplicaCount"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.maxReplicaCount"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.conditions[?(@.type==\"Active\")].status"),
    printcolumn(name = "Paused", type_ = "string", json_path = ".status.conditions[?(@.type==\"Paused\")].status"),
    printcolumn(name = "Triggers", type_ = "string", json_path = ".status.triggersTypes"),
    printcolumn(name = "Authentications", type_ = "string", json_path = ".status.authenticationsTypes"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ScaledJobSpec {
    /// The Job to create, as in batch/v1.
    #[schemars(schema_with = "schema::job")]
    pub job_target_ref: JobSpec,
    /// Seconds between two readings of the triggers; 30 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub polling_interval: Option<i32>,
    /// How many Jobs that succeeded are kept; 100 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub successful_jobs_history_limit: Option<i32>,
    /// How many Jobs that failed are kept; 100 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub failed_jobs_history_limit: Option<i32>,
    /// What happens to running Jobs when this object changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The older place of rollout.strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_strategy: Option<Lenient<RolloutStrategy>>,
    /// The container whose environment the triggers' `...FromEnv` parameters name; the first one unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_source_container_name: Option<String>,
    /// Jobs that run whatever the triggers say; 0 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub min_replica_count: Option<i32>,
    /// Jobs at most; 100 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_replica_count: Option<i32>,
    /// How many Jobs a length of a queue means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling_strategy: Option<ScalingStrategy>,
    /// What to ask for demand.
    #[schemars(length(min = 1))]
    #[serde(deserialize_with = "null_as_default")]
    pub triggers: Vec<Trigger>,
}

/// The default of both history limits.
const HISTORY_LIMIT: i32 = 100;

impl ScaledJobSpec {
    /// Time between two readings of the triggers; 30 s unless set.
    #[must_use]
    pub fn polling_interval(&self) -> SignedDuration {
        seconds(self.polling_interval.unwrap_or(POLLING_INTERVAL_S))
    }

    /// How many Jobs that succeeded are kept; 100 unless set.
    #[must_use]
    pub fn successful_jobs_history_limit(&self) -> Replicas {
        replicas(self.successful_jobs_history_limit.unwrap_or(HISTORY_LIMIT))
    }

    /// How many Jobs that failed are kept; 100 unless set.
    #[must_use]
    pub fn failed_jobs_history_limit(&self) -> Replicas {
        replicas(self.failed_jobs_history_limit.unwrap_or(HISTORY_LIMIT))
    }

    /// Jobs that run whatever the triggers say: not more than are allowed at all, as in KEDA.
    #[must_use]
    pub fn min_replica_count(&self) -> Replicas {
        replicas(self.min_replica_count.unwrap_or(0)).min(self.written_max_replica_count())
    }

    /// Jobs at most beside those that always run. KEDA takes the minimum off the maximum where a maximum is written, and leaves its default of 100 whole.
    #[must_use]
    pub fn max_replica_count(&self) -> Replicas {
        match self.max_replica_count {
            Some(max) => replicas(max).minus(self.min_replica_count()),
            None => replicas(MAX_REPLICA_COUNT),
        }
    }

    fn written_max_replica_count(&self) -> Replicas {
        replicas(self.max_replica_count.unwrap_or(MAX_REPLICA_COUNT))
    }

    /// What happens to running Jobs when this object changes; `immediate` where nothing that we know was said. The newer place goes before the older.
    #[must_use]
    pub fn rollout_strategy(&self) -> RolloutStrategy {
        let newer = self.rollout.as_ref().and_then(|rollout| rollout.strategy.as_ref());
        newer.or(self.rollout_strategy.as_ref()).and_then(Lenient::known).copied().unwrap_or(RolloutStrategy::Immediate)
    }

    /// How Jobs of older generations are deleted; `background` where nothing that we know was said.
    #[must_use]
    pub fn propagation_policy(&self) -> PropagationPolicy {
        let policy = self.rollout.as_ref().and_then(|rollout| rollout.propagation_policy.as_ref());
        policy.and_then(Lenient::known).copied().unwrap_or(PropagationPolicy::Background)
    }

    /// How many Jobs a length of a queue means.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.scaling_strategy.as_ref().map_or(Strategy::Default, ScalingStrategy::strategy)
    }

    /// How the answers of several triggers become one.
    #[must_use]
    pub fn calculation(&self) -> Calculation {
        let calculation = self.scaling_strategy.as_ref().and_then(|strategy| strategy.multiple_scalers_calculation.as_ref());
        calculation.and_then(Lenient::known).copied().unwrap_or(Calculation::Max)
    }
}

words! {
    /// What happens to running Jobs when their ScaledJob changes.
    RolloutStrategy {
        /// They run to their end.
        Gradual = "gradual",
        /// They are deleted.
        Immediate = "immediate",
    }
}

words! {
    /// How Jobs are deleted.
    PropagationPolicy {
        /// After their pods.
        Foreground = "foreground",
        /// Before their pods.
        Background = "background",
    }
}

/// What happens to running Jobs when their ScaledJob changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Whether they go on; immediate (they do not) unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Lenient<RolloutStrategy>>,
    /// How they are deleted; background unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<Lenient<PropagationPolicy>>,
}

words! {
    /// How many Jobs a length of a queue means.
    Strategy {
        /// As many as the triggers want, without those that run.
        Default = "default",
        /// With a deduction and a share of those that run.
        Custom = "custom",
        /// For queues whose length does not count messages in work.
        Accurate = "accurate",
        /// As many as fit under the maximum.
        Eager = "eager",
    }
}

words! {
    /// How the answers of several triggers become one.
    Calculation {
        /// The least.
        Min = "min",
        /// The mean.
        Avg = "avg",
        /// All together.
        Sum = "sum",
        /// The most.
        Max = "max",
    }
}

/// How many Jobs a length of a queue means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingStrategy {
    /// The rule; default unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Lenient<Strategy>>,
    /// For custom: what is taken off the length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_scaling_queue_length_deduction: Option<i32>,
    /// For custom: the share of running Jobs that is taken off, as a number such as `0.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_scaling_running_job_percentage: Option<String>,
    /// Conditions that make a Job count as running although its pod is pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub pending_pod_conditions: Vec<String>,
    /// How the answers of several triggers become one; max unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple_scalers_calculation: Option<Lenient<Calculation>>,
}

impl ScalingStrategy {
    /// The rule. KEDA falls back to `default` for a word that it does not know, and for `custom` with a share that is no number.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        match self.strategy.as_ref().and_then(Lenient::known).copied().unwrap_or(Strategy::Default) {
            Strategy::Custom if self.running_job_share().is_none() => Strategy::Default,
            strategy => strategy,
        }
    }

    /// For custom: the share of running Jobs that is taken off; none where it is no number.
    #[must_use]
    pub fn running_job_share(&self) -> Option<f64> {
        self.custom_scaling_running_job_percentage.as_ref()?.parse().ok().filter(|share: &f64| share.is_finite())
    }
}

/// What was found and done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaledJobStatus {
    /// When some trigger was active last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active_time: Option<Time>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub conditions: Vec<KedaCondition>,
    /// Whether somebody paused it. Written with a capital letter, as KEDA does.
    #[serde(rename = "Paused", default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Names of the metrics that come from brokers.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub external_metric_names: Vec<String>,
    /// Which metrics were active.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub triggers_activity: BTreeMap<String, TriggerActivity>,
    /// The triggers' types, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggers_types: Option<String>,
    /// The authentications' names, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentications_types: Option<String>,
}
