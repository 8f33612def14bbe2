//! Who a trigger is to a cloud, from the words of a TriggerAuthentication to the scalers' type. For the daemon and for those that only read files alike.

use springtide_api::keda::authentication::{self, IdentityOwner, IdentityProvider};
use springtide_scalers::{Machine, PodIdentity, Workload};

/// Whether the role is that of the target's ServiceAccount, which only a cluster tells.
#[must_use]
pub fn is_workloads(identity: &authentication::PodIdentity) -> bool {
    match identity.provider() {
        Some(IdentityProvider::Aws) => identity.identity_owner() == IdentityOwner::Workload,
        Some(IdentityProvider::AwsEks) => true,
        _ => false,
    }
}

/// The identity; none for the provider `none`, and for one that we do not know. `role` is that of the target's ServiceAccount, where it [counts](is_workloads)
/// and is known.
#[must_use]
pub fn typed(identity: &authentication::PodIdentity, role: Option<String>) -> Option<PodIdentity> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Some(match identity.provider()? {
        IdentityProvider::Aws if is_workloads(identity) => PodIdentity::Aws { role, external_id: None },
        IdentityProvider::Aws => PodIdentity::Aws { role: given(&identity.role_arn), external_id: given(&identity.external_id) },
        IdentityProvider::AwsEks => PodIdentity::AwsEks { role },
        IdentityProvider::AzureWorkload => PodIdentity::AzureWorkload(Workload {
            client: given(&identity.identity_id),
            tenant: given(&identity.identity_tenant_id),
            authority: given(&identity.identity_authority_host),
            token_file: None,
        }),
        IdentityProvider::Gcp => PodIdentity::Gcp(Machine::default()),
        IdentityProvider::None => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_the_identity_they_mean() {
        let (own, role) = (PodIdentity::Aws { role: None, external_id: None }, Some("arn:aws:iam::1:role/theirs".to_owned()));
        for (words, expected) in [
            (r#"{"provider":"none"}"#, None),
            (r#"{"provider":"nonsense"}"#, None),
            (r#"{"provider":"gcp"}"#, Some(PodIdentity::Gcp(Machine::default()))),
            (r#"{"provider":"aws","roleArn":"","externalID":""}"#, Some(own)),
            (
                r#"{"provider":"aws","roleArn":"arn:x","externalID":"e"}"#,
                Some(PodIdentity::Aws { role: Some("arn:x".to_owned()), external_id: Some("e".to_owned()) }),
            ),
            (r#"{"provider":"aws","identityOwner":"workload"}"#, Some(PodIdentity::Aws { role: role.clone(), external_id: None })),
            (r#"{"provider":"aws-eks"}"#, Some(PodIdentity::AwsEks { role: role.clone() })),
            (
                r#"{"provider":"azure-workload","identityId":"c","identityTenantId":"t","identityAuthorityHost":"https://a/"}"#,
                Some(PodIdentity::AzureWorkload(Workload {
                    client: Some("c".to_owned()),
                    tenant: Some("t".to_owned()),
                    authority: Some("https://a/".to_owned()),
                    token_file: None,
                })),
            ),
        ] {
            let identity = serde_json::from_str(words).expect(words);
            assert_eq!(typed(&identity, role.clone()), expected, "{words}");
        }
    }
}
