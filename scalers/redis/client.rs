//! Connecting and asking: one pipeline for all keys of a server.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use redis::{Cmd, RedisError, Value, cmd};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use super::Query;
use super::cluster::{self, Cluster};
use super::dialogue::{Next, Refusal, Reply, Shape, words};
use super::node::{Dial, Node, channel};
use super::place::Place;
use super::server::{Server, Way};
use crate::broker::{Answer, Broker as _, Client, Moment};
use crate::error::Error;

/// What stays open.
pub(crate) struct Link {
    tls: Option<Arc<ClientConfig>>,
    to: To,
    /// What keys held when they were last seen, where that is no list.
    shapes: HashMap<String, Shape>,
}

/// Whom it leads to.
enum To {
    Server(Node),
    Cluster(Cluster),
    Master(Box<Master>),
}

/// A server that has to be master, and who says that it is.
struct Master {
    node: Node,
    place: Place,
    /// None where the last one fell silent.
    sentinel: Option<Node>,
}

#[async_trait]
impl Client for Server {
    type Connection = Link;

    async fn open(&self) -> Result<Link, Error> {
        let tls = cluster::tls(self)?;
        let dial = self.dial(tls.as_ref());
        let to = match self.way {
            Way::Alone => To::Server(first(self.places.iter().map(|place| dial.open(place))).await?),
            Way::Cluster => To::Cluster(first(self.places.iter().map(|place| Cluster::open(&dial, place))).await?),
            Way::Sentinels => {
                let (place, sentinel) = self.ask_sentinels(tls.as_ref()).await?;
                let mut node = dial.open(&place).await?;
                self.ask_master(&mut node, &[]).await?;
                To::Master(Box::new(Master { node, place, sentinel: Some(sentinel) }))
            }
        };
        Ok(Link { tls, to, shapes: HashMap::new() })
    }

    async fn listen(&self, queries: &[&Query], changed: &(dyn Fn(usize) + Send + Sync)) -> Result<(), Error> {
        let Some(place) = self.places.first() else { return Ok(()) };
        let tls = cluster::tls(self)?;
        let keys: Vec<&str> = queries.iter().map(|query| query.key.as_str()).collect();
        let Some(mut heard) = self.dial(tls.as_ref()).hear(place, &keys).await? else { return pending().await };
        let mut by_channel: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, key) in keys.iter().enumerate() {
            by_channel.entry(channel(self.database, key)).or_default().push(at);
        }
        let mut messages = heard.on_message();
        while let Some(message) = messages.next().await {
            by_channel.get(message.get_channel_name()).into_iter().flatten().for_each(|at| changed(*at));
        }
        Ok(())
    }

    async fn read(&self, link: &mut Link, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        // A little before nobody waits any more, so that one node without an answer does not take the others' answers with it.
        let until = Instant::now() + moment.patience * 9 / 10;
        let Link { tls, to, shapes } = link;
        let dial = self.dial(tls.as_ref());
        if let To::Master(master) = to {
            self.confirm(master, tls.as_ref(), moment.patience / 4).await?;
        }
        let mut rounds: Vec<Vec<Vec<Reply>>> = queries.iter().map(|_| Vec::new()).collect();
        let mut answers: Vec<Option<Result<Answer, Error>>> = queries.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..queries.len()).collect();
        while !open.is_empty() {
            let mut asking = Vec::new();
            let mut asked = Vec::new();
            for nth in open.drain(..) {
                let query = queries[nth];
                let known = shapes.get(&query.key).copied().unwrap_or_default();
                let mut shape = known;
                match query.next(&rounds[nth], &mut shape) {
                    Next::Ask(commands) => {
                        asking.push(nth);
                        asked.push((query.key.as_str(), commands));
                    }
                    Next::Tell(told) => answers[nth] = Some(told.map_err(|refusal| self.refused(query, refusal))),
                }
                if shape != known {
                    shapes.insert(query.key.clone(), shape);
                }
            }
            if asked.is_empty() {
                break;
            }
            let replies = self.exchange(to, &dial, asked, until, moment.patience).await?;
            for (nth, replies) in asking.into_iter().zip(replies) {
                match replies {
                    Ok(replies) => {
                        rounds[nth].push(replies);
                        open.push(nth);
                    }
                    Err(error) => answers[nth] = Some(Err(error)),
                }
            }
        }
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        let is_of_connection = |answer: &Result<Answer, Error>| {
            matches!(answer, Err(Error::Connect { .. } | Error::Ask { .. } | Error::Wait { .. } | Error::LogIn { .. }))
        };
        // Where no node answers, the cluster is at fault.
        if !answers.is_empty()
            && answers.iter().all(is_of_connection)
            && let Some(Err(error)) = answers.pop()
        {
            return Err(error);
        }
        Ok(answers)
    }
}

/// The first of several attempts at the same time that succeeds; else the error of one, rather a refused login than silence.
async fn first<T>(attempts: impl Iterator<Item = impl Future<Output = Result<T, Error>>>) -> Result<T, Error> {
    let mut attempts: FuturesUnordered<_> = attempts.collect();
    let mut failed = None;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(done) => return Ok(done),
            Err(error) if failed.is_none() || !matches!(error, Error::Connect { .. }) => failed = Some(error),
            Err(_) => {}
        }
    }
    Err(failed.unwrap_or_else(|| Error::Configure { broker: "Redis".to_owned(), reason: "no address is given; give one".to_owned() }))
}

impl Server {
    fn dial<'a>(&'a self, tls: Option<&'a Arc<ClientConfig>>) -> Dial<'a> {
        Dial { server: self, tls, login: self.login.as_ref(), database: self.database }
    }

    /// As many answers as questions, in their order; an outer error where the connection is of no more use.
    async fn exchange(
        &self,
        to: &mut To,
        dial: &Dial<'_>,
        asked: Vec<(&str, Vec<Cmd>)>,
        until: Instant,
        patience: Duration,
    ) -> Result<Vec<Result<Vec<Reply>, Error>>, Error> {
        let (sizes, commands): (Vec<usize>, Vec<Vec<Cmd>>) = match to {
            To::Cluster(cluster) => return Ok(cluster.exchange(dial, asked, until, patience).await),
            To::Server(_) | To::Master(_) => asked.into_iter().map(|(_, commands)| (commands.len(), commands)).unzip(),
        };
        let commands = commands.concat();
        let replies = match to {
            To::Server(node) => node.ask(&commands).await.map_err(|error| self.broken(error))?,
            To::Master(master) => self.ask_master(&mut master.node, &commands).await?,
            To::Cluster(_) => Vec::new(),
        };
        let mut replies = replies.into_iter();
        Ok(sizes.into_iter().map(|size| Ok(replies.by_ref().take(size).collect())).collect())
    }

    /// That the sentinels still name the server that we read from. Only they know of a failover at once: the old master may think for long that it is one.
    /// While none of them answers, the server's own word counts.
    async fn confirm(&self, master: &mut Master, tls: Option<&Arc<ClientConfig>>, patience: Duration) -> Result<(), Error> {
        let asked = async {
            match master.sentinel.take() {
                Some(mut sentinel) => Ok((self.ask_sentinel(&mut sentinel).await?, sentinel)),
                None => self.ask_sentinels(tls).await,
            }
        };
        let Ok(Ok((place, sentinel))) = timeout(patience, asked).await else { return Ok(()) };
        master.sentinel = Some(sentinel);
        if place == master.place { Ok(()) } else { Err(self.broken(format!("the master is {place} now, and no longer {}", master.place))) }
    }

    /// Asks a server that has to be master. It knows by itself when it has become a replica.
    async fn ask_master(&self, node: &mut Node, commands: &[Cmd]) -> Result<Vec<Reply>, Error> {
        // Each user may say HELLO. A server that does not know it is older than any role that it could tell of here.
        let all: Vec<Cmd> = [cmd("HELLO")].iter().chain(commands).cloned().collect();
        let mut replies = node.ask(&all).await.map_err(|error| self.broken(error))?.into_iter();
        match replies.next().as_ref().and_then(role) {
            Some(role) if role != "master" => Err(self.broken(format!("the server that the sentinels named is {role} and no master"))),
            _ => Ok(replies.collect()),
        }
    }

    /// Where the master is, by the first sentinel that answers.
    async fn ask_sentinels(&self, tls: Option<&Arc<ClientConfig>>) -> Result<(Place, Node), Error> {
        let dial = Dial { server: self, tls, login: self.sentinel_login.as_ref(), database: 0 };
        let dial = &dial;
        let attempt = async move |place| {
            let mut sentinel = dial.open(place).await?;
            Ok((self.ask_sentinel(&mut sentinel).await?, sentinel))
        };
        first(self.places.iter().map(attempt)).await
    }

    /// Where the master is, by one sentinel's word.
    async fn ask_sentinel(&self, sentinel: &mut Node) -> Result<Place, Error> {
        let refused = |what: &str, reason: String| Error::Inspect { broker: self.address(), what: what.to_owned(), reason };
        let name = match &self.sentinel_master {
            Some(name) => name.clone(),
            None => {
                let reply = sentinel.ask_one(cmd("SENTINEL").arg("MASTERS").take()).await.map_err(|error| self.broken(error))?;
                let masters = reply.map_err(|error| self.unknown("the masters that its sentinels watch", &error))?;
                match names(&masters).as_slice() {
                    [name] => name.clone(),
                    names => {
                        let reason = format!("there are {}: {}; name one in sentinelMaster", names.len(), names.join(", "));
                        return Err(refused("the master that its sentinels watch", reason));
                    }
                }
            }
        };
        let asked = cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&name).take();
        let what = format!("the master {name:?} of its sentinels (sentinelMaster)");
        match sentinel.ask_one(asked).await.map_err(|error| self.broken(error))? {
            Ok(Value::Array(address)) => match address.as_slice() {
                [Value::BulkString(host), Value::BulkString(port)] => {
                    let (host, port) = (String::from_utf8_lossy(host), String::from_utf8_lossy(port));
                    Place::new(&host, Some(&port), 0).map_err(|reason| refused(&what, format!("an address that {reason}")))
                }
                _ => Err(refused(&what, "an address of another form".to_owned())),
            },
            Ok(_) => Err(Error::Find { broker: self.address(), what }),
            Err(error) => Err(self.unknown(&what, &error)),
        }
    }

    /// A question that is about no key and was refused.
    fn unknown(&self, what: &str, error: &RedisError) -> Error {
        let (broker, reason) = (self.address(), words(error));
        if error.code() == Some("NOAUTH") {
            Error::LogIn { broker, reason }
        } else {
            Error::Inspect { broker, what: what.to_owned(), reason }
        }
    }

    /// Why one query was not answered.
    fn refused(&self, query: &Query, refusal: Refusal) -> Error {
        let (broker, what) = (self.address(), query.what());
        match refusal {
            Refusal::Missing(what) => Error::Find { broker, what },
            Refusal::Said(reason) => Error::Inspect { broker, what, reason },
            Refusal::Unreadable(source) => Error::Decode { broker, what, source: source.into() },
        }
    }

    fn broken(&self, source: impl Into<crate::error::Cause>) -> Error {
        Error::Ask { broker: self.address(), source: source.into() }
    }
}

/// What a server says that it is, in its reply to HELLO.
fn role(reply: &Reply) -> Option<String> {
    let mut fields = reply.as_ref().ok()?.as_map_iter()?;
    fields.find_map(|(name, value)| (text(name)? == "role").then(|| text(value)).flatten())
}

/// The names of masters, in a sentinel's list of them.
fn names(masters: &Value) -> Vec<String> {
    let Value::Array(masters) = masters else { return Vec::new() };
    masters
        .iter()
        .filter_map(|master| master.as_map_iter()?.find_map(|(name, value)| (text(name)? == "name").then(|| text(value)).flatten()))
        .collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}
