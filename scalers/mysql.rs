//! MySQL and MariaDB: the number that a query's first row begins with. All queries of one database and user go over one connection, one after
//! another, as the protocol wants it.

use std::time::Duration;

use crate::broker::Broker;
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::parameter::{Fields, parameters};
use crate::secret::Secret;
use crate::sql::Port;

#[cfg(feature = "clients")]
mod client;
mod connection;

use connection::{Connection, Place, UseTls};

pub(crate) static KIND: Kind = Kind {
    name: "mysql",
    summary: "The number that a MySQL or MariaDB query gives",
    parameters: &[Metadata::PARAMETERS],
    targets: &[TargetKey { parameter: target("queryValue", "The target: how much of the number is for each replica."), companion: None }],
    default_target: None,
    activation: Some(activation("activationQueryValue")),
    example: &[
        ("host", "mysql.default"),
        ("port", "3306"),
        ("username", "orders"),
        ("dbName", "orders"),
        ("query", "SELECT COUNT(*) FROM orders WHERE state = 'open'"),
        ("queryValue", "10"),
    ],
    example_auth: &[("password", "password")],
    example_more: &[],
    read,
};

parameters! {
    /// What a MySQL trigger can be told.
    struct Metadata, draft Draft {
        /// What is asked: a query whose first row begins with a number.
        query: String = "query", from Metadata;
        /// The database and the login in one text: user:password@tcp(host:3306)/database?tls=true. Where it is given, the parameters below
        /// are not read. With tls=true the server's certificate is checked, with skip-verify not; preferred uses TLS where the server has it.
        connection: Option<Connection> = "connectionString", from Auth Environment;
        /// The server.
        host: Option<String> = "host", from Metadata Auth;
        /// The server's port; 3306 without it.
        port: Option<Port> = "port", from Metadata Auth;
        /// The user.
        user: Option<String> = "username", from Metadata Auth Environment;
        /// The user's password.
        password: Option<Secret> = "password", from Auth Environment;
        /// The database.
        database: Option<String> = "dbName", from Metadata Auth;
        /// The authority that signed the server's certificate, as PEM. Where it is given, TLS is used, and the certificate checked, unless
        /// connectionString says otherwise.
        authority: Option<Secret> = "ca", from Auth;
        /// Has no effect.
        metric_name: Option<String> = "metricName", from Metadata, but deprecated "remove it: the metric is named after the database";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    if matches!((&draft.connection, &draft.host), (Some(None), Some(None))) {
        fields.problem("host", "is missing, and so is connectionString", "give host, or all of it in connectionString");
    }
    let Metadata { query, connection, host, port, user, password, database, authority, .. } = draft.finish()?;
    let mut connection = match connection {
        Some(connection) => connection,
        None => {
            let place = Place::Host(host?, port.unwrap_or_else(|| Port("3306".to_owned())));
            let name = database.clone().unwrap_or_default();
            Connection { user, password, database, name, ..Connection::at(place) }
        }
    };
    if authority.is_some() && connection.tls == UseTls::No {
        connection.tls = UseTls::Checked;
    }
    connection.authority = authority;
    let name = format!("mysql-{}", connection.name);
    Some(Parsed::new(MySql(connection), query, name))
}

/// A database, as one user sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MySql(Connection);

impl Broker for MySql {
    type Query = String;

    fn address(&self) -> String {
        self.0.address()
    }

    fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }
}

/// The user and password that a trigger's connection is made with, and where to.
#[cfg(all(test, feature = "clients"))]
pub(crate) fn login(trigger: &crate::Trigger) -> Option<String> {
    let MySql(connection) = trigger.connection.broker::<MySql>()?;
    let password = connection.password.as_ref().map(|password| format!(":{}", password.expose())).unwrap_or_default();
    Some(format!("{}{password}", connection.user.as_deref().unwrap_or_default()))
}

#[cfg(all(test, feature = "clients"))]
mod tests;
