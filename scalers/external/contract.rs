//! KEDA's contract for external scalers (package `externalscaler`, service `ExternalScaler`): its messages by their field numbers, and the paths of its
//! methods.

use std::collections::HashMap;

/// Unary: [`Subject`] to [`Active`].
pub(super) const IS_ACTIVE: &str = "/externalscaler.ExternalScaler/IsActive";
/// Streaming: [`Subject`] to many [`Active`].
pub(super) const STREAM_IS_ACTIVE: &str = "/externalscaler.ExternalScaler/StreamIsActive";
/// Unary: [`Subject`] to [`Specs`].
pub(super) const GET_METRIC_SPEC: &str = "/externalscaler.ExternalScaler/GetMetricSpec";
/// Unary: [`Wanted`] to [`Values`].
pub(super) const GET_METRICS: &str = "/externalscaler.ExternalScaler/GetMetrics";
/// Streaming, and not offered by every scaler: [`Subject`] to many [`Specs`].
pub(super) const STREAM_METRIC_SPEC: &str = "/externalscaler.ExternalScaler/StreamMetricSpec";

/// `ScaledObjectRef`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Subject {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(map = "string, string", tag = "3")]
    pub scaler_metadata: HashMap<String, String>,
}

/// `IsActiveResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Active {
    #[prost(bool, tag = "1")]
    pub result: bool,
}

/// `GetMetricSpecResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Specs {
    #[prost(message, repeated, tag = "1")]
    pub metric_specs: Vec<Spec>,
}

/// `MetricSpec`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Spec {
    #[prost(string, tag = "1")]
    pub metric_name: String,
    /// Deprecated by the contract; it counts where the other is not greater than 0.
    #[prost(int64, tag = "2")]
    pub target_size: i64,
    #[prost(double, tag = "3")]
    pub target_size_float: f64,
}

/// `GetMetricsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Wanted {
    #[prost(message, optional, tag = "1")]
    pub scaled_object_ref: Option<Subject>,
    #[prost(string, tag = "2")]
    pub metric_name: String,
}

/// `GetMetricsResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Values {
    #[prost(message, repeated, tag = "1")]
    pub metric_values: Vec<Value>,
}

/// `MetricValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub metric_name: String,
    /// Deprecated by the contract; it counts where the other is not greater than 0.
    #[prost(int64, tag = "2")]
    pub metric_value: i64,
    #[prost(double, tag = "3")]
    pub metric_value_float: f64,
}

impl Spec {
    #[expect(clippy::cast_precision_loss, reason = "the HPA computes in doubles")]
    pub(super) fn target(&self) -> f64 {
        if self.target_size_float > 0.0 { self.target_size_float } else { self.target_size as f64 }
    }
}

impl Value {
    #[expect(clippy::cast_precision_loss, reason = "the HPA computes in doubles")]
    pub(super) fn number(&self) -> f64 {
        if self.metric_value_float > 0.0 { self.metric_value_float } else { self.metric_value as f64 }
    }
}
