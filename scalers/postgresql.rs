//! PostgreSQL: the number that a query's first row begins with.
//!
//! All queries of one database and user go over one connection, as texts, one after another without waiting for the answers before them.

use std::time::Duration;

use crate::broker::Broker;
use crate::field::choice;
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::parameter::{Fields, parameters};
use crate::secret::Secret;
use crate::sql::Port;

#[cfg(feature = "clients")]
mod client;
mod connection;

use connection::Connection;

pub(crate) static KIND: Kind = Kind {
    name: "postgresql",
    summary: "The number that a PostgreSQL query gives",
    parameters: &[Metadata::PARAMETERS],
    targets: &[TargetKey {
        parameter: target("targetQueryValue", "The target: how much of the number is for each replica."),
        companion: None,
    }],
    default_target: None,
    activation: Some(activation("activationTargetQueryValue")),
    example: &[
        ("host", "postgresql.default"),
        ("port", "5432"),
        ("userName", "orders"),
        ("dbName", "orders"),
        ("sslmode", "require"),
        ("query", "SELECT COUNT(*) FROM orders WHERE state = 'open'"),
        ("targetQueryValue", "10"),
    ],
    example_auth: &[("password", "password")],
    example_more: &[],
    read,
};

choice! {
    /// Whether TLS is used, and what the server has to prove.
    enum SslMode {
        /// Without TLS.
        Disable = "disable",
        /// Without TLS where the server takes that.
        Allow = "allow",
        /// With TLS where the server has it.
        Prefer = "prefer",
        /// With TLS; who the server is is not checked, unless the connection names an authority.
        Require = "require",
        /// With TLS and a certificate of an authority that is trusted, for whatever name.
        VerifyCa = "verify-ca",
        /// With TLS and such a certificate for the server's name.
        VerifyFull = "verify-full",
    }
}

parameters! {
    /// What a PostgreSQL trigger can be told.
    struct Metadata, draft Draft {
        /// What is asked: a query whose first row begins with a number.
        query: String = "query", from Metadata;
        /// The database and the login in one text: postgresql://user:password@host:5432/database?sslmode=verify-full, or
        /// host=... port=... user=... password=... dbname=... sslmode=... with quotes where a text has spaces. Where it is given, the
        /// parameters below are not read.
        connection: Option<Connection> = "connection", from Auth Environment;
        /// The server; of several, separated by commas, the first that answers.
        host: Option<String> = "host", from Metadata Auth;
        /// The server's port.
        port: Option<Port> = "port", from Metadata Auth;
        /// The user.
        user: Option<String> = "userName", from Metadata Auth;
        /// The user's password.
        password: Option<Secret> = "password", from Auth Environment;
        /// The database.
        database: Option<String> = "dbName", from Metadata Auth;
        /// Whether TLS is used and what the server has to prove: nothing up to require, the right authority with verify-ca, its name too with
        /// verify-full.
        ssl_mode: Option<SslMode> = "sslmode", from Metadata Auth;
        /// The authority that signed the server's certificate, as PEM; with it, require is as verify-ca.
        authority: Option<Secret> = "ca", from Auth;
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    if matches!(draft.connection, Some(None)) {
        let missing = [
            (matches!(draft.host, Some(None)), "host"),
            (matches!(draft.port, Some(None)), "port"),
            (matches!(draft.user, Some(None)), "userName"),
            (matches!(draft.database, Some(None)), "dbName"),
            (matches!(draft.ssl_mode, Some(None)), "sslmode"),
        ];
        for (_, name) in missing.into_iter().filter(|(is_missing, _)| *is_missing) {
            fields.problem(name, format!("is missing (no {name} given)"), format!("give {name}, or all of it in connection"));
        }
    }
    let Metadata { query, connection, host, port, user, password, database, ssl_mode, authority } = draft.finish()?;
    let mut connection = match connection {
        Some(connection) => connection,
        None => {
            let port = port?;
            let hosts = host?.split(',').map(|host| (host.trim().to_owned(), port.clone())).collect();
            Connection { hosts, user, password, database: Some(database?), ssl_mode: ssl_mode?, ..Connection::default() }
        }
    };
    connection.authority = authority;
    Some(Parsed::new(PostgreSql(connection), query, "postgresql".to_owned()))
}

/// A database, as one user sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PostgreSql(Connection);

impl Broker for PostgreSql {
    type Query = String;

    fn address(&self) -> String {
        self.0.address()
    }

    fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }
}

/// The user and password that a trigger's connection is made with.
#[cfg(all(test, feature = "clients"))]
pub(crate) fn login(trigger: &crate::Trigger) -> Option<String> {
    let PostgreSql(connection) = trigger.connection.broker::<PostgreSql>()?;
    let password = connection.password.as_ref().map(|password| format!(":{}", password.expose())).unwrap_or_default();
    Some(format!("{}{password}", connection.user.as_deref().unwrap_or_default()))
}

#[cfg(all(test, feature = "clients"))]
mod tests;
