//! Credentials that lie outside of the cluster: HashiCorp Vault and the clouds' secret managers.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authentication::{PodIdentity, ValueFromSecret};
use crate::lenient::{Lenient, null_as_default, words};

/// A secret that was written into an object in the open. It is not printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OpenSecret(
    /// The secret itself.
    pub String,
);

impl fmt::Debug for OpenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

words! {
    /// How Vault knows the daemon.
    VaultAuthentication {
        /// By a token.
        Token = "token",
        /// By a ServiceAccount.
        Kubernetes = "kubernetes",
    }
}

/// Secrets of HashiCorp Vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HashiCorpVault {
    /// Its URL.
    pub address: String,
    /// How it knows the daemon.
    pub authentication: Lenient<VaultAuthentication>,
    /// What to read.
    #[schemars(length(min = 1))]
    pub secrets: Vec<VaultSecret>,
    /// Vault's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What the daemon shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<VaultCredential>,
    /// The role to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where Kubernetes logins are mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

/// What the daemon shows to Vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultCredential {
    /// A token of Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<OpenSecret>,
    /// Path of a file with a ServiceAccount's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Name of a ServiceAccount to ask a token for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
}

words! {
    /// Which engine a secret of Vault comes from.
    VaultSecretType {
        /// To be found out.
        Generic = "",
        /// Key and value, version 2.
        SecretV2 = "secretV2",
        /// Key and value, version 1.
        Secret = "secret",
        /// Certificates.
        Pki = "pki",
    }
}

/// One secret of Vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultSecret {
    /// The scaler's parameter that it fills.
    pub parameter: String,
    /// Where it lies.
    pub path: String,
    /// The key in it.
    pub key: String,
    /// Which engine it comes from; found out unless set.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Lenient<VaultSecretType>>,
    /// For pki: the certificate to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pki_data: Option<PkiData>,
}

/// A certificate to ask Vault for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are those of Vault's parameters")]
pub struct PkiData {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alt_names: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_sans: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri_sans: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_sans: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Secrets of Azure Key Vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureKeyVault {
    /// The vault's URL.
    pub vault_uri: String,
    /// What to read.
    #[schemars(length(min = 1))]
    pub secrets: Vec<NamedSecret>,
    /// Who the daemon is, by a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<AzureCredentials>,
    /// Who the daemon is, without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity: Option<PodIdentity>,
    /// Which of Azure's clouds it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<AzureCloud>,
}

/// One secret by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedSecret {
    /// The scaler's parameter that it fills.
    pub parameter: String,
    /// Its name.
    pub name: String,
    /// Its version; the latest unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// An application of Azure and its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureCredentials {
    /// The application's id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: ValueFromSecret,
    /// Its tenant.
    pub tenant_id: String,
}

/// One of Azure's clouds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureCloud {
    /// Its name; `Private` for one that the other fields describe.
    #[serde(rename = "type")]
    pub kind: String,
    /// Private: what a token for the vault is good for.
    #[serde(rename = "keyVaultResourceURL", default, skip_serializing_if = "Option::is_none")]
    pub key_vault_resource_url: Option<String>,
    /// Private: where tokens come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_directory_endpoint: Option<String>,
}

/// Secrets of Google's Secret Manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpSecretManager {
    /// What to read.
    #[schemars(length(min = 1))]
    pub secrets: Vec<GcpSecret>,
    /// Who the daemon is, by a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<GcpCredentials>,
    /// Who the daemon is, without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity: Option<PodIdentity>,
}

/// One secret of Google's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcpSecret {
    /// The scaler's parameter that it fills.
    pub parameter: String,
    /// Its id.
    pub id: String,
    /// Its version; the latest unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A service account's key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpCredentials {
    /// The key's JSON.
    pub client_secret: ValueFromSecret,
}

/// Secrets of AWS Secrets Manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsSecretManager {
    /// What to read.
    #[schemars(length(min = 1))]
    #[serde(deserialize_with = "null_as_default")]
    pub secrets: Vec<AwsSecret>,
    /// Who the daemon is, by a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<AwsCredentials>,
    /// Who the daemon is, without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity: Option<PodIdentity>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// One secret of AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsSecret {
    /// The scaler's parameter that it fills.
    pub parameter: String,
    /// Its name or ARN.
    pub name: String,
    /// Which version, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Which version, by its stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_stage: Option<String>,
    /// Which field of a secret that is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
}

/// A key of AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsCredentials {
    /// The key's id.
    pub access_key: ValueFromSecret,
    /// The key.
    pub access_secret_key: ValueFromSecret,
    /// A session's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<ValueFromSecret>,
}
