//! Stores of secrets in clouds, from which a TriggerAuthentication may take parameters.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::stream::{StreamExt as _, iter};
use serde::Deserialize;
use springtide_core::Timestamp;
use url::Url;

use crate::broker::Moment;
use crate::error::Error;
use crate::http::{Asker, Login, Place, Server, Trouble, segment, verified};
use crate::identity::azure::{Federated, Workload};
use crate::identity::gcp::{Account, AccountKey, Google, Machine};
use crate::oauth2::{ClientCredentials, Issuer};
use crate::secret::Secret;
use crate::tls::Tls;

/// How many secrets are asked for at a time.
const AT_ONCE: usize = 4;
/// How long reading all of a store's secrets may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(8);
const SECRET_MANAGER: &str = "https://secretmanager.googleapis.com";
/// What tokens for Secret Manager are to allow: it knows no narrower scope.
const SECRET_MANAGER_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The version of Key Vault's interface.
const VAULT_VERSION: (&str, &str) = ("api-version", "7.4");

/// One secret in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name or id.
    pub name: String,
    /// Its version; the latest unless given.
    pub version: Option<String>,
}

/// A store that can be asked.
#[async_trait]
pub trait Store: Send + Sync {
    /// Secrets, as many answers as names and in their order. Reads only; safe to repeat.
    ///
    /// # Errors
    /// The outer one where none can be read.
    async fn read(&self, names: &[Named]) -> Result<Vec<Result<Secret, Error>>, Error>;
}

/// Azure Key Vault.
#[derive(Debug)]
pub struct KeyVault(Place);

/// Who the daemon is to a vault.
#[derive(Debug, Clone)]
pub enum VaultAccess {
    /// An application, by its secret.
    Application {
        /// Its id.
        client: String,
        /// Its tenant.
        tenant: String,
        /// Its secret.
        secret: Secret,
    },
    /// The daemon's own identity.
    Workload(Workload),
}

/// Which of Azure's clouds a vault is in, and what that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultCloud {
    /// What a token for a vault is good for.
    pub resource: String,
    /// Where an application's tokens come from.
    pub authority: String,
}

impl VaultCloud {
    /// The cloud of this name; capitals do not count. None for a name that is none, and for a private cloud.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (resource, authority) = match name.to_ascii_lowercase().as_str() {
            "" | "azurepubliccloud" => ("https://vault.azure.net", "https://login.microsoftonline.com/"),
            "azureusgovernmentcloud" => ("https://vault.usgovcloudapi.net", "https://login.microsoftonline.us/"),
            "azurechinacloud" => ("https://vault.azure.cn", "https://login.chinacloudapi.cn/"),
            "azuregermancloud" => ("https://vault.microsoftazure.de", "https://login.microsoftonline.de/"),
            _ => return None,
        };
        Some(Self { resource: resource.to_owned(), authority: authority.to_owned() })
    }
}

impl KeyVault {
    /// The vault at a URL. Nothing is asked yet.
    #[must_use]
    pub fn new(uri: &str, access: VaultAccess, cloud: &VaultCloud) -> Self {
        const NAME: &str = "Azure Key Vault";
        let issuer = match access {
            VaultAccess::Workload(workload) => Issuer::Azure(Federated::new(workload, &cloud.resource)),
            VaultAccess::Application { client, tenant, secret } => {
                let scope = Federated::new(Workload::default(), &cloud.resource).scope;
                let to = format!("{}/{tenant}/oauth2/v2.0/token", cloud.authority.trim_end_matches('/'));
                let (scopes, parameters) = (scope, Vec::new());
                Issuer::Credentials(ClientCredentials {
                    token_url: Secret::from(to),
                    client_id: Secret::from(client),
                    client_secret: secret,
                    scopes,
                    parameters,
                })
            }
        };
        // A vault that is named without encryption would be shown a token in the open.
        // So would another's host, if the token's resource were not looked at.
        let resource = Url::parse(&cloud.resource).ok();
        let is_in_cloud = |url: &Url| {
            let (host, domain) = (url.host_str().unwrap_or_default(), resource.as_ref().and_then(Url::host_str).unwrap_or_default());
            !domain.is_empty() && (host == domain || host.strip_suffix(domain).is_some_and(|name| name.ends_with('.')))
        };
        let is_safe = |url: &Url| url.scheme() == "https" || (cfg!(test) && url.scheme() == "http");
        let Some(url) = Url::parse(uri).ok().filter(|url| is_safe(url) && is_in_cloud(url)) else {
            let reason =
                format!("vaultUri is no https:// URL of a vault at {}; correct it, or say in cloud where the vault is", cloud.resource);
            return Self(Place::Nowhere(NAME, reason));
        };
        Self(Place::At(server(NAME, url.origin().ascii_serialization(), issuer)))
    }
}

#[async_trait]
impl Store for KeyVault {
    async fn read(&self, names: &[Named]) -> Result<Vec<Result<Secret, Error>>, Error> {
        #[derive(Deserialize)]
        struct Held {
            value: String,
        }
        let moment = Moment { now: Timestamp::now(), patience: PATIENCE };
        let mut session = self.0.open()?;
        let asker = self.0.server()?.asker(&mut session, moment).await?;
        let ask = |Named { name, version }: &Named| {
            let version = version.as_deref().map(|version| format!("/{}", segment(version))).unwrap_or_default();
            let (path, what, asker) = (format!("/secrets/{}{version}", segment(name)), format!("secret {name:?}"), &asker);
            async move {
                Ok(Secret::from(asker.get_json::<Held>(&path, &[VAULT_VERSION], &what).await.map_err(|error| untold(error, &what))?.value))
            }
            .boxed()
        };
        Ok(iter(names.iter().map(ask).collect::<Vec<_>>()).buffered(AT_ONCE).collect().await)
    }
}

/// Google's Secret Manager.
#[derive(Debug)]
pub struct SecretManager {
    place: Place,
    machine: Option<Machine>,
    project: Option<String>,
}

/// Who the daemon is to Secret Manager.
#[derive(Debug, Clone)]
pub enum ManagerAccess {
    /// A service account, by its key as JSON.
    Key(Secret),
    /// The daemon's own identity.
    Machine(Machine),
}

impl SecretManager {
    /// The secrets of the project that the daemon or its key belongs to. Nothing is asked yet.
    #[must_use]
    pub fn new(access: ManagerAccess) -> Self {
        Self::at(access, SECRET_MANAGER)
    }

    fn at(access: ManagerAccess, base: &str) -> Self {
        const NAME: &str = "Google's Secret Manager";
        let (account, machine) = match access {
            ManagerAccess::Key(key) => (AccountKey::parse(key.expose()).map(Account::Key), None),
            ManagerAccess::Machine(machine) => (Ok(Account::Machine(machine.clone())), Some(machine)),
        };
        let project = match &account {
            Ok(Account::Key(key)) => key.project.clone(),
            _ => None,
        };
        let place = match account {
            Err(reason) => Place::Nowhere(NAME, reason),
            Ok(Account::Key(_)) if project.is_none() => {
                Place::Nowhere(NAME, "the credentials lack project_id; give the JSON key of a service account, whole".to_owned())
            }
            Ok(account) => Place::At(server(NAME, base.to_owned(), Issuer::Google(Google { account, scope: SECRET_MANAGER_SCOPE }))),
        };
        Self { place, machine, project }
    }
}

#[async_trait]
impl Store for SecretManager {
    async fn read(&self, names: &[Named]) -> Result<Vec<Result<Secret, Error>>, Error> {
        let moment = Moment { now: Timestamp::now(), patience: PATIENCE };
        let mut session = self.place.open()?;
        let asker = self.place.server()?.asker(&mut session, moment).await?;
        let project = match (&self.project, &self.machine) {
            (Some(project), _) => project.clone(),
            (None, Some(machine)) => machine.project(&verified(&self.place.address())?).await?,
            // Without a project there is no place.
            (None, None) => String::new(),
        };
        let ask = |Named { name, version }: &Named| {
            let version = segment(version.as_deref().unwrap_or("latest"));
            let path = format!("/v1/projects/{}/secrets/{}/versions/{version}:access", segment(&project), segment(name));
            let (what, asker) = (format!("secret {name:?}"), &asker);
            async move { held(asker, &path, &what).await.map_err(|error| untold(error, &what)) }.boxed()
        };
        Ok(iter(names.iter().map(ask).collect::<Vec<_>>()).buffered(AT_ONCE).collect().await)
    }
}

/// A secret of Google's.
async fn held(asker: &Asker<'_>, path: &str, what: &str) -> Result<Secret, Error> {
    #[derive(Deserialize)]
    struct Held {
        payload: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        data: String,
    }
    let held: Held = asker.get_json(path, &[], what).await?;
    let bytes = STANDARD.decode(held.payload.data).map_err(|_| asker.without_number(what, "data that are no base64"))?;
    String::from_utf8(bytes).map(Secret::from).map_err(|_| asker.without_number(what, "a secret that is no UTF-8 text; write text"))
}

/// An error about an answer of a store. Where the answer cannot be read, what the reader says of it may repeat a secret, so it is left out.
fn untold(error: Error, what: &str) -> Error {
    match error {
        Error::Decode { broker, .. } => {
            Error::Inspect { broker, what: what.to_owned(), reason: "what is no answer of such a store; check the address".to_owned() }
        }
        error => error,
    }
}

fn server(name: &'static str, base: String, issuer: Issuer) -> Server {
    Server { name, base, logins: vec![Login::Token(issuer)], tls: Tls::VERIFIED, timeout: None, trouble: Trouble::Server }
}

#[cfg(test)]
mod tests;
