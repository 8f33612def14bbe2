//! Scalers of other people, asked over gRPC by KEDA's contract for external scalers: they tell their metrics, what each is compared with, and whether there is
//! work. One that pushes also tells of work as it comes, which wakes the read.
//!
//! Of several metrics the one that asks for most is taken, as the HPA takes it.

use std::collections::BTreeMap;
use std::time::Duration;

use springtide_core::name::Key;
use springtide_core::units::MetricMilli;

use crate::broker::Broker;
use crate::field::Authority;
use crate::kind::{Kind, Parsed};
use crate::parameter::{Fields, REST, parameters};
use crate::secret::Secret;
use crate::tls::{Check, Identity, Tls};

#[cfg(feature = "clients")]
mod client;
#[cfg(feature = "clients")]
mod contract;

pub(crate) static KIND: Kind = Kind {
    name: "external",
    summary: "What another program says over gRPC",
    parameters: &[Metadata::PARAMETERS, &[REST]],
    targets: &[],
    default_target: Some(MetricMilli(1000)),
    activation: None,
    example: &[("scalerAddress", "orders-scaler.default:9090"), ("queue", "orders")],
    example_auth: &[("caCert", "(the authority's certificate)")],
    example_more: &[],
    read: |fields| read(fields, Manner::Asked),
};

pub(crate) static PUSH: Kind = Kind {
    name: "external-push",
    summary: "What another program says over gRPC, and tells of by itself",
    read: |fields| read(fields, Manner::Pushes),
    ..KIND
};

parameters! {
    /// What an external trigger can be told; all of its metadata go to the scaler.
    struct Metadata, draft Draft {
        /// The scaler's host and port.
        address: Authority = "scalerAddress", from Metadata;
        /// Whether to speak TLS; so it is too where a certificate is given.
        enable_tls: bool = "enableTLS", from Metadata, default "false";
        /// Whether to take the scaler's certificate unchecked.
        unsafe_ssl: bool = "unsafeSsl", from Metadata, default "false";
        /// The authority that signed the scaler's certificate, as PEM.
        ca: Option<Secret> = "caCert", from Auth;
        /// Our certificate, as PEM; together with tlsClientKey.
        certificate: Option<Secret> = "tlsClientCert", from Auth;
        /// Our certificate's key, as PEM.
        key: Option<Secret> = "tlsClientKey", from Auth;
    }
}

fn read(fields: &mut Fields<'_>, manner: Manner) -> Option<Parsed> {
    let Metadata { address, enable_tls, unsafe_ssl, ca, certificate, key } = Draft::read(fields).finish()?;
    // A certificate without its key is no identity; as under KEDA, it is passed over.
    let identity = certificate.zip(key).map(|(certificate, key)| Identity { certificate, key, key_password: None });
    let wanted = enable_tls || ca.is_some() || identity.is_some();
    let check = if unsafe_ssl { Check::Nothing } else { Check::Certificate };
    let tls = wanted.then_some(Tls { authority: ca, identity, check });
    let name = format!("external-{}", address.0);
    let query = Query { owner: fields.owner.clone(), metadata: fields.all_metadata() };
    Some(Parsed::new(Scaler { address: address.0, tls, manner }, query, name))
}

/// Whether a scaler waits to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Manner {
    Asked,
    Pushes,
}

/// A scaler behind an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scaler {
    address: String,
    /// Without it, words go over the wire as they are.
    tls: Option<Tls>,
    manner: Manner,
}

impl Broker for Scaler {
    type Query = Query;

    fn address(&self) -> String {
        format!("the external scaler at {}", self.address)
    }

    fn timeout(&self) -> Option<Duration> {
        None
    }

    fn requests(&self, queries: usize) -> usize {
        // Its metrics, their numbers, and whether there is work.
        queries * 3
    }

    fn tells(&self) -> bool {
        self.manner == Manner::Pushes
    }
}

/// Whose work, and what the trigger says of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    owner: Key,
    metadata: BTreeMap<String, Secret>,
}

#[cfg(all(test, feature = "clients"))]
mod tests;
