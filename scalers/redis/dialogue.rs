//! What is said about one query: commands, and from their replies more commands or the answer. No connection is known here.

use redis::{Cmd, RedisError, RedisResult, Value, cmd};

use super::{Measure, Query};
use crate::broker::{Active, Answer, Level};

/// What a server says to one command.
pub(super) type Reply = RedisResult<Value>;

/// How a dialogue goes on.
pub(super) enum Next {
    /// By these commands, all about the query's key.
    Ask(Vec<Cmd>),
    /// It is over.
    Tell(Result<Answer, Refusal>),
}

/// Why a query has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This is not there.
    Missing(String),
    /// The server's words, or ours where it has none.
    Said(String),
    /// A reply of no known form.
    Unreadable(String),
}

/// What holds items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Shape {
    #[default]
    List,
    Set,
    SortedSet,
    Hash,
}

const SHAPES: [Shape; 4] = [Shape::List, Shape::Set, Shape::SortedSet, Shape::Hash];

impl Shape {
    /// The command that counts its items, in constant time. It says 0 of a key that does not exist.
    const fn count(self) -> &'static str {
        match self {
            Self::List => "LLEN",
            Self::Set => "SCARD",
            Self::SortedSet => "ZCARD",
            Self::Hash => "HLEN",
        }
    }
}

impl Query {
    /// How the dialogue goes on after these rounds of replies, as many in each as there were commands. `shape` is what the key held when it was last
    /// seen, and is kept up to date: a guess that is right needs one command, and no script on the server, for which a user may lack the permission.
    pub(super) fn next(&self, rounds: &[Vec<Reply>], shape: &mut Shape) -> Next {
        match &self.measure {
            Measure::Items => self.next_of_items(rounds, shape),
            Measure::Entries => self.next_of_entries(rounds),
            Measure::Pending(group) => self.next_of_pending(rounds, group),
            Measure::Lag(group) => self.next_of_lag(rounds, group),
        }
    }

    /// What it is about, for people.
    pub(super) fn what(&self) -> String {
        match &self.measure {
            Measure::Items => format!("the items of {:?}", self.key),
            Measure::Entries => format!("the entries of stream {:?}", self.key),
            Measure::Pending(group) | Measure::Lag(group) => format!("consumer group {group:?} of stream {:?}", self.key),
        }
    }

    fn next_of_items(&self, rounds: &[Vec<Reply>], shape: &mut Shape) -> Next {
        match rounds {
            [] => Next::Ask(vec![self.command(shape.count())]),
            [first] => match first.as_slice() {
                [Err(error)] if error.code() == Some("WRONGTYPE") => {
                    let counts = SHAPES.iter().map(|shape| self.command(shape.count()));
                    Next::Ask(counts.chain([self.command("TYPE")]).collect())
                }
                [reply] => Next::Tell(count(reply).map(waiting)),
                _ => unasked(),
            },
            [.., all] => {
                for (held, reply) in SHAPES.into_iter().zip(all) {
                    if let Ok(number) = count(reply) {
                        *shape = held;
                        return Next::Tell(Ok(waiting(number)));
                    }
                }
                let said = match all.last() {
                    Some(Ok(Value::SimpleString(name))) => {
                        format!("unsupported key type: {name}; name a list, a set, a sorted set or a hash")
                    }
                    Some(Err(error)) => words(error),
                    _ => return unasked(),
                };
                Next::Tell(Err(Refusal::Said(said)))
            }
        }
    }

    fn next_of_entries(&self, rounds: &[Vec<Reply>]) -> Next {
        let [length, groups] = match rounds {
            [] => return Next::Ask(vec![self.command("XLEN"), self.groups()]),
            [first, ..] => match first.as_slice() {
                [length, groups] => [length, groups],
                _ => return unasked(),
            },
        };
        Next::Tell(count(length).map(|length| {
            // What ever arrived is known to each group that can tell its own part of it.
            let groups = Group::all(groups).unwrap_or_default();
            let arrived = groups.iter().find_map(Group::arrived);
            Answer { arrived, done: arrived.map(|arrived| arrived.saturating_sub(length)), ..waiting(length) }
        }))
    }

    fn next_of_pending(&self, rounds: &[Vec<Reply>], group: &str) -> Next {
        let [pending, groups] = match rounds {
            [] => return Next::Ask(vec![self.command("XPENDING").arg(group).take(), self.groups()]),
            [first, ..] => match first.as_slice() {
                [pending, groups] => [pending, groups],
                _ => return unasked(),
            },
        };
        let held = match pending {
            Ok(Value::Array(summary)) => match summary.first() {
                Some(Value::Int(held)) => u64::try_from(*held).map_err(|_| unreadable(pending)),
                _ => Err(unreadable(pending)),
            },
            Err(error) if error.code() == Some("NOGROUP") => Err(Refusal::Missing(self.what())),
            Err(error) => Err(Refusal::Said(words(error))),
            Ok(_) => Err(unreadable(pending)),
        };
        Next::Tell(held.map(|held| {
            // A server that tells no more than what is held is fine.
            let group = Group::all(groups).unwrap_or_default().into_iter().find(|other| other.name == group.as_bytes());
            let known = group.map(|group| Group { pending: held, ..group });
            let (ready, arrived, done) = known.map_or((None, None, None), |group| (group.lag(), group.arrived(), group.done()));
            Answer { level: level(held), ready, in_flight: Some(held), arrived, done, target: None, active: Active::ByLevel }
        }))
    }

    fn next_of_lag(&self, rounds: &[Vec<Reply>], name: &str) -> Next {
        let (first, rest) = match rounds {
            [] => return Next::Ask(vec![self.groups()]),
            [first, rest @ ..] => (first, rest.first().map(Vec::as_slice)),
        };
        let [groups] = first.as_slice() else { return unasked() };
        if let Err(error) = groups {
            // A stream that does not exist has nothing that anybody lags behind.
            let is_missing = error.detail().is_some_and(|words| words.starts_with("no such key"));
            return Next::Tell(if is_missing { Ok(Answer { in_flight: Some(0), ..waiting(0) }) } else { Err(Refusal::Said(words(error))) });
        }
        let groups = match Group::all(groups) {
            Ok(groups) => groups,
            Err(refusal) => return Next::Tell(Err(refusal)),
        };
        let Some(group) = groups.into_iter().find(|other| other.name == name.as_bytes()) else {
            // Consumers make their group when they start: until then, everything waits for them.
            return match rest {
                None => Next::Ask(vec![self.command("XLEN")]),
                Some([length]) => Next::Tell(count(length).map(|length| Answer { in_flight: Some(0), ..waiting(length) })),
                Some(_) => unasked(),
            };
        };
        let told = |lag| {
            let (arrived, done) = (group.arrived(), group.done());
            Answer {
                level: level(lag),
                ready: Some(lag),
                in_flight: Some(group.pending),
                arrived,
                done,
                target: None,
                active: Active::ByLevel,
            }
        };
        match (&group.lag, rest) {
            (Lag::Known(lag), _) => Next::Tell(Ok(told(*lag))),
            (Lag::NotTold, _) => {
                let said =
                    "nothing of a group's lag; that takes Redis 7 or later (redis version 7+ required for lag), or use pendingEntriesCount";
                Next::Tell(Err(Refusal::Said(said.to_owned())))
            }
            // Entries between were deleted, or the group began somewhere in the middle. Once it was given all that there is, the server counts again; so it
            // is enough to know whether there is any, and how many at most.
            (Lag::Lost, None) => {
                let mut after = b"(".to_vec();
                after.extend_from_slice(&group.last_delivered);
                Next::Ask(vec![self.command("XRANGE").arg(after).arg("+").arg("COUNT").arg(1).take(), self.command("XLEN")])
            }
            (Lag::Lost, Some([next, length])) => Next::Tell(match next {
                Ok(Value::Array(entries)) if entries.is_empty() => Ok(told(0)),
                Ok(Value::Array(_)) => count(length).map(told),
                Ok(_) => Err(unreadable(next)),
                Err(error) => Err(Refusal::Said(words(error))),
            }),
            (Lag::Lost, Some(_)) => unasked(),
        }
    }

    fn command(&self, name: &str) -> Cmd {
        cmd(name).arg(&self.key).take()
    }

    fn groups(&self) -> Cmd {
        cmd("XINFO").arg("GROUPS").arg(&self.key).take()
    }
}

/// What a server tells of a consumer group.
#[derive(Debug, Default)]
struct Group {
    name: Vec<u8>,
    /// Entries that its consumers hold.
    pending: u64,
    last_delivered: Vec<u8>,
    /// Entries that it was ever given.
    read: Option<u64>,
    lag: Lag,
}

/// Entries that a group was not given yet.
#[derive(Debug, Default)]
enum Lag {
    /// The server is too old to tell.
    #[default]
    NotTold,
    /// The server lost count.
    Lost,
    Known(u64),
}

impl Group {
    /// The groups of a stream.
    fn all(reply: &Reply) -> Result<Vec<Self>, Refusal> {
        match reply {
            Ok(Value::Array(groups)) => groups.iter().map(Self::read).collect::<Option<_>>().ok_or_else(|| unreadable(reply)),
            Ok(_) => Err(unreadable(reply)),
            Err(error) => Err(Refusal::Said(words(error))),
        }
    }

    fn read(reply: &Value) -> Option<Self> {
        let mut group = Self::default();
        for (name, value) in reply.as_map_iter()? {
            let number = if let Value::Int(number) = value { u64::try_from(*number).ok() } else { None };
            match (bytes(name)?, value) {
                (b"name", value) => group.name = bytes(value)?.to_vec(),
                (b"pending", _) => group.pending = number?,
                (b"last-delivered-id", value) => group.last_delivered = bytes(value)?.to_vec(),
                (b"entries-read", _) => group.read = number,
                (b"lag", _) => group.lag = number.map_or(Lag::Lost, Lag::Known),
                _ => {}
            }
        }
        Some(group)
    }

    const fn lag(&self) -> Option<u64> {
        if let Lag::Known(lag) = self.lag { Some(lag) } else { None }
    }

    /// Entries that ever came to the stream.
    fn arrived(&self) -> Option<u64> {
        self.read.zip(self.lag()).map(|(read, lag)| read.saturating_add(lag))
    }

    /// Entries that were given and are no longer held.
    fn done(&self) -> Option<u64> {
        self.read.map(|read| read.saturating_sub(self.pending))
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// The number of a reply.
fn count(reply: &Reply) -> Result<u64, Refusal> {
    match reply {
        Ok(Value::Int(number)) => u64::try_from(*number).map_err(|_| unreadable(reply)),
        Ok(_) => Err(unreadable(reply)),
        Err(error) => Err(Refusal::Said(words(error))),
    }
}

/// The answer where so much waits and nothing else is known.
fn waiting(number: u64) -> Answer {
    Answer { level: level(number), target: None, active: Active::ByLevel, ready: Some(number), in_flight: None, arrived: None, done: None }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 entries, the last digit does not matter")]
const fn level(number: u64) -> Level {
    Level::Number(number as f64)
}

fn unreadable(reply: &Reply) -> Refusal {
    let kind = match reply {
        Ok(Value::Nil) => "nothing",
        Ok(Value::Int(_)) => "a number that makes no sense",
        Ok(Value::Array(_)) => "a list of another form",
        _ => "something of another form",
    };
    Refusal::Unreadable(format!("{kind} where a number was asked for"))
}

/// Where replies do not fit what was asked.
fn unasked() -> Next {
    Next::Tell(Err(Refusal::Unreadable("replies to other commands".to_owned())))
}

/// A server's error in its own words.
pub(super) fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}
