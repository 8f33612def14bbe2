//! Which server a trigger means, and who we are to it: what all six kinds can be told alike, in one declaration.

use super::Query;
use super::place::Place;
use crate::broker::Broker;
use crate::field::{Count, List, choice};
use crate::parameter::{Fields, Parameter, parameters};
use crate::secret::Secret;
use crate::tls::{Check, Identity, Tls};

/// What each kind can be told besides its own parameters.
pub(super) const PARAMETERS: &[Parameter] = Said::PARAMETERS;

/// What a TriggerAuthentication gives in the examples.
pub(super) const EXAMPLE_AUTH: &[(&str, &str)] = &[("username", "springtide"), ("password", "password")];

/// The port of a server, and of a sentinel, that names none.
const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

choice! {
    /// Whether the connection is encrypted, as an authentication says it.
    enum UseTls {
        /// It is.
        Enable = "enable",
        /// It is not.
        Disable = "disable",
    }
}

parameters! {
    /// What a trigger says of its server.
    struct Said, draft SaidDraft {
        /// The server as host:port; of a cluster or of sentinels one or several, separated by commas.
        address: Option<List> = "address", from Metadata Auth Environment;
        /// Servers of a cluster, or sentinels, as host:port, separated by commas.
        addresses: Option<List> = "addresses", from Metadata Auth Environment;
        /// The server's host, in place of address; together with port.
        host: Option<List> = "host", from Metadata Auth Environment;
        /// Several hosts, separated by commas, in place of addresses; together with as many ports.
        hosts: Option<List> = "hosts", from Metadata Auth Environment;
        /// The port of host.
        port: Option<List> = "port", from Metadata Auth Environment;
        /// The ports of hosts, in the same order.
        ports: Option<List> = "ports", from Metadata Auth Environment;
        /// The user; without it, the server's default user.
        username: Option<Secret> = "username", from Metadata Auth Environment;
        /// The user's password. Without it we do not log in.
        password: Option<Secret> = "password", from Metadata Auth Environment;
        /// Our user at the sentinels.
        sentinel_username: Option<Secret> = "sentinelUsername", from Metadata Auth Environment;
        /// Our password at the sentinels. Without it we do not log in to them.
        sentinel_password: Option<Secret> = "sentinelPassword", from Metadata Auth Environment;
        /// The master's name at the sentinels. Without it, the only one that they watch.
        sentinel_master: Option<String> = "sentinelMaster", from Metadata Auth Environment;
        /// The number of the database; without it 0, which is the only one of a cluster.
        database: Option<Count> = "databaseIndex", from Metadata;
        /// Whether the connection is encrypted; to the sentinels too.
        enable_tls: Option<bool> = "enableTLS", from Metadata;
        /// Whether the connection is encrypted, in place of enableTLS.
        tls: Option<UseTls> = "tls", from Auth;
        /// Whether to take the server's certificate unchecked.
        unsafe_ssl: bool = "unsafeSsl", from Metadata, default "false";
        /// The authority that signed the server's certificate, as PEM; besides the machine's own.
        ca: Option<Secret> = "ca", from Auth;
        /// Our certificate, as PEM; together with key.
        cert: Option<Secret> = "cert", from Auth;
        /// Our certificate under another name.
        other_cert: Option<Secret> = "Cert", from Auth, but deprecated "write cert";
        /// Our certificate's key, as PEM.
        key: Option<Secret> = "key", from Auth;
        /// The password of the key, if it is encrypted (PKCS #8).
        key_password: Option<Secret> = "keyPassword", from Auth;
    }
}

/// How a key is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// On one server.
    Alone,
    /// On that node of a cluster to which the key's slot belongs.
    Cluster,
    /// On the master that sentinels name.
    Sentinels,
}

/// A server, a cluster, or a master behind sentinels, with who we are to it. Two that are equal share connections.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub way: Way,
    /// At least one: the server, some nodes of the cluster, or sentinels.
    pub places: Vec<Place>,
    pub login: Option<Login>,
    pub database: i64,
    pub tls: Option<Tls>,
    /// Who we are to the sentinels.
    pub sentinel_login: Option<Login>,
    pub sentinel_master: Option<String>,
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Login {
    pub user: Option<Secret>,
    pub password: Secret,
}

impl Login {
    fn new(user: Option<Secret>, password: Option<Secret>) -> Option<Self> {
        password.map(|password| Self { user, password })
    }
}

impl Server {
    /// Reads it; nothing if a problem was found.
    pub(super) fn read(fields: &mut Fields<'_>, way: Way) -> Option<Self> {
        let draft = SaidDraft::read(fields);
        let before = fields.problems.len();
        let mut places = draft.places(fields, way);
        draft.check(fields);
        if fields.problems.len() > before {
            return None;
        }
        if way == Way::Alone {
            // An address counts before a host and its port, where both are given.
            places.truncate(1);
        }
        let said = draft.finish()?;
        let check = if said.unsafe_ssl { Check::Nothing } else { Check::Certificate };
        let pair = said.cert.or(said.other_cert).zip(said.key);
        let identity = pair.map(|(certificate, key)| Identity { certificate, key, key_password: said.key_password });
        let encrypted = said.enable_tls == Some(true) || said.tls == Some(UseTls::Enable);
        let by_sentinels = way == Way::Sentinels;
        Some(Self {
            way,
            places,
            login: Login::new(said.username, said.password),
            // A cluster has no other than the first, whatever a trigger says.
            database: said.database.map_or(0, |Count(number)| number).max(0) * i64::from(way != Way::Cluster),
            tls: encrypted.then_some(Tls { authority: said.ca, identity, check }),
            sentinel_login: Login::new(said.sentinel_username, said.sentinel_password).filter(|_| by_sentinels),
            sentinel_master: said.sentinel_master.filter(|_| by_sentinels),
        })
    }
}

/// What a list gives, if it could be read.
fn items(list: &Option<Option<List>>) -> &[String] {
    match list {
        Some(Some(List(items))) => items,
        _ => &[],
    }
}

impl SaidDraft {
    fn places(&self, fields: &mut Fields<'_>, way: Way) -> Vec<Place> {
        let usual_port = if way == Way::Sentinels { SENTINEL_PORT } else { SERVER_PORT };
        let either = |one, other| if items(one).is_empty() { items(other) } else { items(one) };
        let addresses = either(&self.address, &self.addresses);
        let (hosts, ports) = (either(&self.host, &self.hosts), either(&self.port, &self.ports));
        let (addresses_at, hosts_at, ports_at) = match way {
            Way::Alone => ("address", "host", "port"),
            Way::Cluster | Way::Sentinels => ("addresses", "hosts", "ports"),
        };
        let mut places = Vec::new();
        let mut take = |fields: &mut Fields<'_>, place: Result<Place, &str>, field| match place {
            Ok(place) => places.push(place),
            Err(what) => fields.problem(field, what, "write a host and a port, such as redis.default:6379"),
        };
        for address in addresses {
            take(fields, Place::parse(address, usual_port), addresses_at);
        }
        if !hosts.is_empty() && !ports.is_empty() {
            if hosts.len() == ports.len() {
                for (host, port) in hosts.iter().zip(ports) {
                    take(fields, Place::new(host, Some(port), usual_port), ports_at);
                }
            } else {
                let what = format!(
                    "has {} hosts for {} ports; the number of hosts should be equal to the number of ports",
                    hosts.len(),
                    ports.len()
                );
                fields.problem(hosts_at, what, format!("give as many in {hosts_at} as in {ports_at}"));
            }
        } else if addresses.is_empty() {
            let remedy = format!("write {addresses_at} as host:port, or {hosts_at} and {ports_at}");
            match (hosts.is_empty(), ports.is_empty()) {
                (false, _) => fields.problem(ports_at, format!("is missing: no addresses or hosts given without {ports_at}"), remedy),
                (_, false) => fields.problem(hosts_at, "is missing: no addresses or hosts given", remedy),
                _ => fields.problem(addresses_at, "is missing: no addresses or hosts given", remedy),
            }
        }
        places
    }

    /// What must not be given together, or must be.
    fn check(&self, fields: &mut Fields<'_>) {
        if self.enable_tls.flatten().is_some() && self.tls.flatten().is_some() {
            let what = "is given in the authentication, and enableTLS in the trigger: unable to set `tls` in both";
            fields.problem("tls", what, "give one of them");
        }
        if let Some(Some(Count(number))) = self.database
            && number < 0
        {
            fields.problem("databaseIndex", format!("is {number}"), "write the number of a database, from 0");
        }
        let is_given = |field: &Option<Option<Secret>>| matches!(field, Some(Some(_)));
        let cert = is_given(&self.cert) || is_given(&self.other_cert);
        if cert != is_given(&self.key) {
            let missing = if cert { "key" } else { "cert" };
            fields.problem(missing, "is missing: both key and certificate must be provided", "give both, or neither");
        }
    }
}

impl Broker for Server {
    type Query = Query;

    fn address(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        let places = places.join(", ");
        let database = if self.database == 0 { String::new() } else { format!(" (database {})", self.database) };
        match (self.way, &self.sentinel_master) {
            (Way::Alone, _) => format!("Redis at {places}{database}"),
            (Way::Cluster, _) => format!("the Redis cluster at {places}"),
            (Way::Sentinels, Some(master)) => format!("the Redis master {master} of the sentinels at {places}{database}"),
            (Way::Sentinels, None) => format!("the Redis master of the sentinels at {places}{database}"),
        }
    }

    /// One server tells of its keys, where `notify-keyspace-events` is set.
    fn tells(&self) -> bool {
        self.way == Way::Alone
    }

    /// However many keys: a pipeline to each server that has some, after a question to a sentinel.
    fn requests(&self, _: usize) -> usize {
        match self.way {
            Way::Alone => 1,
            Way::Cluster => self.places.len(),
            Way::Sentinels => 2,
        }
    }
}
