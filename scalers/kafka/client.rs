//! Reading the lag of many groups with few questions: one about the cluster, one for each broker that keeps offsets of groups, and one for each that leads
//! partitions, however many triggers ask.
//!
//! What a group has committed is asked before where partitions end, so that a group that keeps up is never ahead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::sleep;

use super::cluster::{self, Cluster, Login, Query, Topics};
use super::lag::Counted;
use crate::broker::{Answer, Broker as _, Client, Moment};
use crate::error::{Cause, Error};
use crate::oauth2::Token;
use crate::tls::{Check, Tls};

mod bytes;
mod line;
mod messages;
mod query;
mod session;

use line::{Line, Manner, Unready};
use messages::{Metadata, Places};
use query::{Fault, topics_of};
use session::Session;

/// How much later than the one before it each of the first brokers is tried: enough for one that is there, and little beside a read's patience.
const STAGGER: Duration = Duration::from_millis(250);

#[async_trait]
impl Client for Cluster {
    type Connection = Session;

    async fn open(&self) -> Result<Session, Error> {
        let tls = self.tls.as_ref().map(|tls| tls.client_config(&self.address())).transpose()?.map(Arc::new);
        let http = matches!(self.login, Login::Token(..)).then(|| self.http()).transpose()?;
        let manner = Manner { tls, login: self.login.clone(), token: None };
        let mut session = Session {
            manner,
            token: Token::default(),
            http,
            first: None,
            lines: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            topics: BTreeSet::new(),
            before: HashMap::new(),
        };
        session.refresh_token().await?;
        session.first = Some(self.reach(&session.manner).await?);
        Ok(session)
    }

    async fn read(&self, session: &mut Session, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        session.refresh_token().await?;
        // One broker that hangs keeps to itself, where others answer.
        let within = moment.patience / 3;
        let named = queries.iter().filter_map(|query| if let Topics::Named(topics, _) = &query.topics { Some(topics) } else { None });
        let mut topics: BTreeSet<&str> = named.flatten().map(String::as_str).collect();
        let remembered = std::mem::take(&mut session.topics);
        if queries.iter().any(|query| query.topics == Topics::Committed) {
            topics.extend(remembered.iter().map(String::as_str));
        }
        let mut seen = self.describe(session, &topics.iter().copied().collect::<Vec<_>>()).await?;

        let committed = session.committed(&seen, queries, within).await;
        let found =
            queries.iter().filter(|query| query.topics == Topics::Committed).filter_map(|query| committed.get(query.group.as_str()));
        session.topics = found.filter_map(|found| found.as_ref().ok()).flat_map(topics_of).map(str::to_owned).collect();
        let unseen: Vec<String> = session.topics.iter().filter(|topic| !seen.topics.contains_key(topic.as_str())).cloned().collect();
        if !unseen.is_empty() {
            let unseen: Vec<&str> = unseen.iter().map(String::as_str).collect();
            seen.topics.extend(self.describe(session, &unseen).await?.topics);
        }

        let places: Vec<Result<Places, Fault>> =
            queries.iter().map(|query| query.places(&seen, committed.get(query.group.as_str()))).collect();
        let ends = session.ends(&seen, places.iter().filter_map(|places| places.as_ref().ok()), within).await;
        if !session.lines.is_empty() {
            // It was to a name that stands for several brokers, and is needed no more.
            session.first = None;
        }
        Ok(queries
            .iter()
            .zip(places)
            .map(|(query, places)| {
                let before = session.before.get(*query);
                let offsets = places.and_then(|places| query.offsets(&places, committed.get(query.group.as_str()), &ends, before));
                let offsets = offsets.map_err(|fault| self.error(query, fault))?;
                if query.rules.counted == Counted::Moving {
                    let now =
                        offsets.iter().filter_map(|(place, offsets)| offsets.end.and(offsets.committed).map(|now| (place.clone(), now)));
                    session.before.insert((*query).clone(), now.collect());
                }
                Ok(query.answer(&offsets))
            })
            .collect())
    }
}

impl Cluster {
    fn http(&self) -> Result<reqwest::Client, Error> {
        let authority = self.tls.as_ref().and_then(|tls| tls.authority.clone());
        let tls = Tls { authority, identity: None, check: Check::Certificate };
        let config = tls.client_config(&self.address())?;
        let built = reqwest::Client::builder().user_agent("springtide").tls_backend_preconfigured(config).build();
        built.map_err(|error| Error::Connect { broker: self.address(), source: error.into() })
    }

    /// A line to the first of the named brokers that answers. Each is tried a little after the one before it, so that one that hangs holds up nobody.
    async fn reach(&self, manner: &Manner) -> Result<((String, u16), Line), Error> {
        let mut tries: FuturesUnordered<_> = (0_u32..)
            .zip(self.servers.iter().filter_map(|server| cluster::address(server)))
            .map(async |(place, (host, port))| {
                sleep(STAGGER * place).await;
                (host, port, Line::open(host, port, manner).await)
            })
            .collect();
        let mut trouble: Cause = "it has no address".into();
        while let Some((host, port, line)) = tries.next().await {
            match line {
                Ok(line) => return Ok(((host.to_owned(), port), line)),
                Err(Unready::Refused(reason)) => return Err(Error::LogIn { broker: self.address(), reason }),
                Err(Unready::Away(cause)) => trouble = cause,
            }
        }
        Err(Error::Connect { broker: self.address(), source: trouble })
    }

    /// The cluster as one of its brokers sees it.
    async fn describe(&self, session: &mut Session, topics: &[&str]) -> Result<messages::Cluster, Error> {
        let question = Metadata(topics);
        session.lines.retain(|_, line| line.is_good());
        // A line that lay idle may have been cut, so it is no fault if it does not answer.
        while let Some((broker, mut line)) = session.lines.pop_first() {
            if let Ok(seen) = line.ask(&question).await {
                session.lines.insert(broker, line);
                return Ok(seen);
            }
        }
        let mut first = session.first.take().filter(|(_, line)| line.is_good());
        if let Some((address, mut line)) = first.take()
            && let Ok(seen) = line.ask(&question).await
        {
            session.settle(address, line, &seen);
            return Ok(seen);
        }
        let (address, mut line) = self.reach(&session.manner).await?;
        let seen = line.ask(&question).await.map_err(|source| Error::Ask { broker: self.address(), source })?;
        session.settle(address, line, &seen);
        Ok(seen)
    }

    fn error(&self, query: &Query, fault: Fault) -> Error {
        let broker = self.address();
        match fault {
            Fault::Missing(what) => Error::Find { broker, what },
            Fault::Says { what, reason } => Error::Inspect { broker, what, reason },
            Fault::Lost(reason) => Error::Inspect { broker, what: format!("group {:?}", query.group), reason },
            Fault::Refused(reason) => Error::LogIn { broker, reason },
            Fault::Late(after) => Error::Wait { broker, after },
        }
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
pub(crate) mod tests;
