//! The `host` of a RabbitMQ trigger: a URL that holds the protocol, the login, the address, and the virtual host as its last path segment.

use percent_encoding::percent_decode_str;
use url::Url;

use crate::parameter::{Field, Misfit};
use crate::secret::Secret;

/// A host, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Host {
    /// `amqp`, `amqps`, `http`, `https`, or nothing that we know.
    pub scheme: String,
    pub user: Option<Secret>,
    pub password: Option<Secret>,
    pub name: String,
    pub port: Option<u16>,
    /// The path before the virtual host: nothing, or `/prefix`.
    pub prefix: String,
    /// The virtual host; `/` where the URL names none.
    pub vhost: String,
}

impl Field for Host {
    const VALUE: &'static str = "a URL such as amqp://user:password@host:5672/vhost or http://user:password@host:15672/vhost";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Misfit> {
        let remedy = format!("write {}, with any special character of user, password and virtual host percent-encoded", Self::VALUE);
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        // AMQP's URI rules take the machine itself for a host that is left out.
        let missing = rest.is_empty() || rest.starts_with('/');
        let with_name = format!("none://{}{rest}", if missing { "localhost" } else { "" });
        let url = Url::parse(&with_name).map_err(|error| Misfit::new(format!("is no URL ({error})"), remedy.clone()))?;
        let decode = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(|text| text.into_owned()).map_err(|_| Misfit::new("has a percent-encoding that is not UTF-8", remedy.clone()))
        };
        let (prefix, vhost) = split_path(url.path());
        let vhost = decode(vhost)?;
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: Some(decode(url.username())?).filter(|user| !user.is_empty()).map(Secret::from),
            password: url.password().map(decode).transpose()?.map(Secret::from),
            name: url.host_str().unwrap_or("localhost").to_owned(),
            port: url.port(),
            prefix,
            vhost: if vhost.is_empty() { "/".to_owned() } else { vhost },
        })
    }
}

/// The path before the last segment, without empty segments, and the last segment.
fn split_path(path: &str) -> (String, &str) {
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let prefix = before.split('/').filter(|segment| !segment.is_empty()).fold(String::new(), |prefix, segment| prefix + "/" + segment);
    (prefix, last)
}

impl Host {
    /// The address without login and path.
    pub(super) fn origin(&self) -> String {
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{}{port}", self.scheme, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).expect("a good host")
    }

    #[test]
    fn the_last_segment_is_the_virtual_host() {
        let cases = [
            ("", "/", ""),
            ("/", "/", ""),
            ("//", "/", ""),
            ("/%2F", "/", ""),
            ("/orders", "orders", ""),
            ("/%2Forders", "/orders", ""),
            ("/a%20b", "a b", ""),
            ("/one/orders", "orders", "/one"),
            ("/one/", "/", "/one"),
            ("/one//", "/", "/one"),
            ("/one/%2F", "/", "/one"),
            ("/one/two/orders", "orders", "/one/two"),
            ("/one/two/", "/", "/one/two"),
            ("/one/two/%2Forders", "/orders", "/one/two"),
        ];
        for (path, vhost, prefix) in cases {
            let host = host(&format!("http://mq:15672{path}"));
            assert_eq!((host.vhost.as_str(), host.prefix.as_str()), (vhost, prefix), "{path}");
        }
    }

    #[test]
    fn logins_are_decoded_and_addresses_show_none() {
        let host = host("amqp://jo%40corp:p%2Fw%3A1@mq.example:5673/v");
        assert_eq!(host.user, Some(Secret::from("jo@corp")));
        assert_eq!(host.password, Some(Secret::from("p/w:1")));
        assert_eq!(host.origin(), "amqp://mq.example:5673");
        assert!(!format!("{host:?}").contains("corp"));
    }

    #[test]
    fn odd_hosts_are_taken_as_far_as_they_go() {
        assert_eq!(host("http://").name, "localhost");
        assert_eq!(host("amqps:///v").vhost, "v");
        assert_eq!(host("plain").scheme, "");
        assert_eq!(host("amqp://[::1]:5672/").origin(), "amqp://[::1]:5672");
        assert_eq!((host("amqp://jo@mq").password, host("amqp://mq").user), (None, None));
        for bad in ["amqp://h:port", "http://u:s3cret@h:99999/", "http://u:%FF@h"] {
            let misfit = Host::parse(bad).expect_err(bad);
            assert!(!misfit.what.contains("s3cret") && !misfit.remedy.contains("s3cret"), "{misfit:?}");
        }
    }
}
