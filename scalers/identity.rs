//! Who a trigger is to a cloud: what its TriggerAuthentication's `podIdentity` says, typed and without the object's other words.

pub(crate) mod aws;
pub(crate) mod azure;
pub(crate) mod gcp;

pub use azure::Workload;
pub use gcp::Machine;

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
    AzureWorkload(Workload),
    /// `gcp`: the daemon's own.
    Gcp(Machine),
}

/// What the daemon's surroundings say of its identities: clouds' webhooks put it there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// To Azure.
    pub azure: Workload,
    /// To Google.
    pub google: Machine,
}

impl PodIdentity {
    /// This one, with what it does not say from the surroundings.
    ///
    /// # Errors
    /// What is wrong and what to do: the proof of who the daemon is goes to nobody but Microsoft, or whom the daemon's own environment names.
    pub fn here(self, around: &Around) -> Result<Self, String> {
        match self {
            Self::AzureWorkload(workload) => workload.here(&around.azure).map(Self::AzureWorkload),
            Self::Gcp(machine) => Ok(Self::Gcp(machine.or(&around.google))),
            aws => Ok(aws),
        }
    }

    /// The word for it in a TriggerAuthentication.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        match self {
            Self::Aws { .. } => "aws",
            Self::AwsEks { .. } => "aws-eks",
            Self::AzureWorkload(_) => "azure-workload",
            Self::Gcp(_) => "gcp",
        }
    }
}
