//! KWOKNodeClass: machines that are none, of Karpenter's kwok provider.

use jiff::SignedDuration;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spans::PlainDuration;
use crate::conditions::Condition;
use crate::lenient::{Lenient, null_as_default};
use crate::schema;

/// What is in a KWOKNodeClass beside its metadata and status. Its `spec` may be missing, which the usual form of a custom resource has no place for.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "karpenter.kwok.sh",
    version = "v1alpha1",
    kind = "KWOKNodeClass",
    root = "KwokNodeClass",
    plural = "kwoknodeclasses",
    category = "karpenter",
    shortname = "kwoknc",
    shortname = "kwokncs",
    no_spec,
    status = "KwokNodeClassStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Machines that are none, for tests at scale."
)]
pub struct KwokNodeClassFields {
    /// What the machines do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<KwokNodeClassSpec>,
}

impl KwokNodeClassFields {
    /// How long a machine takes until its node registers; no time unless set, and where what was written is no duration.
    #[must_use]
    pub fn node_registration_delay(&self) -> SignedDuration {
        let delay = self.spec.as_ref().and_then(|spec| spec.node_registration_delay.as_ref());
        delay.and_then(Lenient::known).map_or(SignedDuration::ZERO, |delay| delay.0)
    }
}

/// What machines that are none do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KwokNodeClassSpec {
    /// How long a machine takes until its node registers; no time unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_registration_delay: Option<Lenient<PlainDuration>>,
}

/// Whether it can be used. The CRD's default says that it can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("default" = { "conditions": [{
    "lastTransitionTime": "2024-01-01T01:01:01Z",
    "message": "",
    "reason": "Ready",
    "status": "True",
    "type": "Ready",
}] }))]
pub struct KwokNodeClassStatus {
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
