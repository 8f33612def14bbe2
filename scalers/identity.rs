//! Who a trigger is to a cloud: what its TriggerAuthentication's `podIdentity` says, typed and without the object's other words.

pub(crate) mod aws;

/// An identity that the cloud gives to a pod: the daemon's own, or a role that it may take on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PodIdentity {
    /// `aws`: the role to take on, or the daemon's own where there is none. For the role of the target's ServiceAccount
    /// (`identityOwner: workload`) whoever can read ServiceAccounts has already put it here.
    Aws {
        /// ARN of the role.
        role: Option<String>,
        /// What the role's trust asks for.
        external_id: Option<String>,
    },
    /// `aws-eks`, the older way: the role of the target's ServiceAccount, unless the trigger's `identityOwner` is `operator`.
    AwsEks {
        /// ARN of the role; none where it is not known.
        role: Option<String>,
    },
    /// `azure-workload`: by the daemon's federated token.
    AzureWorkload {
        /// The identity's client id, where it is not the one that the environment names.
        client: Option<String>,
        /// Its tenant, likewise.
        tenant: Option<String>,
        /// Where tokens come from, likewise.
        authority: Option<String>,
    },
    /// `gcp`: the daemon's own.
    Gcp,
}

impl PodIdentity {
    /// The word for it in a TriggerAuthentication.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        match self {
            Self::Aws { .. } => "aws",
            Self::AwsEks { .. } => "aws-eks",
            Self::AzureWorkload { .. } => "azure-workload",
            Self::Gcp => "gcp",
        }
    }
}
