//! Connecting and asking.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::iter;
use futures::{FutureExt as _, StreamExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::{SslMode as UseTls, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client as Asking, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connection::{Connection, Session};
use super::{PostgreSql, SslMode};
use crate::broker::{Answer, Broker as _, Client, Level, Moment};
use crate::error::Error;
use crate::secret::Secret;
use crate::sql::{InTime, Late, NO_ROWS, number};
use crate::tls::{Check, Identity, Tls};

/// How many queries are on their way at a time. The server answers in order, so more would only wait there; and of a query that nobody waits for any
/// more only the one that runs is called back.
const PIPELINE: usize = 4;

/// An open connection.
pub(crate) struct Link {
    client: Asking,
    /// What moves bytes; it ends with the connection.
    moving: JoinHandle<()>,
    tls: MakeRustlsConnect,
    late: Late,
    /// That the last read had no answer at all.
    is_silent: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.moving.abort();
    }
}

#[async_trait]
impl Client for PostgreSql {
    type Connection = Link;

    async fn open(&self) -> Result<Link, Error> {
        let Self(connection) = self;
        let (mut config, tls) = (self.config()?, self.tls().await?);
        let modes: &[UseTls] = match connection.ssl_mode {
            SslMode::Disable => &[UseTls::Disable],
            // First without, and with TLS where the server wants it.
            SslMode::Allow => &[UseTls::Disable, UseTls::Require],
            SslMode::Prefer => &[UseTls::Prefer],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[UseTls::Require],
        };
        let mut first = None;
        for mode in modes {
            match config.ssl_mode(*mode).connect(tls.clone()).await {
                Ok((client, moving)) => {
                    // Whoever asks next learns how it ended.
                    let moving = tokio::spawn(async move { drop(moving.await) });
                    return Ok(Link { client, moving, tls, late: Late::default(), is_silent: false });
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.map_or_else(|| self.fault("it has no way to be reached"), |error| self.refused(error)))
    }

    async fn read(&self, link: &mut Link, queries: &[&String], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        // A little before nobody waits any more, so that one slow query does not take the others' answers with it.
        let until = Instant::now() + moment.patience * 9 / 10;
        let order = link.late.order(queries);
        let client = &link.client;
        let mut asked = Vec::with_capacity(queries.len());
        for place in &order {
            asked.push(self.ask(client, queries[*place]).boxed());
        }
        let mut asked = iter(asked).buffered(PIPELINE);
        let mut answers: Vec<Option<Result<Answer, Error>>> = queries.iter().map(|_| None).collect();
        for place in &order {
            let Ok(answer) = timeout_at(until, asked.next()).await else {
                let (cancel, tls) = (client.cancel_token(), link.tls.clone());
                // The server is asked not to go on with it. Whether it hears that shows at the next read.
                tokio::spawn(async move { cancel.cancel_query(tls).await });
                link.late.note(queries[*place], InTime::No);
                break;
            };
            answers[*place] = answer.transpose()?;
            link.late.note(queries[*place], InTime::Yes);
        }
        let was_silent = link.is_silent;
        link.is_silent = answers.iter().all(Option::is_none);
        let late = || Error::Wait { broker: self.address(), after: moment.patience };
        // Once, a slow query may have been in the way of the others; whoever says nothing twice does not live.
        if link.is_silent && was_silent {
            return Err(late());
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(late()))).collect())
    }
}

impl PostgreSql {
    /// One query. The outer error is the connection's.
    async fn ask(&self, client: &Asking, query: &str) -> Result<Result<Answer, Error>, Error> {
        let reason = match first_cell(client, query).await {
            Ok(Some(cell)) => match number(cell.as_deref()) {
                Ok(number) => {
                    let level = Level::Number(number);
                    return Ok(Ok(Answer { level, ..Answer::number(0.0) }));
                }
                Err(reason) => reason,
            },
            Ok(None) => NO_ROWS.to_owned(),
            Err(error) => match error.as_db_error() {
                // The server goes, or sends us away: whoever asks next is told the same.
                Some(said) if said.severity() == "FATAL" || said.severity() == "PANIC" => {
                    return Err(Error::Ask { broker: self.address(), source: said.message().into() });
                }
                Some(said) => said.message().to_owned(),
                None => return Err(Error::Ask { broker: self.address(), source: error.into() }),
            },
        };
        Ok(Err(Error::Inspect { broker: self.address(), what: format!("the query {query:?}"), reason }))
    }

    fn config(&self) -> Result<Config, Error> {
        let Self(connection) = self;
        let mut config = Config::new();
        for (host, port) in &connection.hosts {
            config.host(host).port(port.number().map_err(|reason| self.fault(&reason))?);
        }
        // Without one, the client would take that of our own process.
        let user = connection.user.as_ref().ok_or_else(|| self.fault("no user is given; name one in connection"))?;
        config.user(user).application_name("springtide");
        if let Some(password) = &connection.password {
            config.password(password.expose());
        }
        if let Some(database) = &connection.database {
            config.dbname(database);
        }
        config.target_session_attrs(match connection.session {
            Session::Any => TargetSessionAttrs::Any,
            Session::ReadWrite => TargetSessionAttrs::ReadWrite,
            Session::ReadOnly => TargetSessionAttrs::ReadOnly,
        });
        let mut options = String::new();
        for (name, text) in &connection.settings {
            match name.as_str() {
                "application_name" => _ = config.application_name(text),
                "options" => options.push_str(text),
                _ => {
                    let text = text.replace('\\', r"\\").replace(' ', r"\ ");
                    options.push_str(&format!(" -c {name}={text}"));
                }
            }
        }
        if !options.is_empty() {
            config.options(options.trim_start());
        }
        Ok(config)
    }

    async fn tls(&self) -> Result<MakeRustlsConnect, Error> {
        let Self(connection) = self;
        let check = match connection.ssl_mode {
            SslMode::VerifyFull => Check::Certificate,
            SslMode::VerifyCa => Check::Authority,
            // As libpq has it: whoever names an authority wants it checked.
            SslMode::Require if connection.authority.is_some() || connection.authority_file.is_some() => Check::Authority,
            SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => Check::Nothing,
        };
        let Connection { authority, authority_file, certificate, key, key_password, .. } = connection;
        let authority = match authority {
            Some(authority) => Some(authority.clone()),
            None => self.file(authority_file.as_deref(), "sslrootcert").await?,
        };
        let pair = self.file(certificate.as_deref(), "sslcert").await?.zip(self.file(key.as_deref(), "sslkey").await?);
        let identity = pair.map(|(certificate, key)| Identity { certificate, key, key_password: key_password.clone() });
        let config = Arc::new(Tls { authority, identity, check }.client_config(&self.address())?);
        Ok(MakeRustlsConnect::new(Arc::unwrap_or_clone(config)))
    }

    /// The PEM text of a file that the connection names.
    async fn file(&self, path: Option<&str>, part: &'static str) -> Result<Option<Secret>, Error> {
        let Some(path) = path else { return Ok(None) };
        let text = tokio::fs::read_to_string(path).await;
        text.map(|text| Some(Secret::from(text))).map_err(|error| Error::PrepareTls { broker: self.address(), part, source: error.into() })
    }

    fn fault(&self, reason: &str) -> Error {
        Error::Configure { broker: self.address(), reason: reason.to_owned() }
    }

    /// Why a connection was not made.
    fn refused(&self, error: tokio_postgres::Error) -> Error {
        let broker = self.address();
        let Some(said) = error.as_db_error() else { return Error::Connect { broker, source: error.into() } };
        let reason = said.message().to_owned();
        let is_about_login = [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION, SqlState::INSUFFICIENT_PRIVILEGE]
            .contains(said.code());
        match said.code() {
            _ if is_about_login => Error::LogIn { broker, reason },
            code if *code == SqlState::INVALID_CATALOG_NAME => {
                let what = format!("database {:?}", self.0.database.as_deref().unwrap_or_default());
                Error::Find { broker, what }
            }
            _ => Error::Connect { broker, source: reason.into() },
        }
    }
}

/// The first cell of the first row: nothing where there is no row, and inside, nothing where it is NULL.
async fn first_cell(client: &Asking, query: &str) -> Result<Option<Option<String>>, tokio_postgres::Error> {
    let mut messages = std::pin::pin!(client.simple_query_raw(query).await?);
    while let Some(message) = messages.next().await {
        if let SimpleQueryMessage::Row(row) = message? {
            return Ok(Some(if row.is_empty() { None } else { row.try_get(0)?.map(str::to_owned) }));
        }
    }
    Ok(None)
}
