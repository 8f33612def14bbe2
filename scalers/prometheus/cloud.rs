//! Who we are to a cloud's managed Prometheus: Azure's and Google's want tokens.

use crate::azure::Cloud;
use crate::http::Login;
use crate::identity::PodIdentity;
use crate::identity::azure::Federated;
use crate::identity::gcp::{Account, AccountKey, Google, MONITORING_READ};
use crate::oauth2::Issuer;
use crate::parameter::{Fields, IDENTITY};
use crate::secret::Secret;

/// What a trigger says of it.
pub(super) struct Words {
    pub cloud: Option<Cloud>,
    /// What an Azure token is for, in a private cloud.
    pub resource: Option<String>,
    /// A service account's key as JSON, from one of the places where it may be.
    pub key: Option<Secret>,
}

/// The login, if there is one. Whoever has another, which `has_login` says, may not have an identity too, and a key of Google's is passed over, as in KEDA.
pub(super) fn login(fields: &mut Fields<'_>, words: Words, has_login: bool) -> Option<Login> {
    // Others say so for identities that are not asked for.
    if matches!(fields.identity_of(), None | Some(PodIdentity::Aws { .. } | PodIdentity::AwsEks { .. })) {
        let key = words.key.filter(|_| !has_login && fields.identity_of().is_none())?;
        return match AccountKey::parse(key.expose()) {
            Ok(key) => Some(google(Account::Key(key))),
            Err(reason) => {
                let (what, remedy) = reason.split_once("; ").unwrap_or((&reason, "correct it"));
                fields.problem("GoogleApplicationCredentials", what, remedy);
                None
            }
        };
    }
    let identity = fields.identity_here()?;
    if has_login {
        fields.problem(IDENTITY, "pod identity cannot be enabled with other auth types", "take authModes away, or the identity");
        return None;
    }
    match identity {
        PodIdentity::AzureWorkload(workload) => {
            let resource = match (words.cloud.unwrap_or(Cloud::Public), words.resource) {
                (Cloud::Public, _) => "https://prometheus.monitor.azure.com".to_owned(),
                (Cloud::UsGovernment, _) => "https://prometheus.monitor.azure.us".to_owned(),
                (Cloud::China, _) => "https://prometheus.monitor.azure.cn".to_owned(),
                (Cloud::Private, Some(resource)) => resource,
                (Cloud::Private, None) => {
                    let what = "is missing: azureManagedPrometheusResourceURL must be provided for Private cloud type";
                    fields.problem("azureManagedPrometheusResourceURL", what, "give what a token for the server is good for");
                    return None;
                }
                (Cloud::German, _) => {
                    fields.problem("cloud", "azure managed prometheus is not available in cloud AzureGermanCloud", "write another cloud");
                    return None;
                }
            };
            Some(Login::Token(Issuer::Azure(Federated::new(workload, &resource))))
        }
        PodIdentity::Gcp(machine) => Some(google(Account::Machine(machine))),
        PodIdentity::Aws { .. } | PodIdentity::AwsEks { .. } => None,
    }
}

const fn google(account: Account) -> Login {
    Login::Token(Issuer::Google(Google { account, scope: MONITORING_READ }))
}
