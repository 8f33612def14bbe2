//! Parameters from clouds' stores of secrets, as a TriggerAuthentication names them.

use springtide_api::keda::TriggerAuthenticationSpec;
use springtide_api::keda::authentication::{self, ValueFromSecret};
use springtide_api::keda::vault::{AzureKeyVault, GcpSecretManager};
use springtide_scalers::store::{KeyVault, ManagerAccess, Named, SecretManager, Store, VaultAccess, VaultCloud};
use springtide_scalers::{Around, AuthParams, Error, PodIdentity, Secret};

use crate::identity;
use crate::kube::auth::{FromObject, Reader};

/// Where a store is named.
struct Place<'a> {
    /// The authentication, for messages.
    owner: &'a str,
    /// Where its Secrets lie.
    namespace: &'a str,
    /// Its field.
    field: &'static str,
}

/// A store's secrets by the parameters that they fill, and the store, or nothing where a problem was found.
type Wanted<'a> = (Vec<(&'a str, Named)>, Option<Box<dyn Store>>);

/// Adds what the stores of an authentication hold, later ones before earlier ones. `owner` and `namespace` are the authentication's.
pub async fn read(
    reader: &mut Reader,
    [owner, namespace]: [&str; 2],
    spec: &TriggerAuthenticationSpec,
    found: &mut AuthParams,
    problems: &mut Vec<String>,
) {
    if let Some(vault) = &spec.azure_key_vault {
        let place = Place { owner, namespace, field: "spec.azureKeyVault" };
        let wanted = vault.secrets.iter().map(|secret| (&*secret.parameter, named(&secret.name, &secret.version))).collect();
        let store = key_vault(reader, &place, vault, &found.around, problems).await;
        add(reader, &place, (wanted, store), found, problems).await;
    }
    if let Some(manager) = &spec.gcp_secret_manager {
        let place = Place { owner, namespace, field: "spec.gcpSecretManager" };
        let wanted = manager.secrets.iter().map(|secret| (&*secret.parameter, named(&secret.id, &secret.version))).collect();
        let store = secret_manager(reader, &place, manager, &found.around, problems).await;
        add(reader, &place, (wanted, store), found, problems).await;
    }
}

fn named(name: &str, version: &Option<String>) -> Named {
    Named { name: name.to_owned(), version: version.clone().filter(|version| !version.is_empty()) }
}

async fn key_vault(
    reader: &mut Reader,
    place: &Place<'_>,
    vault: &AzureKeyVault,
    around: &Around,
    problems: &mut Vec<String>,
) -> Option<Box<dyn Store>> {
    let cloud = match &vault.cloud {
        None => VaultCloud::named(""),
        Some(cloud) if cloud.kind.eq_ignore_ascii_case("private") => {
            let given = cloud.key_vault_resource_url.clone().zip(cloud.active_directory_endpoint.clone());
            given.map(|(resource, authority)| VaultCloud { resource, authority })
        }
        Some(cloud) => VaultCloud::named(&cloud.kind),
    };
    let Some(cloud) = cloud else {
        let remedy = "write AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, or Private with keyVaultResourceURL and activeDirectoryEndpoint";
        problems.push(place.problem("cloud", &format!("it names no cloud that is known; {remedy}")));
        return None;
    };
    let access = match place.identity(vault.pod_identity.as_ref(), around, problems)? {
        Some(PodIdentity::AzureWorkload(workload)) => VaultAccess::Workload(workload),
        Some(other) => {
            let what = format!("key vault does not support pod identity provider - {}; write azure-workload", other.provider());
            problems.push(place.problem("podIdentity.provider", &what));
            return None;
        }
        None => {
            let missing = "clientId, tenantId and clientSecret are expected when not using a pod identity provider; give them";
            let Some(given) = vault.credentials.as_ref().filter(|given| !given.client_id.is_empty() && !given.tenant_id.is_empty()) else {
                problems.push(place.problem("credentials", missing));
                return None;
            };
            let secret = place.secret(reader, &given.client_secret, problems).await?;
            VaultAccess::Application { client: given.client_id.clone(), tenant: given.tenant_id.clone(), secret }
        }
    };
    Some(Box::new(KeyVault::new(&vault.vault_uri, access, &cloud)))
}

async fn secret_manager(
    reader: &mut Reader,
    place: &Place<'_>,
    manager: &GcpSecretManager,
    around: &Around,
    problems: &mut Vec<String>,
) -> Option<Box<dyn Store>> {
    let access = match place.identity(manager.pod_identity.as_ref(), around, problems)? {
        Some(PodIdentity::Gcp(machine)) => ManagerAccess::Machine(machine),
        Some(other) => {
            let what = format!("gcp secret manager does not support pod identity provider - {}; write gcp", other.provider());
            problems.push(place.problem("podIdentity.provider", &what));
            return None;
        }
        None => {
            let Some(given) = &manager.credentials else {
                problems.push(place.problem("credentials", "clientSecret is expected when not using a pod identity provider; give it"));
                return None;
            };
            ManagerAccess::Key(place.secret(reader, &given.client_secret, problems).await?)
        }
    };
    Some(Box::new(SecretManager::new(access)))
}

impl Place<'_> {
    fn problem(&self, field: &str, what: &str) -> String {
        format!("{}: {}.{field}: {what}", self.owner, self.field)
    }

    /// Who the daemon is to the store: nobody by itself, where the inner value is none. Nothing where that cannot be said.
    fn identity(
        &self,
        words: Option<&authentication::PodIdentity>,
        around: &Around,
        problems: &mut Vec<String>,
    ) -> Option<Option<PodIdentity>> {
        let identity = words.and_then(|words| identity::typed(words, None));
        match identity.map(|identity| identity.here(around)).transpose() {
            Ok(identity) => Some(identity),
            Err(misfit) => {
                problems.push(self.problem("podIdentity", &misfit));
                None
            }
        }
    }

    /// What lies under a key of a Secret.
    async fn secret(&self, reader: &mut Reader, from: &ValueFromSecret, problems: &mut Vec<String>) -> Option<Secret> {
        let key = &from.value_from.secret_key_ref;
        let wanted = [FromObject::new("clientSecret", &key.name, &key.key)];
        let found = reader.parameters(&format!("{}: {}.credentials", self.owner, self.field), self.namespace, &wanted, &[], problems).await;
        found.texts.get("clientSecret").cloned()
    }
}

async fn add(reader: &mut Reader, place: &Place<'_>, (wanted, store): Wanted<'_>, found: &mut AuthParams, problems: &mut Vec<String>) {
    let Some(store) = store else { return };
    // No watch tells of it.
    reader.asked = true;
    let names: Vec<Named> = wanted.iter().map(|(_, named)| named.clone()).collect();
    let mut failed = |what: String, error: &Error| {
        reader.unanswered |= matches!(error, Error::Connect { .. } | Error::Ask { .. } | Error::Wait { .. });
        problems.push(format!("{}: {what}: {}", place.owner, error.chain()));
    };
    match store.read(&names).await {
        Err(error) => failed(place.field.to_owned(), &error),
        Ok(answers) => {
            for (i, ((parameter, _), answer)) in wanted.iter().zip(answers).enumerate() {
                match answer {
                    Ok(secret) => drop(found.texts.insert((*parameter).to_owned(), secret)),
                    Err(error) => failed(format!("{}.secrets[{i}], parameter {parameter}", place.field), &error),
                }
            }
        }
    }
}
