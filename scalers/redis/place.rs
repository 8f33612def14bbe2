//! Where a server is: a host and a port.

use std::fmt;
use std::net::Ipv6Addr;

/// A server's host and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub host: String,
    pub port: u16,
}

impl Place {
    /// Reads `host:port`, where no host is this machine and no port is the usual one. The error is what is wrong with the text.
    pub(super) fn parse(text: &str, usual_port: u16) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.contains("://") {
            return Err("is a URL");
        }
        // An address of IPv6 has colons itself, and stands in brackets where a port follows.
        let (host, port) = if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            match (rest.strip_prefix(':'), rest) {
                (Some(port), _) => (host, Some(port)),
                (None, "") => (host, None),
                _ => return Err("has something after its bracket that is no port"),
            }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        };
        Self::new(host, port, usual_port)
    }

    /// The same, taken apart already.
    pub(super) fn new(host: &str, port: Option<&str>, usual_port: u16) -> Result<Self, &'static str> {
        let port = match port.map(str::trim) {
            None => usual_port,
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("has a port that is no number from 1 to 65535")?,
        };
        let host = host.trim().trim_matches(['[', ']']);
        if host.contains(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '@')) {
            return Err("has a host that is neither a name nor an address");
        }
        Ok(Self { host: if host.is_empty() { "localhost" } else { host }.to_owned(), port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        for (text, place) in [
            ("redis.default:6380", Some("redis.default:6380")),
            ("redis", Some("redis:6379")),
            (":7001", Some("localhost:7001")),
            (" 10.0.0.1:1 ", Some("10.0.0.1:1")),
            ("[::1]:7001", Some("[::1]:7001")),
            ("::1", Some("[::1]:6379")),
            ("[::1]", Some("[::1]:6379")),
            ("redis:PORT", None),
            ("redis:0", None),
            ("redis:70000", None),
            ("[::1]7001", None),
            ("redis://redis:6379", None),
            ("user:s3cret@redis:6379", None),
            ("a b:1", None),
        ] {
            assert_eq!(Place::parse(text, 6379).ok().map(|place| place.to_string()).as_deref(), place, "{text}");
        }
    }
}
