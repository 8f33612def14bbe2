//! Servers that are asked over HTTP: where one is, who we are to it, and how long it may take. What is asked, and what an answer means, is
//! each scaler's own.

use std::time::Duration;

use crate::azure::{NamespaceKey, StorageKey};
use crate::oauth2::Issuer;
use crate::secret::Secret;
use crate::tls::Tls;

mod address;
#[cfg(feature = "clients")]
mod client;
mod manner;

pub(crate) use address::Address;
#[cfg(any(test, feature = "clients"))]
pub(crate) use address::segment;
#[cfg(feature = "clients")]
pub(crate) use client::{Answered, Asker, Question, Session, bounded, gather, verified};
pub(crate) use manner::{Headers, Manner, PARAMETERS, Texts};

/// A server. Two that are equal share a client, and with it their connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// What it is, for people.
    pub name: &'static str,
    /// Scheme, host, port and the path that all requests begin with, without a slash at the end: never with a login.
    pub base: String,
    /// What each request shows.
    pub logins: Vec<Login>,
    pub tls: Tls,
    /// How long it may take, if the trigger says so.
    pub timeout: Option<Duration>,
    /// Whom its own errors (5xx) are about.
    pub trouble: Trouble,
}

/// Who we are to a server, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Login {
    Password(Secret, Option<Secret>),
    Bearer(Secret),
    /// A token that somebody gives us.
    Token(Issuer),
    /// A header of this name.
    Header(String, Secret),
    /// A parameter of this name in the URL's query.
    Parameter(String, Secret),
    /// A signature of each request by the key of a storage account.
    StorageKey(StorageKey),
    /// A signature by a key of a Service Bus namespace.
    NamespaceKey(NamespaceKey),
}

/// A server, or why there is none. A text that is read only when the server is asked is no reason to refuse a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    At(Server),
    /// What it would be, for people, and what is wrong, with what to do; never with a secret.
    Nowhere(&'static str, String),
}

impl Place {
    /// Where it is, for people.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::At(server) => server.address(),
            Self::Nowhere(name, _) => (*name).to_owned(),
        }
    }
}

/// Whom a server's own errors (5xx) are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// The server: whoever asks something else is told the same.
    Server,
    /// The question: other questions may be answered.
    Question,
}

impl Server {
    /// Where it is, for people.
    pub(crate) fn address(&self) -> String {
        format!("{} at {}", self.name, self.base)
    }
}

#[cfg(all(test, feature = "clients"))]
mod tests;
