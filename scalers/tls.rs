//! TLS with a broker, for every protocol alike: which authorities are trusted, and who we say that we are.

use crate::field::choice;
use crate::secret::Secret;

#[cfg(feature = "clients")]
mod client;

#[cfg(feature = "clients")]
pub(crate) use client::certificates;
choice! {
    /// Whether `ca`, `cert` and `key` are used.
    enum UseTls {
        /// They are.
        Enable = "enable",
        /// They are not.
        Disable = "disable",
    }
}

/// What a trigger says about TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Tls {
    /// Authorities to trust besides the machine's own, as PEM.
    pub authority: Option<Secret>,
    /// Who we are, where the broker wants to know.
    pub identity: Option<Identity>,
    /// Whether the broker has to prove who it is.
    pub check: Check,
}

/// A client certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub certificate: Secret,
    pub key: Secret,
    pub key_password: Option<Secret>,
}

/// Whether the broker has to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Check {
    /// By a certificate for its name, from an authority that is trusted.
    Certificate,
    /// By a certificate from an authority that is trusted, for whatever name.
    Authority,
    /// Not at all: the user asked for it.
    Nothing,
}

impl Tls {
    /// The broker proves who it is to the machine's own authorities; it does not ask who we are.
    pub(crate) const VERIFIED: Self = Self { authority: None, identity: None, check: Check::Certificate };
}
