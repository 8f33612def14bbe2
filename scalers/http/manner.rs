//! How a trigger wants its server to be asked: what every scaler over HTTP can be told of logins, certificates and time, in one
//! declaration.

use std::time::Duration;

use super::{Address, Login};
use crate::field::{List, Pairs, choice};
use crate::oauth2::{ClientCredentials, Issuer};
use crate::parameter::{Field, Fields, Misfit, Parameter, parameters};
use crate::secret::Secret;
use crate::tls::{Check, Identity, Tls};

/// The name of the header that an API key is shown in.
const KEY_HEADER: &str = "X-API-KEY";
/// The name of the parameter that it is shown in.
const KEY_PARAMETER: &str = "api_key";

/// What each scaler over HTTP can be told besides its own parameters.
pub(crate) const PARAMETERS: &[Parameter] = Said::PARAMETERS;

choice! {
    /// A way to say who we are.
    enum Mode {
        /// A key in a header or a parameter.
        ApiKey = "apiKey",
        /// A user and a password.
        Basic = "basic",
        /// A certificate.
        Tls = "tls",
        /// A token.
        Bearer = "bearer",
        /// A header.
        Custom = "custom",
        /// A token from a token endpoint.
        OAuth = "oauth",
    }
}

choice! {
    /// Where a key is shown.
    enum KeyPlace {
        /// In a header.
        Header = "header",
        /// In the URL's query.
        Query = "query",
    }
}

/// Several ways, separated by commas.
struct Modes(Vec<Mode>);

impl Field for Modes {
    const VALUE: &'static str = "one or several of apiKey, basic, tls, bearer, custom, oauth, separated by commas";

    fn parse(text: &str) -> Result<Self, Misfit> {
        text.split(',').map(str::trim).filter(|mode| !mode.is_empty()).map(Mode::parse).collect::<Result<_, _>>().map(Self)
    }
}

parameters! {
    /// What a trigger says of its server.
    struct Said, draft Draft {
        /// How we say who we are; of basic, bearer and oauth only one.
        auth_modes: Option<Modes> = "authModes", from Metadata Auth;
        /// The same as authModes.
        auth_mode: Option<Modes> = "authMode", from Metadata Auth;
        /// The user, for basic.
        username: Option<Secret> = "username", from Auth;
        /// The user's password, for basic.
        password: Option<Secret> = "password", from Auth;
        /// The token, for bearer.
        bearer_token: Option<Secret> = "bearerToken", from Auth;
        /// The same as bearerToken.
        token: Option<Secret> = "token", from Auth;
        /// The authority that signed the server's certificate, as PEM, for tls.
        ca: Option<Secret> = "ca", from Auth;
        /// Our certificate, as PEM, for tls; together with key.
        cert: Option<Secret> = "cert", from Auth;
        /// Our certificate's key, as PEM, for tls.
        key: Option<Secret> = "key", from Auth;
        /// The key, for apiKey.
        api_key: Option<Secret> = "apiKey", from Metadata Auth;
        /// Where the key is shown, for apiKey.
        method: KeyPlace = "method", from Metadata Auth, default "header";
        /// The name that the key is shown under: X-API-KEY as a header and api_key as a parameter, unless given.
        key_name: Option<HeaderName> = "keyParamName", from Metadata Auth;
        /// The name of the header, for custom.
        custom_name: Option<HeaderName> = "customAuthHeader", from Auth;
        /// The text of the header, for custom.
        custom_text: Option<Secret> = "customAuthValue", from Auth;
        /// Where a token comes from, for oauth; together with clientID and clientSecret.
        token_uri: Option<Secret> = "oauthTokenURI", from Auth;
        /// Our name at the token's issuer.
        client_id: Option<Secret> = "clientID", from Auth;
        /// Our secret at the token's issuer.
        client_secret: Option<Secret> = "clientSecret", from Auth;
        /// What the token is to allow.
        scopes: Option<List> = "scopes", from Auth;
        /// More parameters for the token's issuer, as in a URL's query.
        endpoint_params: Option<Pairs> = "endpointParams", from Auth;
        /// Whether to take the server's certificate unchecked.
        unsafe_ssl: bool = "unsafeSsl", from Metadata, default "false";
        /// How long the server may take to answer.
        timeout: Option<Duration> = "timeout", from Metadata;
    }
}

/// How a server is asked.
pub(crate) struct Manner {
    pub logins: Vec<Login>,
    pub tls: Tls,
    pub timeout: Option<Duration>,
}

impl Manner {
    /// What a trigger says, and nothing where that has a problem.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let draft = Draft::read(fields);
        let before = fields.problems.len();
        let modes = draft.modes(fields)?;
        draft.check(&modes, fields);
        let is_good = fields.problems.len() == before;
        let said = draft.finish().filter(|_| is_good)?;
        Some(said.manner(&modes))
    }

    /// The logins, of which one may stand in the address.
    pub(crate) fn logins_at(&self, address: &Address) -> Vec<Login> {
        let has_authorization = self.logins.iter().any(|login| matches!(login, Login::Password(..) | Login::Bearer(_) | Login::Token(_)));
        let in_address = address.login.clone().filter(|_| !has_authorization);
        self.logins.iter().cloned().chain(in_address).collect()
    }
}

impl Draft {
    /// The modes that are given under either name.
    fn modes(&self, fields: &mut Fields<'_>) -> Option<Vec<Mode>> {
        let modes = match (self.auth_modes.as_ref()?, self.auth_mode.as_ref()?) {
            (Some(_), Some(_)) => {
                fields.problem("authMode", "is given together with authModes", "give only one of them");
                return None;
            }
            (Some(Modes(modes)), None) | (None, Some(Modes(modes))) => modes.clone(),
            (None, None) => Vec::new(),
        };
        let of_one_header: Vec<&str> = [(Mode::Basic, "basic"), (Mode::Bearer, "bearer"), (Mode::OAuth, "oauth")]
            .into_iter()
            .filter(|(mode, _)| modes.contains(mode))
            .map(|(_, name)| name)
            .collect();
        if of_one_header.len() > 1 {
            let name = if matches!(self.auth_mode, Some(Some(_))) { "authMode" } else { "authModes" };
            fields.problem(name, format!("has {}, only one of which can be used", of_one_header.join(" and ")), "keep one of them");
        }
        Some(modes)
    }

    /// What each mode needs.
    fn check(&self, modes: &[Mode], fields: &mut Fields<'_>) {
        let is_missing = |field: &Option<Option<Secret>>| matches!(field, Some(None));
        let mut need = |mode: Mode, name: &str, missing: bool| {
            if modes.contains(&mode) && missing {
                let mode = Mode::ALLOWED.iter().copied().find(|text| Mode::parse(text) == Ok(mode)).unwrap_or_default();
                let what = format!("is missing: authModes has {mode}, which needs it");
                fields.problem(name, what, format!("give {name} in the TriggerAuthentication, or take {mode} out of authModes"));
            }
        };
        need(Mode::Basic, "username", is_missing(&self.username));
        need(Mode::Bearer, "bearerToken", is_missing(&self.bearer_token) && is_missing(&self.token));
        need(Mode::ApiKey, "apiKey", is_missing(&self.api_key));
        need(Mode::Custom, "customAuthHeader", matches!(self.custom_name, Some(None)));
        need(Mode::Custom, "customAuthValue", is_missing(&self.custom_text));
        need(Mode::OAuth, "oauthTokenURI", is_missing(&self.token_uri));
        need(Mode::OAuth, "clientID", is_missing(&self.client_id));
        need(Mode::OAuth, "clientSecret", is_missing(&self.client_secret));
        // An authority alone is enough where the server asks for no certificate.
        let has_authority_only = is_missing(&self.cert) && is_missing(&self.key) && !is_missing(&self.ca);
        need(Mode::Tls, "cert", is_missing(&self.cert) && !has_authority_only);
        need(Mode::Tls, "key", is_missing(&self.key) && !has_authority_only);
        let shown = [
            (&self.api_key, "apiKey"),
            (&self.bearer_token, "bearerToken"),
            (&self.token, "token"),
            (&self.custom_text, "customAuthValue"),
        ];
        for (field, name) in shown {
            if matches!(field, Some(Some(text)) if !fits_header(text.expose())) {
                fields.problem(name, "has a line break or another control character", "remove it; a key of a Secret often ends with one");
            }
        }
    }
}

impl Said {
    fn manner(self, modes: &[Mode]) -> Manner {
        let tls = self.tls(modes.contains(&Mode::Tls));
        let mut logins = Vec::new();
        if modes.contains(&Mode::Basic)
            && let Some(user) = self.username
        {
            logins.push(Login::Password(user, self.password));
        }
        if modes.contains(&Mode::Bearer)
            && let Some(token) = self.bearer_token.or(self.token)
        {
            logins.push(Login::Bearer(token));
        }
        if modes.contains(&Mode::OAuth)
            && let (Some(token_url), Some(client_id), Some(client_secret)) = (self.token_uri, self.client_id, self.client_secret)
        {
            let credentials = ClientCredentials::new(token_url, client_id, client_secret, self.scopes, self.endpoint_params);
            logins.push(Login::Token(Issuer::Credentials(credentials)));
        }
        if modes.contains(&Mode::ApiKey)
            && let Some(key) = self.api_key
        {
            let name = |usual: &str| self.key_name.map_or_else(|| usual.to_owned(), |HeaderName(name)| name);
            logins.push(match self.method {
                KeyPlace::Header => Login::Header(name(KEY_HEADER), key),
                KeyPlace::Query => Login::Parameter(name(KEY_PARAMETER), key),
            });
        }
        if modes.contains(&Mode::Custom)
            && let Some((HeaderName(name), text)) = self.custom_name.zip(self.custom_text)
        {
            logins.push(Login::Header(name, text));
        }
        Manner { logins, tls, timeout: self.timeout.filter(|timeout| !timeout.is_zero()) }
    }

    fn tls(&self, with_certificates: bool) -> Tls {
        let check = if self.unsafe_ssl { Check::Nothing } else { Check::Certificate };
        if !with_certificates {
            return Tls { authority: None, identity: None, check };
        }
        let pair = self.cert.clone().zip(self.key.clone());
        let identity = pair.map(|(certificate, key)| Identity { certificate, key, key_password: None });
        Tls { authority: self.ca.clone(), identity, check }
    }
}

/// Whether a text can stand in a header.
fn fits_header(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The name of a header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct HeaderName(String);

impl Field for HeaderName {
    const VALUE: &'static str = "a header's name";

    fn parse(text: &str) -> Result<Self, Misfit> {
        // A token in the sense of RFC 9110, 5.6.2.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misfit::new("is no name of a header", "write letters, digits and dashes"))
        }
    }
}

/// Headers as `name=text,name=text`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Headers(pub Vec<(String, Secret)>);

impl Field for Headers {
    const VALUE: &'static str = "name=text,name=text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Misfit> {
        let Texts(pairs) = Texts::parse(text)?;
        let header = |(name, text): (String, String)| {
            let HeaderName(name) = HeaderName::parse(&name)?;
            if fits_header(&text) {
                Ok((name, Secret::from(text)))
            } else {
                Err(Misfit::new("has a line break or another control character", "remove it"))
            }
        };
        pairs.into_iter().map(header).collect::<Result<_, _>>().map(Self)
    }
}

/// Texts with names, as `name=text,name=text`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Texts(pub Vec<(String, String)>);

impl Field for Texts {
    const VALUE: &'static str = "name=text,name=text";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let misfit = || Misfit::new("is not made of name=text, separated by commas", "write name=text,name=text");
        let pair = |item: &str| {
            let (name, text) = item.split_once('=').ok_or_else(misfit)?;
            if name.trim().is_empty() { Err(misfit()) } else { Ok((name.trim().to_owned(), text.trim().to_owned())) }
        };
        text.split(',').filter(|item| !item.trim().is_empty()).map(pair).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_names_with_texts() {
        let Texts(pairs) = Texts::parse(" a = 1, b=x=y ,").expect("two");
        assert_eq!(pairs, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x=y".to_owned())]);
        assert!(Texts::parse("a").is_err() && Texts::parse("=x").is_err());
        let Headers(headers) = Headers::parse("X-Scope-OrgID=team-a").expect("one");
        assert_eq!(headers, [("X-Scope-OrgID".to_owned(), Secret::from("team-a"))]);
        for bad in ["X Y=z", "X:=z", "é=z", "X=a\nb"] {
            assert!(Headers::parse(bad).is_err(), "{bad}");
        }
    }
}
