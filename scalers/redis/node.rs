//! A connection to one server.

use std::sync::Arc;

use redis::aio::{MultiplexedConnection, PubSub};
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

/// A stream, encrypted or not.
trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

/// So many keys are named in one command.
const AT_ONCE: usize = 500;

/// The channel on which a server tells of a key.
pub(super) fn channel(database: i64, key: &str) -> String {
    format!("__keyspace@{database}__:{key}")
}

/// What a server says that knows us not, or not well enough for anything.
const REFUSALS: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"];

impl Dial<'_> {
    /// Connects to one server, and logs in.
    pub(super) async fn open(&self, place: &Place) -> Result<Node, Error> {
        let mut node = self.speak(place, self.connect(place).await?).await?;
        self.greet(&mut node, place).await?;
        Ok(node)
    }

    /// Connects to one server, logs in, and hears what happens to these keys, if the server tells such things.
    pub(super) async fn hear(&self, place: &Place, keys: &[&str]) -> Result<Option<PubSub>, Error> {
        let mut node = self.open(place).await?;
        let asked = node.ask_one(cmd("CONFIG").arg("GET").arg("notify-keyspace-events").take()).await;
        // Who may not ask is told nothing of it.
        let Ok(Ok(told)) = asked else { return Ok(None) };
        let told: Vec<String> = redis::from_redis_value(told).unwrap_or_default();
        if !told.last().is_some_and(|events| events.contains('K') && events.len() > 1) {
            return Ok(None);
        }
        drop(node);
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name().set_db(self.database);
        if let Some(Login { user, password }) = self.login {
            info = info.set_password(password.expose());
            if let Some(user) = user {
                info = info.set_username(user.expose());
            }
        }
        let fault = |error: RedisError| self.unreached(place, error);
        let mut heard = PubSub::new(&info, self.connect(place).await?).await.map_err(fault)?;
        let channels: Vec<String> = keys.iter().map(|key| channel(self.database, key)).collect();
        for some in channels.chunks(AT_ONCE) {
            heard.subscribe(some).await.map_err(fault)?;
        }
        Ok(Some(heard))
    }

    async fn connect(&self, place: &Place) -> Result<Box<dyn Bytes>, Error> {
        let stream = TcpStream::connect((place.host.as_str(), place.port)).await.map_err(|error| self.unreached(place, error))?;
        // What is sent is sent whole, and waited for.
        stream.set_nodelay(true).map_err(|error| self.unreached(place, error))?;
        let Some(config) = self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(place.host.clone()).map_err(|error| self.unreached(place, error))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(|error| self.unreached(place, error))?))
    }

    async fn speak(&self, place: &Place, stream: Box<dyn Bytes>) -> Result<Node, Error> {
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
