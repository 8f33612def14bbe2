//! Who a trigger is to AWS, for every scaler that asks one of its services: keys, a role, or whoever the daemon is by itself.

#[cfg(feature = "clients")]
mod client;

#[cfg(feature = "clients")]
pub(crate) use client::{Service, refusal};

use super::PodIdentity;
use crate::field::choice;
use crate::parameter::{Fields, IDENTITY, Parameter, parameters};
use crate::secret::Secret;

choice! {
    /// Whose identity a trigger uses that has no `podIdentity`.
    enum Owner {
        /// Its own: keys or a role of its TriggerAuthentication.
        Pod = "pod",
        /// The daemon's.
        Operator = "operator",
    }
}

parameters! {
    /// How a trigger shows AWS who it is.
    struct Login, draft Draft {
        /// The region that is asked, such as eu-west-1.
        region: String = "awsRegion", from Metadata Auth;
        /// The access key.
        key: Option<Secret> = "awsAccessKeyID", from Metadata Auth Environment;
        /// The access key; another spelling.
        same_key: Option<Secret> = "awsAccessKeyId", from Auth;
        /// The access key's secret.
        secret: Option<Secret> = "awsSecretAccessKey", from Auth Environment;
        /// The token that goes with keys for a while.
        token: Option<Secret> = "awsSessionToken", from Auth;
        /// ARN of a role to take on, as whoever the daemon is; podIdentity with provider aws goes before it.
        role: Option<String> = "awsRoleArn", from Auth;
        /// Whose identity is shown: pod, as where nothing is said, what the TriggerAuthentication gives; operator, the daemon's own (a role of its ServiceAccount, by web identity
        /// or EKS Pod Identity, or that of its machine).
        owner: Option<Owner> = "identityOwner", from Metadata;
    }
}

pub(crate) const PARAMETERS: &[Parameter] = Login::PARAMETERS;

/// An identity in a region. Two that are equal are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// The region that is asked; none where the daemon's environment names it.
    pub region: Option<String>,
    pub way: Way,
}

/// How one shows who one is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// By keys.
    Keys { id: Secret, secret: Secret, token: Option<Secret> },
    /// As whoever the daemon is: what its environment, its ServiceAccount or its machine gives it.
    Own,
    /// By a role, which the daemon takes on.
    Role { arn: String, external_id: Option<String> },
}

impl Identity {
    /// Reads a trigger's. All that is wrong is left behind as problems.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let draft = Draft::read(fields);
        let identity = fields.identity();
        // What is given by the authentication goes before keys, as in KEDA.
        let way = match identity {
            Some(PodIdentity::Aws { role, external_id }) => Some(match role {
                Some(arn) => Way::Role { arn: arn.clone(), external_id: external_id.clone() },
                None => draft.role.clone().flatten().map_or(Way::Own, |arn| Way::Role { arn, external_id: None }),
            }),
            Some(PodIdentity::AwsEks { .. }) | None if draft.owner == Some(Some(Owner::Operator)) => Some(Way::Own),
            Some(PodIdentity::AwsEks { role: Some(arn) }) => Some(Way::Role { arn: arn.clone(), external_id: None }),
            Some(PodIdentity::AwsEks { role: None }) | None => draft.by_keys_or_role(fields),
            Some(other) => {
                let what = format!("provider {} says nothing to AWS", other.provider());
                fields.problem(IDENTITY, what, "write provider: aws, or give keys by secretTargetRef");
                None
            }
        };
        let Login { region, .. } = draft.finish()?;
        Some(Self { region: Some(region), way: way? })
    }
}

impl Draft {
    fn by_keys_or_role(&self, fields: &mut Fields<'_>) -> Option<Way> {
        if let Some(arn) = self.role.clone()? {
            return Some(Way::Role { arn, external_id: None });
        }
        let (id, secret) = (self.key.clone()?.or(self.same_key.clone()?), self.secret.clone()?);
        let elsewhere = "or leave keys away and give podIdentity with provider aws in a TriggerAuthentication, or identityOwner: operator";
        if id.is_none() {
            fields.problem(
                "awsAccessKeyID",
                "is missing",
                format!("give it with awsSecretAccessKey in a TriggerAuthentication, {elsewhere}"),
            );
        } else if secret.is_none() {
            let remedy = format!("give it in a TriggerAuthentication or by awsSecretAccessKeyFromEnv, {elsewhere}");
            fields.problem("awsSecretAccessKey", "is missing", remedy);
        }
        Some(Way::Keys { id: id?, secret: secret?, token: self.token.clone()? })
    }
}
