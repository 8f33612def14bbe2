//! What can go wrong between us and a broker, one variant for each operation. No text here ever holds a secret: brokers are named by address, without
//! user or password.

use std::error::Error as StdError;
use std::time::Duration;

/// Where an error comes from, if another library knows more.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Why a broker did not answer. An error of `open`, or of a whole `read`, speaks of the connection; an error in one place of a read's answers speaks of that
/// query alone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot work, whatever the broker does.
    #[error("{broker} cannot be asked: {reason}")]
    Configure {
        /// The broker's address.
        broker: String,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// Certificates, keys or authorities could not be used.
    #[error("TLS for {broker} cannot be set up: {part} is not usable; give it as PEM text")]
    PrepareTls {
        /// The broker's address.
        broker: String,
        /// The parameter at fault.
        part: &'static str,
        /// What the TLS library says.
        #[source]
        source: Cause,
    },
    /// No connection.
    #[error("error establishing connection to {broker}; check that the address is right and reachable from here")]
    Connect {
        /// The broker's address.
        broker: String,
        /// What the client says.
        #[source]
        source: Cause,
    },
    /// The broker knows us not.
    #[error("{broker} refuses the login ({reason}); check user name, password and their permissions")]
    LogIn {
        /// The broker's address.
        broker: String,
        /// The broker's words.
        reason: String,
    },
    /// The identity provider gave no token.
    #[error("no OAuth2 token from {endpoint}: {reason}")]
    FetchToken {
        /// The token endpoint's address.
        endpoint: String,
        /// What it says.
        reason: String,
    },
    /// What the trigger asks about is not there.
    #[error("error inspecting {broker}: {what} does not exist; create it or correct the name")]
    Find {
        /// The broker's address.
        broker: String,
        /// What was asked for.
        what: String,
    },
    /// The broker refused one question.
    #[error("error inspecting {broker}: asked for {what}, it says {reason}")]
    Inspect {
        /// The broker's address.
        broker: String,
        /// What was asked for.
        what: String,
        /// The broker's words, or ours where it has none.
        reason: String,
    },
    /// The connection broke, or the broker is in trouble.
    #[error("error inspecting {broker}: the connection failed")]
    Ask {
        /// The broker's address.
        broker: String,
        /// What the client says.
        #[source]
        source: Cause,
    },
    /// The answer makes no sense.
    #[error("error inspecting {broker}: the answer about {what} cannot be read; check that the address is the broker's and no proxy's")]
    Decode {
        /// The broker's address.
        broker: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The broker took too long.
    #[error("{broker} did not answer within {} ms; give it more time or less to do", after.as_millis())]
    Wait {
        /// The broker's address.
        broker: String,
        /// How long it had.
        after: Duration,
    },
}

impl Error {
    /// What needs the cluster is asked where there is none.
    pub(crate) fn without_cluster(broker: String) -> Self {
        Self::Configure { broker, reason: "that needs a cluster, and there is none here; use this trigger in one".to_owned() }
    }

    /// The error and all that it comes from, as one sentence.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = StdError::source(self);
        while let Some(cause) = source {
            let words = cause.to_string();
            // Some libraries repeat their source in their own text.
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            source = cause.source();
        }
        text
    }
}
