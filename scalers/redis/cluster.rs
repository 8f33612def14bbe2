//! A cluster: which node serves which key, and the way after keys that move.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use redis::{Cmd, RedisError, Value, cmd};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::dialogue::{Reply, words};
use super::node::{Dial, Node};
use super::place::Place;
use super::server::Server;
use crate::broker::Broker as _;
use crate::error::Error;

/// How many slots there are, by the protocol.
const SLOTS: u16 = 16_384;
/// How often one key is followed from node to node: a key that moves is at most pointed on twice.
const HOPS: usize = 4;

/// The nodes, and the slots that each serves.
pub(super) struct Cluster {
    map: Map,
    nodes: HashMap<Place, Node>,
    /// Whether a node pointed elsewhere or did not answer, so that the map is read anew before it is used again.
    stale: bool,
}

/// Which node serves which slots: the last slot of each range, with its first and its node.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Map(BTreeMap<u16, (u16, Place)>);

/// Commands about one key.
struct Errand {
    /// Whose they are.
    nth: usize,
    commands: Vec<Cmd>,
    to: Place,
    /// Whether the node has the key only by the way, and wants to be told that we know.
    asking: bool,
}

impl Cluster {
    /// A cluster of which one node is known.
    pub(super) async fn open(dial: &Dial<'_>, place: &Place) -> Result<Self, Error> {
        let mut node = dial.open(place).await?;
        let map = Map::read(dial, &mut node, place).await?;
        Ok(Self { map, nodes: HashMap::from([(place.clone(), node)]), stale: false })
    }

    /// Asks of keys, as many answers as questions and in their order. Each node that serves any of them gets one pipeline, all at the same time, and one
    /// that does not answer fails those that it serves.
    pub(super) async fn exchange(
        &mut self,
        dial: &Dial<'_>,
        asked: Vec<(&str, Vec<Cmd>)>,
        until: Instant,
        patience: Duration,
    ) -> Vec<Result<Vec<Reply>, Error>> {
        if self.stale {
            self.refresh(dial, until).await;
        }
        let mut answers: Vec<Option<Result<Vec<Reply>, Error>>> = asked.iter().map(|_| None).collect();
        let mut errands = Vec::new();
        for (nth, (key, commands)) in asked.into_iter().enumerate() {
            match self.map.node(slot(key)) {
                Some(place) => errands.push(Errand { nth, commands, to: place.clone(), asking: false }),
                None => {
                    self.stale = true;
                    let reason = format!("no node that serves its slot ({})", slot(key));
                    let what = format!("key {key:?}");
                    answers[nth] = Some(Err(Error::Inspect { broker: dial.server.address(), what, reason }));
                }
            }
        }
        for hop in 1..=HOPS {
            if errands.is_empty() {
                break;
            }
            let mut loads: HashMap<Place, Vec<Errand>> = HashMap::new();
            for errand in errands.drain(..) {
                loads.entry(errand.to.clone()).or_default().push(errand);
            }
            let runs = loads.into_iter().map(|(place, load)| {
                let node = self.nodes.remove(&place);
                async move {
                    let (node, replies) = match timeout_at(until, run(dial, &place, node, &load)).await {
                        Ok(Ok((node, replies))) => (Some(node), Ok(replies)),
                        Ok(Err(error)) => (None, Err(error)),
                        Err(_) => (None, Err(Error::Wait { broker: dial.server.address(), after: patience })),
                    };
                    (place, node, load, replies)
                }
            });
            for (place, node, load, replies) in join_all(runs).await {
                self.nodes.extend(node.map(|node| (place.clone(), node)));
                let replies = match replies {
                    Ok(replies) => replies,
                    Err(error) => {
                        self.stale = true;
                        for errand in load {
                            answers[errand.nth] = Some(Err(again(&error)));
                        }
                        continue;
                    }
                };
                for (errand, replies) in load.into_iter().zip(replies) {
                    match redirection(&replies, &place).filter(|_| hop < HOPS) {
                        Some((to, asking)) => {
                            self.stale |= !asking;
                            errands.push(Errand { to, asking, ..errand });
                        }
                        None => {
                            self.stale |=
                                replies.iter().any(|reply| reply.as_ref().is_err_and(|error| error.code() == Some("CLUSTERDOWN")));
                            answers[errand.nth] = Some(Ok(replies));
                        }
                    }
                }
            }
        }
        answers.into_iter().flatten().collect()
    }

    /// Reads the map anew from any node that answers. While none does, the old one is kept.
    async fn refresh(&mut self, dial: &Dial<'_>, until: Instant) {
        // Half of what is left, so that something remains for what the map is for.
        let half = Instant::now() + until.saturating_duration_since(Instant::now()) / 2;
        let known: Vec<Place> = self.nodes.keys().cloned().chain(dial.server.places.iter().cloned()).collect();
        let reads = known.iter().map(|place| {
            let node = self.nodes.remove(place);
            async move {
                let mut node = match node {
                    Some(node) => node,
                    None => dial.open(place).await?,
                };
                Ok::<_, Error>((place, Map::read(dial, &mut node, place).await?, node))
            }
        });
        let reads: Vec<_> = reads.map(|read| timeout_at(half, read)).collect();
        for (place, map, node) in join_all(reads).await.into_iter().flatten().flatten() {
            if self.stale {
                (self.map, self.stale) = (map, false);
            }
            self.nodes.insert(place.clone(), node);
        }
    }
}

/// Sends a node what it is to be asked. A connection that is old and turns out to be broken is made anew once.
async fn run(dial: &Dial<'_>, place: &Place, node: Option<Node>, load: &[Errand]) -> Result<(Node, Vec<Vec<Reply>>), Error> {
    let mut commands = Vec::new();
    for errand in load {
        for command in &errand.commands {
            if errand.asking {
                commands.push(cmd("ASKING"));
            }
            commands.push(command.clone());
        }
    }
    let failed = |error: RedisError| Error::Ask { broker: dial.server.address(), source: format!("{place}: {error}").into() };
    let was_open = node.is_some();
    let mut node = match node {
        Some(node) => node,
        None => dial.open(place).await?,
    };
    let mut replies = node.ask(&commands).await;
    if was_open && replies.is_err() {
        node = dial.open(place).await?;
        replies = node.ask(&commands).await;
    }
    let mut replies = replies.map_err(failed)?.into_iter();
    let taken = load.iter().map(|errand| {
        let each = if errand.asking { 2 } else { 1 };
        replies.by_ref().take(errand.commands.len() * each).skip(each - 1).step_by(each).collect()
    });
    let taken = taken.collect();
    Ok((node, taken))
}

/// Where a node points instead of answering, and whether only for this once.
fn redirection(replies: &[Reply], from: &Place) -> Option<(Place, bool)> {
    replies.iter().find_map(|reply| {
        let error = reply.as_ref().err()?;
        let (to, _) = error.redirect_node()?;
        let (host, port) = to.rsplit_once(':')?;
        // A node that does not know its own name leaves it out: then it is the one that was asked.
        let host = if host.is_empty() { &from.host } else { host };
        Some((Place::new(host, Some(port), 0).ok()?, error.code() == Some("ASK")))
    })
}

/// One node's error for each of those that it serves.
fn again(error: &Error) -> Error {
    match error {
        Error::Wait { broker, after } => Error::Wait { broker: broker.clone(), after: *after },
        Error::LogIn { broker, reason } => Error::LogIn { broker: broker.clone(), reason: reason.clone() },
        Error::Connect { broker, source } => Error::Connect { broker: broker.clone(), source: source.to_string().into() },
        Error::Ask { broker, source } => Error::Ask { broker: broker.clone(), source: source.to_string().into() },
        other => Error::Ask { broker: String::new(), source: other.chain().into() },
    }
}

impl Map {
    async fn read(dial: &Dial<'_>, node: &mut Node, place: &Place) -> Result<Self, Error> {
        let broker = || dial.server.address();
        let what = || format!("the slots of the cluster at {place}");
        let reply = node.ask_one(cmd("CLUSTER").arg("SLOTS").take()).await;
        match reply.map_err(|error| Error::Ask { broker: broker(), source: format!("{place}: {error}").into() })? {
            Ok(value) => Self::of(&value, place).ok_or_else(|| Error::Decode {
                broker: broker(),
                what: what(),
                source: "not of the usual form".into(),
            }),
            Err(error) => Err(Error::Inspect { broker: broker(), what: what(), reason: words(&error) }),
        }
    }

    /// What `CLUSTER SLOTS` says: ranges, each with its first and last slot and its nodes, the master first.
    fn of(value: &Value, asked: &Place) -> Option<Self> {
        let Value::Array(ranges) = value else { return None };
        let slot =
            |value: &Value| if let Value::Int(number) = value { u16::try_from(*number).ok().filter(|slot| *slot < SLOTS) } else { None };
        let mut map = BTreeMap::new();
        for range in ranges {
            let Value::Array(range) = range else { return None };
            let [first, last, Value::Array(master), ..] = range.as_slice() else { return None };
            let [host, Value::Int(port), ..] = master.as_slice() else { return None };
            // A node without a name of its own is the one that was asked; a question mark is one whose name is not known yet.
            let host = match host {
                Value::BulkString(host) => std::str::from_utf8(host).ok()?,
                Value::SimpleString(host) => host,
                _ => "",
            };
            if host == "?" {
                continue;
            }
            let host = if host.is_empty() { &asked.host } else { host };
            map.insert(slot(last)?, (slot(first)?, Place { host: host.to_owned(), port: u16::try_from(*port).ok()? }));
        }
        Some(Self(map))
    }

    fn node(&self, slot: u16) -> Option<&Place> {
        let (_, (first, place)) = self.0.range(slot..).next()?;
        (*first <= slot).then_some(place)
    }
}

/// The slot of a key: of what stands between its first braces, where that is anything, else of all of it.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag).filter(|tag| !tag.is_empty());
    crc16(tag.unwrap_or(key).as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the cluster's protocol wants it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

/// The configuration that all nodes share.
pub(super) fn tls(server: &Server) -> Result<Option<Arc<ClientConfig>>, Error> {
    server.tls.as_ref().map(|tls| tls.client_config(&server.address()).map(Arc::new)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_protocol() {
        // The check value of the algorithm, and what CLUSTER KEYSLOT says.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (key, expected) in [("foo", 12182), ("", 0), ("{foo}.bar", 12182), ("a{foo}", 12182), ("{}foo", crc16(b"{}foo") % SLOTS)] {
            assert_eq!(slot(key), expected, "{key}");
        }
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
    }

    #[test]
    fn the_map_knows_who_serves_what() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let range =
            |first, last, nodes: &[Value]| Value::Array([Value::Int(first), Value::Int(last)].iter().chain(nodes).cloned().collect());
        let asked = Place { host: "seed".to_owned(), port: 1 };
        let said = Value::Array(vec![
            range(0, 99, &[node(text("a"), 7000), node(text("replica"), 7001)]),
            range(200, 299, &[node(Value::Nil, 7002)]),
            range(300, 399, &[node(text("?"), 7003)]),
        ]);
        let map = Map::of(&said, &asked).expect("the usual form");
        let served = |slot| map.node(slot).map(Place::to_string);
        assert_eq!([served(0), served(99)], [Some("a:7000".to_owned()), Some("a:7000".to_owned())]);
        assert_eq!((served(100), served(200), served(300), served(16_383)), (None, Some("seed:7002".to_owned()), None, None));
        for odd in [Value::Nil, Value::Array(vec![Value::Int(1)]), Value::Array(vec![range(0, 20_000, &[node(text("a"), 1)])])] {
            assert_eq!(Map::of(&odd, &asked), None, "{odd:?}");
        }
    }
}
