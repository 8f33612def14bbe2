//! Azure's workload identity: a token of the daemon's ServiceAccount, which the kubelet keeps in a file, is exchanged for one that Azure's services take.

use std::path::PathBuf;

#[cfg(feature = "clients")]
use std::path::Path;

#[cfg(feature = "clients")]
use crate::error::Error;
#[cfg(feature = "clients")]
use crate::oauth2::{Granted, grant};

/// Where the tokens of Azure's public cloud come from.
#[cfg(feature = "clients")]
const PUBLIC: &str = "https://login.microsoftonline.com/";

/// Where tokens of Azure's clouds come from.
const AUTHORITIES: [&str; 5] = [
    "https://login.microsoftonline.com",
    "https://login.microsoftonline.us",
    "https://login.chinacloudapi.cn",
    "https://login.partner.microsoftonline.cn",
    "https://login.microsoftonline.de",
];

/// Who the daemon is to Azure: what a TriggerAuthentication says, and for the rest what Azure's webhook puts into the daemon's environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Workload {
    /// The identity's client id.
    pub client: Option<String>,
    /// Its tenant.
    pub tenant: Option<String>,
    /// Where tokens come from, as a URL; Azure's public cloud unless given.
    pub authority: Option<String>,
    /// The file with the token of the daemon's ServiceAccount.
    pub token_file: Option<PathBuf>,
}

impl Workload {
    /// This one, with what it does not say from the surroundings. As in KEDA, another authority counts only together with a tenant.
    ///
    /// # Errors
    /// Another authority that is neither Microsoft's nor the one of the surroundings: who controls it could be the daemon to Azure.
    pub fn here(self, around: &Self) -> Result<Self, String> {
        let authority = self.authority.filter(|_| self.tenant.is_some());
        let is_trusted = |given: &String| {
            let origin = |text: &str| url::Url::parse(text).ok().map(|url| url.origin().ascii_serialization());
            let (given, own) = (origin(given), around.authority.as_deref().and_then(origin));
            given.is_some() && (given == own || AUTHORITIES.iter().any(|known| given.as_deref() == Some(known)))
        };
        if authority.as_ref().is_some_and(|given| !is_trusted(given)) {
            let known = AUTHORITIES.join(", ");
            return Err(format!(
                "identityAuthorityHost is none of {known}; write one of these, or set AZURE_AUTHORITY_HOST in the daemon's environment"
            ));
        }
        Ok(Self {
            client: self.client.or_else(|| around.client.clone()),
            authority: authority.or_else(|| around.authority.clone()),
            tenant: self.tenant.or_else(|| around.tenant.clone()),
            token_file: self.token_file.or_else(|| around.token_file.clone()),
        })
    }
}

/// A token for one service by that identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Federated {
    pub identity: Workload,
    /// What the token is for: a resource with `/.default`.
    pub scope: String,
}

impl Federated {
    /// A token for a resource, which may be written as a scope too.
    pub(crate) fn new(identity: Workload, resource: &str) -> Self {
        let resource = resource.trim_end_matches('/');
        let scope = if resource.ends_with(".default") { resource.to_owned() } else { format!("{resource}/.default") };
        Self { identity, scope }
    }
}

#[cfg(feature = "clients")]
impl Federated {
    /// Asks for a token (client credentials with a JWT as the client's proof, RFC 7523, 2.2).
    pub(crate) async fn fetch(&self, client: &reqwest::Client) -> Result<Granted, Error> {
        let Workload { client: id, tenant, authority, token_file } = &self.identity;
        let authority = authority.as_deref().unwrap_or(PUBLIC).trim_end_matches('/');
        let missing = |name: &str, field: &str| {
            let reason = format!(
                "nothing says who the daemon is: {name} is not in its environment; let Azure's workload identity webhook set it, or give {field}"
            );
            Error::FetchToken { endpoint: authority.to_owned(), reason }
        };
        let id = id.as_deref().ok_or_else(|| missing("AZURE_CLIENT_ID", "identityId of podIdentity"))?;
        let tenant = tenant.as_deref().ok_or_else(|| missing("AZURE_TENANT_ID", "identityTenantId of podIdentity"))?;
        let file =
            token_file.as_deref().ok_or_else(|| missing("AZURE_FEDERATED_TOKEN_FILE", "the file with a ServiceAccount's token in it"))?;
        let proof = self.proof(file, authority).await?;
        let to = format!("{authority}/{tenant}/oauth2/v2.0/token");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", proof.trim()),
            ("scope", self.scope.as_str()),
        ];
        let check = "the client id, the tenant, and that the identity trusts the daemon's ServiceAccount (its federated credential)";
        grant(client.post(&to).form(&form), &to, check).await
    }

    /// The ServiceAccount's token, read anew each time: the kubelet replaces it.
    async fn proof(&self, file: &Path, authority: &str) -> Result<String, Error> {
        let fault = |reason| Error::FetchToken { endpoint: authority.to_owned(), reason };
        let unread = |error| fault(format!("the ServiceAccount's token in {} cannot be read ({error}); mount it there", file.display()));
        let proof = tokio::fs::read_to_string(file).await.map_err(unread)?;
        if proof.trim().is_empty() {
            return Err(fault(format!("the ServiceAccount's token in {} is empty; mount one there", file.display())));
        }
        Ok(proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(client: &str, tenant: &str, authority: &str) -> Workload {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Workload { client: given(client), tenant: given(tenant), authority: given(authority), token_file: None }
    }

    #[test]
    fn what_is_given_goes_before_what_is_around() {
        let around = Workload { token_file: Some("/token".into()), ..workload("id", "tenant", "https://login.own/") };
        for (given, client, tenant, authority) in [
            (workload("", "", ""), "id", "tenant", "https://login.own/"),
            (workload("other", "", ""), "other", "tenant", "https://login.own/"),
            (workload("", "theirs", "https://login.own"), "id", "theirs", "https://login.own"),
            (workload("other", "theirs", "https://login.microsoftonline.us/"), "other", "theirs", "https://login.microsoftonline.us/"),
            (workload("", "", "https://there"), "id", "tenant", "https://login.own/"),
        ] {
            let expected = Workload { token_file: Some("/token".into()), ..workload(client, tenant, authority) };
            assert_eq!(given.clone().here(&around), Ok(expected), "{given:?}");
        }
        for authority in
            ["https://there", "http://login.microsoftonline.com", "https://login.microsoftonline.com.there/", "login.microsoftonline.com"]
        {
            let refused = workload("", "theirs", authority).here(&around).expect_err(authority);
            assert!(refused.contains("AZURE_AUTHORITY_HOST"), "{refused}");
        }
    }

    #[test]
    fn resources_are_scopes_with_default() {
        for (resource, scope) in
            [("https://a/", "https://a/.default"), ("api://b", "api://b/.default"), ("api://b/.default", "api://b/.default")]
        {
            assert_eq!(Federated::new(Workload::default(), resource).scope, scope);
        }
    }
}
