//! A broker's URL, with a login that is never printed.

use std::fmt;
use std::str::FromStr;

use lapin::uri::{AMQPScheme, AMQPUri};

use crate::error::Error;

/// Seconds between heartbeats where the URL names none: a dead connection is noticed within two of them, and the default of 60 s would hide an outage.
const HEARTBEAT_S: u16 = 5;

/// Where a broker is and who we are to it. Printing it leaves out the login.
#[derive(Clone)]
pub struct BrokerUrl(AMQPUri);

impl BrokerUrl {
    pub(crate) fn uri(&self) -> AMQPUri {
        self.0.clone()
    }
}

impl FromStr for BrokerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // The parser's own text is dropped, because it may repeat a part of the URL.
        let mut uri = AMQPUri::from_str(text).map_err(|_| Error::BrokerUrl)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        Ok(Self(uri))
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.scheme {
            AMQPScheme::AMQP => "amqp",
            AMQPScheme::AMQPS => "amqps",
        };
        let vhost = self.0.vhost.replace('/', "%2f");
        write!(formatter, "{scheme}://{}:{}/{vhost}", self.0.authority.host, self.0.authority.port)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_leaves_out_the_login() {
        let url: BrokerUrl = "amqp://someone:hidden@broker.example:5673/%2f".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "amqp://broker.example:5673/%2f amqp://broker.example:5673/%2f");
    }

    #[test]
    fn an_error_leaves_out_the_login() {
        for text in ["amqp://someone:hidden@broker:port", "http://someone:hidden@broker", "someone:hidden@broker", ""] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hidden"), "{text}");
        }
    }
}
