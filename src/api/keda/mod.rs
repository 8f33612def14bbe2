//! KEDA's kinds, `keda.sh/v1alpha1`: what is to be scaled, by which triggers, with which credentials.

pub mod authentication;
pub mod scaled_job;
pub mod scaled_object;
pub mod trigger;
pub mod validate;
pub mod vault;

pub use authentication::{
    ClusterTriggerAuthentication, ClusterTriggerAuthenticationSpec, TriggerAuthentication, TriggerAuthenticationSpec,
    TriggerAuthenticationStatus,
};
pub use scaled_job::{ScaledJob, ScaledJobSpec, ScaledJobStatus};
pub use scaled_object::{ScaledObject, ScaledObjectSpec, ScaledObjectStatus};
pub use trigger::{AuthenticationRef, Trigger};

use jiff::SignedDuration;
use springtide_core::units::Replicas;

/// Seconds as a duration; what is negative counts as none.
fn seconds(value: i32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(value.max(0)))
}

/// A count as replicas; what is negative counts as none.
fn replicas(value: i32) -> Replicas {
    Replicas(u32::try_from(value).unwrap_or(0))
}

/// The default of `pollingInterval`, in seconds.
const POLLING_INTERVAL_S: i32 = 30;
/// The default of `maxReplicaCount`.
const MAX_REPLICA_COUNT: i32 = 100;
