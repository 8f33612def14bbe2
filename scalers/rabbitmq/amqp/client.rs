//! Connecting and asking.

use std::collections::HashSet;
use std::sync::Arc;

use async_rs::TokioRuntime;
use async_trait::async_trait;
use futures::future::join_all;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::runtime::default_runtime;
use lapin::tcp::RustlsConnector;
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};

use super::super::counts::Counts;
use super::super::mode::Mode;
use super::{Amqp, Login};
use crate::broker::{Answer, Broker as _, Client, Moment};
use crate::error::{Cause, Error};

/// How many questions go out before the first answer is waited for. RabbitMQ answers a channel in order, so more would only fill buffers.
const PIPELINE: usize = 64;

/// A connection, and the channel that questions go over while it lasts.
pub(crate) struct Link {
    connection: Connection,
    channel: Option<Channel>,
    /// Queues that were not there last time. A queue that is not there closes the channel, so these are asked for last.
    missing: HashSet<String>,
}

#[async_trait]
impl Client for Amqp {
    type Connection = Link;

    async fn open(&self) -> Result<Link, Error> {
        let uri = self.uri()?;
        let connector = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(Arc::new(self.tls.client_config(&self.address())?)),
        };
        let runtime = default_runtime().map_err(|error| self.refused(error))?;
        let properties = ConnectionProperties::default().with_connection_name("springtide".into());
        // The client's own way of making a stream knows no certificate that goes unchecked.
        let dial = async move |uri: AMQPUri, runtime: TokioRuntime| {
            let name = uri.authority.host;
            let address = (name.trim_matches(['[', ']']).to_owned(), uri.authority.port);
            let stream = AsyncTcpStream::connect(&runtime, runtime.to_socket_addrs(address)).await?;
            match &connector {
                Some(config) => Ok(stream.into_rustls(&RustlsConnector::from(Arc::clone(config)), &name).await?),
                None => Ok(stream),
            }
        };
        let connection = Connection::connector(uri, runtime, dial, properties).await.map_err(|error| self.refused(error))?;
        Ok(Link { connection, channel: None, missing: HashSet::new() })
    }

    async fn read(&self, link: &mut Link, queues: &[&String], _: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let mut answers: Vec<Option<Result<Answer, Error>>> = queues.iter().map(|_| None).collect();
        let mut waiting: Vec<usize> = (0..queues.len()).collect();
        waiting.sort_by_key(|place| link.missing.contains(queues[*place]));
        let mut waiting = waiting.as_slice();
        while !waiting.is_empty() {
            let channel = self.channel(link).await?;
            let batch = &waiting[..waiting.len().min(PIPELINE)];
            let declared = join_all(batch.iter().map(|place| count(&channel, queues[*place]))).await;
            for (place, ready) in batch.iter().zip(declared) {
                let answer = match ready {
                    Ok(ready) => Ok(Counts { messages: ready, ready: Some(ready), ..Counts::default() }.answer(Mode::QueueLength)),
                    Err(error) => Err(self.unanswered(queues[*place], error)?),
                };
                waiting = &waiting[1..];
                let failed = answer.is_err();
                if failed {
                    link.missing.insert(queues[*place].clone());
                } else {
                    link.missing.remove(queues[*place]);
                }
                answers[*place] = Some(answer);
                if failed {
                    // The broker closed the channel at this one; whatever was asked after it is asked again on a new channel.
                    link.channel = None;
                    break;
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn close(&self, link: Link) {
        // The broker notices anyway if this does not reach it.
        let _ = link.connection.close(200, "done".into()).await;
    }
}

async fn count(channel: &Channel, queue: &str) -> Result<u64, lapin::Error> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok(u64::from(queue.message_count()))
}

impl Login {
    /// How it is said.
    pub(crate) const fn mechanism(&self) -> SASLMechanism {
        match self {
            Self::Password(..) => SASLMechanism::Plain,
            Self::Certificate => SASLMechanism::External,
        }
    }
}

impl Amqp {
    fn uri(&self) -> Result<AMQPUri, Error> {
        let (scheme, port) = match self.host.scheme.as_str() {
            "amqp" => (AMQPScheme::AMQP, 5672),
            "amqps" => (AMQPScheme::AMQPS, 5671),
            _ => {
                let reason = "protocol is amqp, but host is no amqp:// or amqps:// URL; correct one of them".to_owned();
                return Err(Error::Configure { broker: self.address(), reason });
            }
        };
        let userinfo = match &self.login {
            Login::Password(user, password) => AMQPUserInfo { username: user.expose().to_owned(), password: password.expose().to_owned() },
            Login::Certificate => AMQPUserInfo { username: String::new(), password: String::new() },
        };
        Ok(AMQPUri {
            scheme,
            authority: AMQPAuthority { userinfo, host: self.host.name.clone(), port: self.host.port.unwrap_or(port) },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { auth_mechanism: Some(self.login.mechanism()), ..AMQPQueryString::default() },
        })
    }

    async fn channel(&self, link: &mut Link) -> Result<Channel, Error> {
        if let Some(channel) = link.channel.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = link.connection.create_channel().await.map_err(|error| self.broken(error))?;
        link.channel = Some(channel.clone());
        Ok(channel)
    }

    /// Why a connection was not made.
    fn refused(&self, error: lapin::Error) -> Error {
        match error.kind() {
            ErrorKind::ProtocolError(said)
                if matches!(
                    said.kind(),
                    AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                ) =>
            {
                Error::LogIn { broker: self.address(), reason: said.get_message().to_string() }
            }
            _ => Error::Connect { broker: self.address(), source: cause(error) },
        }
    }

    /// Why one queue was not counted, if it is that queue's own fault.
    fn unanswered(&self, queue: &str, error: lapin::Error) -> Result<Error, Error> {
        let what = format!("queue {queue:?}");
        match error.kind() {
            ErrorKind::ProtocolError(said) => match said.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Ok(Error::Find { broker: self.address(), what }),
                AMQPErrorKind::Soft(_) => Ok(Error::Inspect { broker: self.address(), what, reason: said.get_message().to_string() }),
                AMQPErrorKind::Hard(_) => Err(self.broken(error)),
            },
            _ => Err(self.broken(error)),
        }
    }

    fn broken(&self, error: lapin::Error) -> Error {
        Error::Ask { broker: self.address(), source: cause(error) }
    }
}

fn cause(error: lapin::Error) -> Cause {
    Box::new(error)
}
