//! What stays open between two reads, and how its brokers are asked: all at the same time, each once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::bytes::Form;
use super::line::{Line, Manner, Unready};
use super::messages::{self, FindCoordinator, Found, ListOffsets, MOVED, NO_LEADER, OffsetFetch, Places};
use super::query::{Ends, Fault, NOT_AVAILABLE, Place, add, place, says};
use crate::error::{Cause, Error};
use crate::kafka::cluster::{Login, Query, Topics};
use crate::oauth2::Token;

/// What stays open between two reads.
pub(crate) struct Session {
    pub(super) manner: Manner,
    pub(super) token: Token,
    /// For tokens.
    pub(super) http: Option<reqwest::Client>,
    /// The first line, until it is known which broker's it is.
    pub(super) first: Option<((String, u16), Line)>,
    /// By the broker's number.
    pub(super) lines: BTreeMap<i32, Line>,
    /// Which broker keeps a group's offsets.
    pub(super) coordinators: BTreeMap<String, i32>,
    /// Topics that groups were found to have committed offsets of: they are asked about together with those that are named.
    pub(super) topics: BTreeSet<String>,
    /// What was committed at the last read, for queries that compare with it.
    pub(super) before: HashMap<Query, BTreeMap<Place, i64>>,
}

/// What one broker is asked.
trait Job: Sync {
    type Reply: Send;
    fn ask(&self, line: &mut Line) -> impl Future<Output = Result<Self::Reply, Cause>> + Send;
}

impl Session {
    /// Keeps a token that is good, where the login is by token.
    pub(super) async fn refresh_token(&mut self) -> Result<(), Error> {
        if let (Login::Token(issuer, _), Some(http)) = (&self.manner.login, &self.http) {
            self.manner.token = Some(self.token.get(issuer, http).await?);
        }
        Ok(())
    }

    /// Puts the first line where it belongs, now that it is known who is who.
    pub(super) fn settle(&mut self, address: (String, u16), line: Line, seen: &messages::Cluster) {
        match seen.brokers.iter().find(|(_, broker)| **broker == address) {
            Some((number, _)) => drop(self.lines.insert(*number, line)),
            None => self.first = Some((address, line)),
        }
    }

    /// What the groups of these queries have committed.
    pub(super) async fn committed<'q>(
        &mut self,
        seen: &messages::Cluster,
        queries: &[&'q Query],
        within: Duration,
    ) -> BTreeMap<&'q str, Result<Found, Fault>> {
        let mut wanted: BTreeMap<&str, Option<Places>> = BTreeMap::new();
        for query in queries {
            // Of a topic that is not there, nothing is asked.
            let places = match &query.topics {
                Topics::Committed => None,
                Topics::Named(..) => Some(query.places(seen, None).unwrap_or_default()),
            };
            match (wanted.entry(&query.group).or_insert_with(|| Some(Places::new())), places) {
                (Some(all), Some(places)) => add(all, &places),
                (all, _) => *all = None,
            }
        }
        // Nothing wanted is another thing than everything.
        wanted.retain(|_, places| places.as_ref().is_none_or(|places| !places.is_empty()));
        let mut answers = BTreeMap::new();
        for try_again in [true, false] {
            self.find_coordinators(seen, &wanted, within, &mut answers).await;
            let mut jobs: BTreeMap<i32, Commits<'_>> = BTreeMap::new();
            for (group, places) in std::mem::take(&mut wanted) {
                if let Some(broker) = self.coordinators.get(group) {
                    jobs.entry(*broker).or_default().0.push((group, places));
                }
            }
            for (job, reply) in self.ask_each(seen, jobs, within).await {
                for (group, places) in job.0 {
                    let found = match &reply {
                        Ok(groups) => groups.get(group).cloned().unwrap_or_else(|| Ok(Found::new())),
                        Err(fault) => {
                            self.coordinators.remove(group);
                            answers.insert(group, Err(fault.clone()));
                            continue;
                        }
                    };
                    if found.as_ref().is_err_and(|error| MOVED.contains(error)) {
                        self.coordinators.remove(group);
                        if try_again {
                            wanted.insert(group, places);
                            continue;
                        }
                    }
                    answers.insert(group, found.map_err(|error| says(format!("group {group:?}"), error)));
                }
            }
        }
        answers
    }

    /// Finds out who keeps the offsets of groups of which it is not known.
    async fn find_coordinators<'q>(
        &mut self,
        seen: &messages::Cluster,
        wanted: &BTreeMap<&'q str, Option<Places>>,
        within: Duration,
        answers: &mut BTreeMap<&'q str, Result<Found, Fault>>,
    ) {
        let groups: Vec<&str> = wanted.keys().copied().filter(|group| !self.coordinators.contains_key(*group)).collect();
        // Any broker knows; best one that there is a line to.
        let Some(broker) = self.lines.keys().chain(seen.brokers.keys()).next().copied().filter(|_| !groups.is_empty()) else { return };
        let jobs = BTreeMap::from([(broker, Coordinators(groups))]);
        for (Coordinators(groups), reply) in self.ask_each(seen, jobs, within).await {
            for group in groups {
                let found = match &reply {
                    Ok(brokers) => {
                        brokers.get(group).copied().unwrap_or(Err(NOT_AVAILABLE)).map_err(|error| says(format!("group {group:?}"), error))
                    }
                    Err(fault) => Err(fault.clone()),
                };
                match found {
                    Ok(broker) => drop(self.coordinators.insert(group.to_owned(), broker)),
                    Err(fault) => drop(answers.insert(group, Err(fault))),
                }
            }
        }
    }

    /// Where partitions end, each asked about once, of those who lead them.
    pub(super) async fn ends<'p>(&mut self, seen: &messages::Cluster, places: impl Iterator<Item = &'p Places>, within: Duration) -> Ends {
        let mut all = Places::new();
        for places in places {
            add(&mut all, places);
        }
        let (mut jobs, mut ends): (BTreeMap<i32, Places>, Ends) = (BTreeMap::new(), Ends::new());
        for (topic, partitions) in all {
            let leaders = seen.topics.get(&topic).and_then(|leaders| leaders.as_ref().ok());
            for partition in partitions {
                match leaders.and_then(|leaders| leaders.get(&partition)).copied().filter(|leader| *leader != NO_LEADER) {
                    Some(leader) => jobs.entry(leader).or_default().entry(topic.clone()).or_default().push(partition),
                    None => {
                        let fault = Fault::Says { what: place(&topic, partition), reason: "it has no leader just now".to_owned() };
                        ends.entry(topic.clone()).or_default().insert(partition, Err(fault));
                    }
                }
            }
        }
        let jobs = jobs.into_iter().map(|(leader, places)| (leader, Ending(places))).collect();
        for (Ending(places), reply) in self.ask_each(seen, jobs, within).await {
            for (topic, partitions) in places {
                let ends = ends.entry(topic.clone()).or_default();
                for partition in partitions {
                    let end = match &reply {
                        Ok(found) => found.get(&topic).and_then(|found| found.get(&partition)).copied(),
                        Err(fault) => {
                            ends.insert(partition, Err(fault.clone()));
                            continue;
                        }
                    };
                    // What is left out of an answer has no end.
                    if let Some(end) = end {
                        ends.insert(partition, end.map_err(|error| says(place(&topic, partition), error)));
                    }
                }
            }
        }
        ends
    }

    /// Asks several brokers at the same time, each over its line or a new one.
    async fn ask_each<J: Job>(
        &mut self,
        seen: &messages::Cluster,
        jobs: BTreeMap<i32, J>,
        within: Duration,
    ) -> Vec<(J, Result<J::Reply, Fault>)> {
        let Self { manner, lines, .. } = self;
        let asked: Vec<_> = jobs
            .into_iter()
            .map(|(broker, job)| {
                let (line, address) = (lines.remove(&broker).filter(Line::is_good), seen.brokers.get(&broker));
                let manner = &*manner;
                async move {
                    let asked = timeout(within, ask(manner, address, line, &job)).await.unwrap_or(Err(Fault::Late(within)));
                    (broker, job, asked)
                }
            })
            .collect();
        let mut answers = Vec::new();
        let mut is_refused = false;
        for (broker, job, asked) in join_all(asked).await {
            is_refused |= matches!(asked, Err(Fault::Refused(_)));
            let reply = asked.map(|(line, reply)| {
                lines.insert(broker, line);
                reply
            });
            answers.push((job, reply));
        }
        if is_refused {
            self.token.forget();
        }
        answers
    }
}

/// Asks one broker. A line that lay idle may have been cut; then a new one is made.
async fn ask<J: Job>(manner: &Manner, address: Option<&(String, u16)>, line: Option<Line>, job: &J) -> Result<(Line, J::Reply), Fault> {
    if let Some(mut line) = line
        && let Ok(reply) = job.ask(&mut line).await
    {
        return Ok((line, reply));
    }
    let (host, port) = address.ok_or_else(|| Fault::Lost("one of its brokers is away".to_owned()))?;
    let lost = |cause: &Cause| Fault::Lost(format!("broker {host}:{port} cannot be asked: {cause}"));
    let mut line = Line::open(host, *port, manner).await.map_err(|unready| match unready {
        Unready::Refused(reason) => Fault::Refused(reason),
        Unready::Away(cause) => lost(&cause),
    })?;
    let reply = job.ask(&mut line).await.map_err(|cause| lost(&cause))?;
    Ok((line, reply))
}

/// Who keeps the offsets of these groups?
struct Coordinators<'q>(Vec<&'q str>);

impl Job for Coordinators<'_> {
    type Reply = BTreeMap<String, Result<i32, i16>>;

    async fn ask(&self, line: &mut Line) -> Result<Self::Reply, Cause> {
        if line.versions.join_groups() {
            return line.ask(&FindCoordinator(&self.0, Form::Compact)).await;
        }
        let mut found = BTreeMap::new();
        for group in &self.0 {
            found.extend(line.ask(&FindCoordinator(&[group], Form::Classic)).await?);
        }
        Ok(found)
    }
}

/// What have these groups committed, of these partitions or of any?
#[derive(Default)]
struct Commits<'q>(Vec<(&'q str, Option<Places>)>);

impl Job for Commits<'_> {
    type Reply = BTreeMap<String, Result<Found, i16>>;

    async fn ask(&self, line: &mut Line) -> Result<Self::Reply, Cause> {
        if line.versions.join_groups() {
            return line.ask(&OffsetFetch(&self.0, Form::Compact)).await;
        }
        let mut found = BTreeMap::new();
        for group in &self.0 {
            found.extend(line.ask(&OffsetFetch(std::slice::from_ref(group), Form::Classic)).await?);
        }
        Ok(found)
    }
}

/// Where do these partitions end?
struct Ending(Places);

impl Job for Ending {
    type Reply = Found;

    async fn ask(&self, line: &mut Line) -> Result<Found, Cause> {
        line.ask(&ListOffsets(&self.0)).await
    }
}
