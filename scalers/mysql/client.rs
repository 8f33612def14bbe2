//! Connecting and asking.

use std::time::Duration;

use async_trait::async_trait;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Error as Fault, OptsBuilder, ServerError, SslOpts, Value};
use rustls::crypto::aws_lc_rs;
use tokio::time::{Instant, timeout, timeout_at};

use super::MySql;
use super::connection::{Place, UseTls};
use crate::broker::{Answer, Broker as _, Client, Level, Moment};
use crate::error::Error;
use crate::secret::Secret;
use crate::sql::{InTime, Late, NO_ROWS, number};
use crate::tls::certificates;

/// The largest packet that is taken: far more than a row that begins with a number.
const LARGEST: usize = 16 << 20;
/// After how many seconds the server may close a connection that nothing is asked over: its own usual value, said here so that it is not asked for.
const IDLE_S: usize = 28_800;

/// How long it may take to call a query back.
const CALL_BACK_WITHIN: Duration = Duration::from_secs(5);

/// What the server says where a login, a database or the way to it is refused.
const REFUSED_LOGIN: [u16; 4] = [1044, 1045, 1130, 1698];
const UNKNOWN_DATABASE: u16 = 1049;
/// What it says of the connection, not of the query: it shuts down, or has closed it.
const ABOUT_THE_CONNECTION: [u16; 6] = [1053, 1077, 1079, 1152, 1927, 4031];

/// A connection, but after a query that was not waited for, and what is remembered beyond it.
pub(crate) struct Link {
    conn: Option<Conn>,
    late: Late,
}

#[async_trait]
impl Client for MySql {
    type Connection = Link;

    async fn open(&self) -> Result<Link, Error> {
        Ok(Link { conn: Some(self.connect().await?), late: Late::default() })
    }

    async fn read(&self, link: &mut Link, queries: &[&String], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        // A little before nobody waits any more, so that one slow query does not take the others' answers with it.
        let until = Instant::now() + moment.patience * 9 / 10;
        let late = || Error::Wait { broker: self.address(), after: moment.patience };
        let mut conn = match link.conn.take() {
            Some(conn) => conn,
            None => timeout_at(until, self.connect()).await.map_err(|_| late())??,
        };
        let mut answers: Vec<Option<Result<Answer, Error>>> = queries.iter().map(|_| None).collect();
        for place in link.late.order(queries) {
            let query = queries[place];
            let Ok(answer) = timeout_at(until, self.ask(&mut conn, query)).await else {
                link.late.note(query, InTime::No);
                self.call_back(conn);
                return Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(late()))).collect());
            };
            answers[place] = Some(answer?);
            link.late.note(query, InTime::Yes);
        }
        link.conn = Some(conn);
        Ok(answers.into_iter().flatten().collect())
    }

    async fn close(&self, link: Link) {
        if let Some(conn) = link.conn {
            // The server notices anyway if this does not reach it.
            let _ = conn.disconnect().await;
        }
    }
}

impl MySql {
    async fn connect(&self) -> Result<Conn, Error> {
        let Self(connection) = self;
        let tls = match connection.tls {
            UseTls::No => None,
            UseTls::Checked => Some(self.checked()?),
            UseTls::Unchecked | UseTls::Preferred => Some(SslOpts::default().with_danger_accept_invalid_certs(true)),
        };
        // The client makes its own configuration of TLS, which looks for cryptography of the process; who was first does not matter, it is the same.
        let _ = aws_lc_rs::default_provider().install_default();
        let opened = match Conn::new(self.options(tls)?).await {
            Err(Fault::Driver(DriverError::NoClientSslFlagFromServer)) if connection.tls == UseTls::Preferred => {
                Conn::new(self.options(None)?).await
            }
            opened => opened,
        };
        opened.map_err(|error| self.refused(error))
    }

    /// Asks the server not to go on with a query that nobody waits for any more. The connection is in the middle of its answer, so it takes another
    /// one to say so.
    fn call_back(&self, conn: Conn) {
        let (id, options) = (conn.id(), conn.opts().clone());
        tokio::spawn(async move {
            drop(conn);
            let called = async { Conn::new(options).await?.query_drop(format!("KILL QUERY {id}")).await };
            // It may have ended by itself, or the server does not hear us: then there is nothing more to do.
            let _ = timeout(CALL_BACK_WITHIN, called).await;
        });
    }

    /// One query. The outer error is the connection's.
    async fn ask(&self, conn: &mut Conn, query: &str) -> Result<Result<Answer, Error>, Error> {
        let reason = match first_cell(conn, query).await {
            Ok(Some(cell)) => match number(cell.as_deref()) {
                Ok(number) => {
                    let level = Level::Number(number);
                    return Ok(Ok(Answer { level, ..Answer::number(0.0) }));
                }
                Err(reason) => reason,
            },
            Ok(None) => NO_ROWS.to_owned(),
            Err(Fault::Server(ServerError { code, message, .. })) if !ABOUT_THE_CONNECTION.contains(&code) => message,
            Err(error) => return Err(Error::Ask { broker: self.address(), source: error.into() }),
        };
        Ok(Err(Error::Inspect { broker: self.address(), what: format!("the query {query:?}"), reason }))
    }

    fn options(&self, tls: Option<SslOpts>) -> Result<OptsBuilder, Error> {
        let Self(connection) = self;
        let variables = connection.variables.iter().map(|(name, text)| format!("SET {name}={text}"));
        let options = OptsBuilder::default()
            .user(connection.user.clone())
            .pass(connection.password.as_ref().map(Secret::expose))
            .db_name(connection.database.clone())
            .ssl_opts(tls)
            .enable_cleartext_plugin(connection.cleartext)
            // Where the server is, the user has said.
            .prefer_socket(false)
            .stmt_cache_size(0)
            .max_allowed_packet(Some(LARGEST))
            .wait_timeout(Some(IDLE_S))
            .setup(variables.collect::<Vec<_>>());
        Ok(match &connection.place {
            Place::Host(host, port) => {
                let port = port.number().map_err(|reason| Error::Configure { broker: self.address(), reason })?;
                options.ip_or_hostname(host).tcp_port(port)
            }
            Place::Socket(file) => options.socket(Some(file.clone())),
        })
    }

    /// TLS with the machine's authorities, the trigger's own, and no others.
    fn checked(&self) -> Result<SslOpts, Error> {
        let mut authorities = rustls_native_certs::load_native_certs().certs;
        if let Some(authority) = &self.0.authority {
            let own = certificates(authority).map_err(|source| Error::PrepareTls { broker: self.address(), part: "ca", source })?;
            authorities.extend(own);
        }
        if authorities.is_empty() {
            let reason = "tls=true needs authorities that are trusted, and this machine has none; install ca-certificates or give ca";
            return Err(Error::Configure { broker: self.address(), reason: reason.to_owned() });
        }
        let authorities = authorities.iter().map(|authority| authority.to_vec().into());
        Ok(SslOpts::default().with_disable_built_in_roots(true).with_root_certs(authorities.collect()))
    }

    /// Why a connection was not made.
    fn refused(&self, error: Fault) -> Error {
        let broker = self.address();
        match error {
            Fault::Server(ServerError { code, message, .. }) if REFUSED_LOGIN.contains(&code) => Error::LogIn { broker, reason: message },
            Fault::Server(ServerError { code: UNKNOWN_DATABASE, .. }) => {
                let what = format!("database {:?}", self.0.database.as_deref().unwrap_or_default());
                Error::Find { broker, what }
            }
            error => Error::Connect { broker, source: error.into() },
        }
    }
}

/// The first cell of the first row: nothing where there is no row, and inside, nothing where it is NULL.
async fn first_cell(conn: &mut Conn, query: &str) -> Result<Option<Option<String>>, Fault> {
    let mut rows = conn.query_iter(query).await?;
    let cell = rows.next().await?.map(|row| match row.as_ref(0) {
        None | Some(Value::NULL) => None,
        Some(Value::Bytes(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        Some(other) => Some(other.as_sql(true)),
    });
    rows.drop_result().await?;
    Ok(cell)
}
