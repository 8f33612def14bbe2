//! A number from any HTTP address: out of JSON, YAML, XML or Prometheus' text format. Several numbers of one page are one request.

use std::time::Duration;

use springtide_core::name::Key;
use url::{Host, Url};

use crate::broker::Broker;
use crate::field::choice;
use crate::http::{self, Address, Manner, Server, Trouble};
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::location::Location;
use crate::parameter::{Field, Fields, parameters};
use crate::secret::Secret;

#[cfg(feature = "clients")]
mod client;
mod selector;
#[cfg(feature = "clients")]
mod xml;

use selector::Selector;

pub(crate) static KIND: Kind = Kind {
    name: "metrics-api",
    summary: "A number in an answer of any HTTP address",
    parameters: &[Metadata::PARAMETERS, http::PARAMETERS],
    targets: &[TargetKey { parameter: target("targetValue", "The target: how much of the number is for each replica."), companion: None }],
    default_target: None,
    activation: Some(activation("activationTargetValue")),
    example: &[("url", "http://orders.default:8080/stats"), ("valueLocation", "queues.orders.waiting"), ("targetValue", "10")],
    example_auth: &[("apiKey", "key")],
    example_more: &[("authMode", "apiKey")],
    read,
};

choice! {
    /// What an answer is written in.
    enum Format {
        /// JSON.
        Json = "json",
        /// YAML.
        Yaml = "yaml",
        /// XML.
        Xml = "xml",
        /// Prometheus' text format.
        Prometheus = "prometheus",
    }
}

choice! {
    /// How the numbers of several pods become one.
    enum Aggregation {
        /// Their mean.
        Average = "average",
        /// All of them together.
        Sum = "sum",
        /// The largest.
        Maximum = "max",
        /// The smallest.
        Minimum = "min",
    }
}

parameters! {
    /// What a metrics-api trigger can be told.
    struct Metadata, draft Draft {
        /// The address that is asked.
        url: Address = "url", from Metadata;
        /// What its answer is written in.
        format: Format = "format", from Metadata, default "json";
        /// Where in the answer the number stands: a path such as queues.0.messages in JSON, YAML and XML; a metric's name, with or without
        /// labels, in Prometheus' text format.
        location: String = "valueLocation", from Metadata;
        /// Whether to ask each pod behind the address's Service, which is named as service.namespace in the address.
        aggregate: bool = "aggregateFromKubeServiceEndpoints", from Metadata, default "false";
        /// How the pods' numbers become one, with aggregateFromKubeServiceEndpoints.
        aggregation: Aggregation = "aggregationType", from Metadata, default "average";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let place = draft.place(fields);
    let service = draft.service(fields);
    let manner = Manner::read(fields);
    let (Metadata { url, location, aggregation, .. }, place, service, manner) = (draft.finish()?, place?, service?, manner?);
    let logins = manner.logins_at(&url);
    let Manner { tls, timeout, .. } = manner;
    let server = Server { name: "the metrics API", base: url.origin, logins, tls, timeout, trouble: Trouble::Question };
    let query = Query { page: Page { path: url.path, query: url.query }, place, behind: service.map(|service| (service, aggregation)) };
    Some(Parsed::new(MetricsApi(server), query, format!("metric-api-{location}")))
}

impl Draft {
    /// Where the number stands, in the language of the format.
    fn place(&self, fields: &mut Fields<'_>) -> Option<Place> {
        let (format, text) = (self.format?, self.location.as_ref()?);
        let place = match format {
            Format::Json => Location::parse(text).map(Place::Json),
            Format::Yaml => Location::parse(text).map(Place::Yaml),
            Format::Xml => Location::parse(text).map(Place::Xml),
            Format::Prometheus => Selector::parse(text).map(Place::Prometheus),
        };
        place.map_err(|misfit| fields.problem("valueLocation", format!("{text:?} {}", misfit.what), misfit.remedy)).ok()
    }

    /// The Service whose pods are asked, where they are.
    fn service(&self, fields: &mut Fields<'_>) -> Option<Option<Service>> {
        if !self.aggregate? {
            return Some(None);
        }
        let service = Service::at(self.url.as_ref()?);
        if service.is_none() {
            fields.problem(
                "url",
                "does not name a Service and its namespace, which aggregateFromKubeServiceEndpoints needs",
                "write http://service.namespace:port/path, with the port of the pods",
            );
        }
        service.map(Some)
    }
}

/// A server with numbers on its pages.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MetricsApi(Server);

impl Broker for MetricsApi {
    type Query = Query;

    fn address(&self) -> String {
        self.0.address()
    }

    fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }
}

/// A number on a page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    page: Page,
    place: Place,
    /// Where not the address itself is asked, but each pod behind its Service, and what is made of their numbers.
    behind: Option<(Service, Aggregation)>,
}

/// A Service, and how its pods are asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Service {
    key: Key,
    scheme: String,
    port: u16,
}

impl Service {
    /// The one that an address names: its host begins with the Service's name and its namespace.
    fn at(address: &Address) -> Option<Self> {
        let url = Url::parse(&address.origin).ok()?;
        let Some(Host::Domain(host)) = url.host() else { return None };
        let mut parts = host.split('.');
        let (name, namespace) = (parts.next()?, parts.next()?);
        let is_named = !name.is_empty() && !namespace.is_empty();
        is_named.then_some(Self { key: Key::new(namespace, name), scheme: url.scheme().to_owned(), port: url.port_or_known_default()? })
    }
}

impl Aggregation {
    /// What several numbers come to; nothing where there are none.
    fn of(self, numbers: &[f64]) -> Option<f64> {
        let mut all = numbers.iter().copied();
        let first = all.next()?;
        Some(match self {
            Self::Sum => all.fold(first, |sum, number| sum + number),
            Self::Average => all.fold(first, |sum, number| sum + number) / numbers.len() as f64,
            Self::Maximum => all.fold(first, f64::max),
            Self::Minimum => all.fold(first, f64::min),
        })
    }
}

/// A page of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Page {
    path: String,
    query: Option<Secret>,
}

/// Where on a page, and in which language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Json(Location),
    Yaml(Location),
    Xml(Location),
    Prometheus(Selector),
}

#[cfg(all(test, feature = "clients"))]
mod tests;
