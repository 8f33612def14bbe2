//! A storage account, as its connection string says.

use url::Url;

use crate::azure::{Connection, StorageKey};
use crate::http::Login;
use crate::secret::Secret;

/// A connection string that is right.
const EXAMPLE: &str = "DefaultEndpointsProtocol=https;AccountName=NAME;AccountKey=KEY;EndpointSuffix=core.windows.net";
/// The account that every emulator has, and its key, which is published and opens nothing else.
const EMULATED: (&str, &str) =
    ("devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");
/// Where an emulator serves queues, unless told otherwise.
const EMULATOR: (&str, u16) = ("http://127.0.0.1", 10001);

/// An account's queues, and who we are to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// Where they are, without a slash at the end.
    pub base: String,
    pub login: Option<Login>,
    /// What goes into each request's query besides.
    pub parameters: Vec<(String, String)>,
}

impl Account {
    /// What a connection string says. The error says what is wrong, without repeating any of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let connection = Connection::parse(text, EXAMPLE).map_err(|misfit| format!("{}; {}", misfit.what, misfit.remedy))?;
        let emulated = connection.is("usedevelopmentstorage");
        let lacks = |what: &str| format!("the connection string has no {what}; write {EXAMPLE}");
        let name = connection.get("accountname").map(Secret::expose).or(emulated.then_some(EMULATED.0));
        let base = match connection.get("queueendpoint") {
            Some(endpoint) => endpoint.expose().to_owned(),
            None if emulated => {
                let proxy = connection.get("developmentstorageproxyuri").map_or(EMULATOR.0, Secret::expose);
                format!("{}:{}/{}", proxy.trim_end_matches('/'), EMULATOR.1, EMULATED.0)
            }
            None => {
                let scheme = connection.get("defaultendpointsprotocol").map_or("https", Secret::expose);
                let suffix = connection.get("endpointsuffix").map_or("core.windows.net", Secret::expose);
                format!("{scheme}://{}.queue.{suffix}", name.ok_or_else(|| lacks("AccountName"))?)
            }
        };
        let base = address(&base).ok_or("the address that the connection string makes is no http:// or https:// URL; correct QueueEndpoint, or AccountName and EndpointSuffix")?;
        if let Some(signature) = connection.get("sharedaccesssignature") {
            return Self { base, login: None, parameters: Vec::new() }.with_signature(signature);
        }
        let key = connection.get("accountkey").map(Secret::expose).or(emulated.then_some(EMULATED.1)).ok_or_else(|| lacks("AccountKey"))?;
        let account = name.ok_or_else(|| lacks("AccountName"))?.to_owned();
        Ok(Self { base, login: Some(Login::StorageKey(StorageKey { account, key: Secret::from(key) })), parameters: Vec::new() })
    }

    /// The same, with a shared access signature: of its parameters, only the signature itself is secret.
    fn with_signature(mut self, signature: &Secret) -> Result<Self, String> {
        for (name, text) in url::form_urlencoded::parse(signature.expose().trim_start_matches('?').as_bytes()).into_owned() {
            if name == "sig" {
                self.login = Some(Login::Parameter(name, Secret::from(text)));
            } else {
                self.parameters.push((name, text));
            }
        }
        let lacks = "the SharedAccessSignature of the connection string has no sig; copy it anew";
        if self.login.is_some() { Ok(self) } else { Err(lacks.to_owned()) }
    }
}

/// Scheme, host, port and path of a URL, without a slash at the end: whatever else it holds is not used.
fn address(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    Some(format!("{}{}", url.origin().ascii_serialization(), url.path().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(account: &str, key: &str) -> Option<Login> {
        Some(Login::StorageKey(StorageKey { account: account.to_owned(), key: Secret::from(key) }))
    }

    #[test]
    fn connection_strings_are_read() {
        for (text, base, login) in [
            ("AccountName=shop;AccountKey=a2V5==", "https://shop.queue.core.windows.net", key("shop", "a2V5==")),
            (
                "DefaultEndpointsProtocol=http;AccountName=shop;AccountKey=k;EndpointSuffix=local.host",
                "http://shop.queue.local.host",
                key("shop", "k"),
            ),
            ("accountname=a;ACCOUNTKEY=k;QueueEndpoint=http://u:s3cret@127.0.0.1:7/a/", "http://127.0.0.1:7/a", key("a", "k")),
            ("UseDevelopmentStorage=true", "http://127.0.0.1:10001/devstoreaccount1", key(EMULATED.0, EMULATED.1)),
            (
                "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite",
                "http://azurite:10001/devstoreaccount1",
                key(EMULATED.0, EMULATED.1),
            ),
        ] {
            assert_eq!(Account::parse(text), Ok(Account { base: base.to_owned(), login, parameters: Vec::new() }), "{text}");
        }
        let signed =
            Account::parse("QueueEndpoint=https://shop.queue.core.windows.net/;SharedAccessSignature=sv=2021-12-02&sp=rp&sig=a%2Bb%3D")
                .expect("fine");
        assert_eq!(signed.login, Some(Login::Parameter("sig".to_owned(), Secret::from("a+b="))));
        assert_eq!(signed.parameters, [("sv".to_owned(), "2021-12-02".to_owned()), ("sp".to_owned(), "rp".to_owned())]);
    }

    #[test]
    fn what_cannot_be_used_says_why_without_repeating_it() {
        for (text, word) in [
            ("SAMPLE", "Name=value"),
            ("AccountName=shop", "AccountKey"),
            ("AccountKey=s3cret", "AccountName"),
            ("AccountName=shop;AccountKey=s3cret;QueueEndpoint=sb://x", "QueueEndpoint"),
            ("AccountName=s3 cret;AccountKey=s3cret", "no http://"),
            ("QueueEndpoint=https://h;SharedAccessSignature=sv=s3cret", "sig"),
        ] {
            let reason = Account::parse(text).expect_err(text);
            assert!(reason.contains(word) && reason.contains(';') && !reason.contains("s3cret"), "{text}: {reason}");
        }
    }
}
