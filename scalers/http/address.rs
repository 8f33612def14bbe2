//! Addresses of servers, as triggers write them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::Login;
use crate::parameter::{Field, Misfit};
use crate::secret::Secret;

/// What stays as it is in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An address over HTTP, taken apart. It may hold a login, so it does not print.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// Scheme, host and port.
    pub origin: String,
    /// From the first slash on.
    pub path: String,
    /// What follows the question mark.
    pub query: Option<Secret>,
    /// The user and password before the host.
    pub login: Option<Login>,
}

impl Field for Address {
    const VALUE: &'static str = "a URL such as http://host:8080/path";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Misfit> {
        let remedy = format!("write {}", Self::VALUE);
        let url = Url::parse(text).map_err(|error| Misfit::new(format!("is no URL ({error})"), remedy.clone()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Misfit::new("is no http:// or https:// URL", remedy));
        }
        let decode = |text: &str| Secret::from(percent_decode_str(text).decode_utf8_lossy().into_owned());
        let login = (!url.username().is_empty() || url.password().is_some())
            .then(|| Login::Password(decode(url.username()), url.password().map(decode)));
        Ok(Self { origin: url.origin().ascii_serialization(), path: url.path().to_owned(), query: url.query().map(Secret::from), login })
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let address = |text: &str| Address::parse(text).expect(text);
        let full = address("https://jo%40corp:p%2Fw@host:8443/a/b?key=s3cret&x=1#part");
        assert_eq!((full.origin.as_str(), full.path.as_str()), ("https://host:8443", "/a/b"));
        assert_eq!(full.query, Some(Secret::from("key=s3cret&x=1")));
        assert_eq!(full.login, Some(Login::Password(Secret::from("jo@corp"), Some(Secret::from("p/w")))));
        let plain = address("http://Host:80");
        assert_eq!((plain.origin.as_str(), plain.path.as_str(), plain.query, plain.login), ("http://host", "/", None, None));
        assert_eq!(address("http://[::1]:9090/").origin, "http://[::1]:9090");
        assert_eq!((segment("/"), segment("a b/c"), segment("plain-1.x_~")), ("%2F".into(), "a%20b%2Fc".into(), "plain-1.x_~".into()));
        for bad in ["host:9090", "ftp://host/", "http://", "http://<prometheus-host>:9090", "/api", "http://h:99999/"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
