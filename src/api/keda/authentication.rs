//! TriggerAuthentication and ClusterTriggerAuthentication: where the credentials of triggers are.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vault::{AwsSecretManager, AzureKeyVault, GcpSecretManager, HashiCorpVault};
use crate::lenient::{Lenient, null_as_default, without_nulls, words};

/// Where the credentials of triggers are. Sources later in KEDA's order replace what earlier ones gave: env, configMapTargetRef, secretTargetRef, the vaults,
/// boundServiceAccountToken, oauth2.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "TriggerAuthentication",
    plural = "triggerauthentications",
    shortname = "ta",
    shortname = "triggerauth",
    namespaced,
    status = "TriggerAuthenticationStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Where the credentials of triggers in one namespace are.",
    printcolumn(name = "PodIdentity", type_ = "string", json_path = ".spec.podIdentity.provider"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.secretTargetRef[*].name"),
    printcolumn(name = "Env", type_ = "string", json_path = ".spec.env[*].name"),
    printcolumn(name = "VaultAddress", type_ = "string", json_path = ".spec.hashiCorpVault.address"),
    printcolumn(name = "ScaledObjects", type_ = "string", priority = "1", json_path = ".status.scaledobjects"),
    printcolumn(name = "ScaledJobs", type_ = "string", priority = "1", json_path = ".status.scaledjobs")
)]
#[serde(rename_all = "camelCase")]
pub struct TriggerAuthenticationSpec {
    /// Who the daemon is to the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity: Option<PodIdentity>,
    /// Keys of Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub secret_target_ref: Vec<TargetRef>,
    /// Keys of ConfigMaps.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub config_map_target_ref: Vec<TargetRef>,
    /// Variables in the environment of the target's container.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub env: Vec<EnvironmentRef>,
    /// A JSON file below the daemon's `--filepath-auth-root-path`. Only in a ClusterTriggerAuthentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_path: Option<String>,
    /// Secrets of HashiCorp Vault.
    #[serde(rename = "hashiCorpVault", default, skip_serializing_if = "Option::is_none")]
    pub hashicorp_vault: Option<HashiCorpVault>,
    /// Secrets of Azure Key Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_key_vault: Option<AzureKeyVault>,
    /// Secrets of Google's Secret Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcp_secret_manager: Option<GcpSecretManager>,
    /// Secrets of AWS Secrets Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_secret_manager: Option<AwsSecretManager>,
    /// Tokens of ServiceAccounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub bound_service_account_token: Vec<BoundServiceAccountToken>,
    /// A token by OAuth 2 client credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
}

/// The same for all namespaces; Secrets and ConfigMaps are read from the daemon's own namespace.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "ClusterTriggerAuthentication",
    plural = "clustertriggerauthentications",
    shortname = "cta",
    shortname = "clustertriggerauth",
    status = "TriggerAuthenticationStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Where the credentials of triggers in all namespaces are.",
    printcolumn(name = "PodIdentity", type_ = "string", json_path = ".spec.podIdentity.provider"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.secretTargetRef[*].name"),
    printcolumn(name = "Env", type_ = "string", json_path = ".spec.env[*].name"),
    printcolumn(name = "FilePath", type_ = "string", json_path = ".spec.filePath"),
    printcolumn(name = "VaultAddress", type_ = "string", json_path = ".spec.hashiCorpVault.address"),
    printcolumn(name = "ScaledObjects", type_ = "string", priority = "1", json_path = ".status.scaledobjects"),
    printcolumn(name = "ScaledJobs", type_ = "string", priority = "1", json_path = ".status.scaledjobs")
)]
#[serde(transparent)]
pub struct ClusterTriggerAuthenticationSpec(
    /// What a TriggerAuthentication says too.
    pub TriggerAuthenticationSpec,
);

/// Who uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriggerAuthenticationStatus {
    /// Names of ScaledObjects, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaledobjects: Option<String>,
    /// Names of ScaledJobs, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaledjobs: Option<String>,
}

words! {
    /// Whose identities there are.
    IdentityProvider {
        /// Azure's workload identity.
        AzureWorkload = "azure-workload",
        /// Google's workload identity.
        Gcp = "gcp",
        /// An AWS role, by web identity or pod identity.
        Aws = "aws",
        /// The older way to an AWS role, by an annotation of the target's ServiceAccount.
        AwsEks = "aws-eks",
        /// None.
        None = "none",
    }
}

words! {
    /// Whose role is taken on.
    IdentityOwner {
        /// The daemon's.
        Keda = "keda",
        /// That of the target's ServiceAccount.
        Workload = "workload",
    }
}

/// Who the daemon is to a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodIdentity {
    /// The cloud and its way.
    pub provider: Lenient<IdentityProvider>,
    /// Azure: the identity's client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_id: Option<String>,
    /// Azure: the identity's tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_tenant_id: Option<String>,
    /// Azure: where tokens come from. Needs identityTenantId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_authority_host: Option<String>,
    /// AWS: the role to take on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// AWS: what the role's trust asks for. Needs roleArn.
    #[serde(rename = "externalID", default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// AWS: whose role it is; keda unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_owner: Option<Lenient<IdentityOwner>>,
}

impl PodIdentity {
    /// The cloud and its way; none where the text names no provider that we know.
    #[must_use]
    pub fn provider(&self) -> Option<IdentityProvider> {
        self.provider.known().copied()
    }

    /// Whose role it is; the daemon's where nothing that we know was said.
    #[must_use]
    pub fn identity_owner(&self) -> IdentityOwner {
        self.identity_owner.as_ref().and_then(Lenient::known).copied().unwrap_or(IdentityOwner::Keda)
    }
}

/// A key of a Secret or a ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetRef {
    /// The scaler's parameter that it fills.
    pub parameter: String,
    /// Name of the Secret or ConfigMap.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// A variable in the environment of the target's container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentRef {
    /// The scaler's parameter that it fills.
    pub parameter: String,
    /// Name of the variable.
    pub name: String,
    /// Name of the container; the first one unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
}

/// A token of a ServiceAccount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundServiceAccountToken {
    /// The scaler's parameter that it fills.
    pub parameter: String,
    /// Name of the ServiceAccount.
    pub service_account_name: String,
}

/// A value that lies in a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFromSecret {
    /// Where.
    pub value_from: SecretSource,
}

/// Where a value lies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// A key of a Secret.
    pub secret_key_ref: SecretKey,
}

/// A key of a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// The key in it.
    pub key: String,
}

words! {
    /// OAuth 2 grants.
    OAuth2Type {
        /// By the client's own id and secret.
        ClientCredentials = "clientCredentials",
    }
}

/// A token by OAuth 2 client credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["clientId", "tokenUrl", "type"]))]
pub struct OAuth2 {
    /// The grant; clientCredentials is the only one.
    #[serde(rename = "type", default = "client_credentials")]
    #[schemars(extend("default" = "clientCredentials"))]
    pub kind: Lenient<OAuth2Type>,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<ValueFromSecret>,
    /// Where tokens come from.
    pub token_url: String,
    /// What the token is to be good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub scopes: Vec<String>,
    /// More parameters of the request for a token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    pub token_url_params: BTreeMap<String, String>,
}

fn client_credentials() -> Lenient<OAuth2Type> {
    OAuth2Type::ClientCredentials.into()
}
