//! A connection to one server.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Value, cmd, pipe};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::dialogue::{Reply, words};
use super::place::Place;
use super::server::{Login, Server};
use crate::broker::Broker as _;
use crate::error::{Cause, Error};

/// A server that was connected to, with the task that moves its bytes, which ends with it.
pub(super) struct Node {
    connection: MultiplexedConnection,
    _bytes: JoinSet<()>,
}

/// How each server of one broker is reached.
pub(super) struct Dial<'a> {
    pub server: &'a Server,
    pub tls: Option<&'a Arc<ClientConfig>>,
    pub login: Option<&'a Login>,
    pub database: i64,
}

/// What a server says that knows us not, or not well enough for anything.
const REFUSALS: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"];

impl Dial<'_> {
    /// Connects to one server, and logs in.
    pub(super) async fn open(&self, place: &Place) -> Result<Node, Error> {
        let stream = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(|error| self.unreached(place, error))?;
        // What is sent is sent whole, and waited for.
        stream.set_nodelay(true).map_err(|error| self.unreached(place, error))?;
        let mut node = match self.tls {
            None => self.speak(place, stream).await?,
            Some(config) => {
                let name = ServerName::try_from(place.host.clone()).map_err(|error| self.unreached(place, error))?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                self.speak(place, stream.map_err(|error| self.unreached(place, error))?).await?
            }
        };
        self.greet(&mut node, place).await?;
        Ok(node)
    }

    async fn speak(&self, place: &Place, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Node, Error> {
        // Logging in is said in our own commands, of whose replies the library would not tell the words. Who waits for replies minds the time.
        let silent = RedisConnectionInfo::default().set_skip_set_lib_name();
        let patient = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&silent, stream, patient).await;
        let (connection, bytes) = opened.map_err(|error| self.unreached(place, error))?;
        let mut task = JoinSet::new();
        task.spawn(bytes);
        Ok(Node { connection, _bytes: task })
    }

    /// Logs in, chooses the database, and sees that it speaks to a Redis that knows us.
    async fn greet(&self, node: &mut Node, place: &Place) -> Result<(), Error> {
        let mut commands = Vec::new();
        if let Some(Login { user, password }) = self.login {
            let mut login = cmd("AUTH");
            if let Some(user) = user {
                login.arg(user.expose());
            }
            commands.push(login.arg(password.expose()).take());
        }
        if self.database != 0 {
            commands.push(cmd("SELECT").arg(self.database).take());
        }
        // Without a login these two are all that may be allowed, and a refusal of theirs alone is none.
        let needed = commands.len();
        commands.push(cmd("CLIENT").arg("SETNAME").arg("springtide").take());
        commands.push(cmd("PING"));
        let replies = node.ask(&commands).await.map_err(|error| self.unreached(place, error))?;
        for (nth, reply) in replies.iter().enumerate() {
            let Err(error) = reply else { continue };
            let code = error.code().unwrap_or_default();
            let is_login = self.login.is_some() && nth == 0;
            let reason = || format!("{place} says {}", words(error));
            if is_login || code == "NOAUTH" || (nth < needed && REFUSALS.contains(&code)) {
                return Err(Error::LogIn { broker: self.server.address(), reason: reason() });
            }
            if nth < needed {
                let what = format!("database {}", self.database);
                return Err(Error::Inspect { broker: self.server.address(), what, reason: words(error) });
            }
        }
        Ok(())
    }

    fn unreached(&self, place: &Place, source: impl Into<Cause>) -> Error {
        let source = source.into();
        // Which of several it was is in the broker's own name only where there is one.
        let source = if self.server.places == [place.clone()] { source } else { format!("{place}: {source}").into() };
        Error::Connect { broker: self.server.address(), source }
    }
}

impl Node {
    /// Sends commands in one go, and waits for the reply to each.
    pub(super) async fn ask(&mut self, commands: &[Cmd]) -> Result<Vec<Reply>, RedisError> {
        let mut pipeline = pipe();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let replies: Vec<Reply> = pipeline.ignore_errors().query_async(&mut self.connection).await?;
        Ok(replies)
    }

    /// Sends one command.
    pub(super) async fn ask_one(&mut self, command: Cmd) -> Result<Reply, RedisError> {
        let value: Result<Value, RedisError> = command.query_async(&mut self.connection).await;
        match value {
            Err(error) if error.code().is_none() => Err(error),
            reply => Ok(reply),
        }
    }
}
