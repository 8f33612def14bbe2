//! Triggers: what to ask, and how the answer becomes replicas. ScaledObjects and ScaledJobs have the same.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Lenient, without_nulls, words};

words! {
    /// What a metric's target means.
    MetricType {
        /// So much for each replica.
        AverageValue = "AverageValue",
        /// So much in all.
        Value = "Value",
        /// A share of what the pods request, in percent. Only for `cpu` and `memory`.
        Utilization = "Utilization",
    }
}

words! {
    /// The kind of an authentication.
    AuthenticationKind {
        /// In the namespace of the object that refers to it.
        TriggerAuthentication = "TriggerAuthentication",
        /// For all namespaces.
        ClusterTriggerAuthentication = "ClusterTriggerAuthentication",
    }
}

/// One source of demand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Which scaler reads it, such as `rabbitmq` or `aws-sqs-queue`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    pub kind: String,
    /// A name of its own, by which a formula speaks of it. Unique among the triggers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether a value that was read a moment ago may serve again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_cached_metrics: Option<bool>,
    /// The scaler's parameters. All are texts; the scaler knows what they mean.
    #[serde(deserialize_with = "without_nulls")]
    pub metadata: BTreeMap<String, String>,
    /// Where its credentials are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication_ref: Option<AuthenticationRef>,
    /// What its target means: AverageValue (the default), Value, or Utilization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub metric_type: Option<Lenient<MetricType>>,
}

impl Trigger {
    /// What its target means; AverageValue where nothing that we know was said.
    #[must_use]
    pub fn metric_type(&self) -> MetricType {
        self.metric_type.as_ref().and_then(Lenient::known).copied().unwrap_or(MetricType::AverageValue)
    }

    /// The same as it is written, where anything that we know was said.
    #[must_use]
    pub fn metric_type_given(&self) -> Option<&'static str> {
        self.metric_type.as_ref().and_then(Lenient::known).map(|known| known.as_str())
    }

    /// Whether it measures the pods themselves rather than work that waits for them.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        matches!(self.kind.as_str(), "cpu" | "memory")
    }
}

/// A reference to an authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticationRef {
    /// Its name.
    pub name: String,
    /// TriggerAuthentication (the default) or ClusterTriggerAuthentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Lenient<AuthenticationKind>>,
}

impl AuthenticationRef {
    /// Which kind is meant; none where the text names neither. KEDA takes an empty text as the default.
    #[must_use]
    pub fn kind(&self) -> Option<AuthenticationKind> {
        match &self.kind {
            None => Some(AuthenticationKind::TriggerAuthentication),
            Some(Lenient::Other(text)) if text.is_empty() => Some(AuthenticationKind::TriggerAuthentication),
            Some(kind) => kind.known().copied(),
        }
    }
}

/// Whether a trigger was active when it was read last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerActivity {
    /// Whether it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
}
