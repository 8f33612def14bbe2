//! From what brokers answered to a query's own answer, or to why there is none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::messages::{self, Found, NONE_COMMITTED, Places, UNKNOWN, words};
use crate::broker::{Active, Answer};
use crate::kafka::cluster::{Query, Topics};
use crate::kafka::lag::{Lag, Offsets};

/// Why a part of a read came to nothing. It may concern several queries.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// A topic is not there.
    Missing(String),
    /// A broker, or we, have something to say about it.
    Says { what: String, reason: String },
    /// A broker could not be reached.
    Lost(String),
    /// A broker refuses the login.
    Refused(String),
    /// A broker did not answer.
    Late(Duration),
}

/// A partition: its topic and number.
pub(super) type Place = (String, i32);

/// Where partitions end, as far as that is known.
pub(super) type Ends = BTreeMap<String, BTreeMap<i32, Result<i64, Fault>>>;

/// That a group's offsets are kept nowhere just now.
pub(super) const NOT_AVAILABLE: i16 = 15;

impl Query {
    /// The partitions that count.
    pub(super) fn places(&self, seen: &messages::Cluster, committed: Option<&Result<Found, Fault>>) -> Result<Places, Fault> {
        let what = || format!("group {:?}", self.group);
        let (topics, chosen): (Vec<&str>, _) = match &self.topics {
            Topics::Named(topics, chosen) => (topics.iter().map(String::as_str).collect(), chosen.as_ref()),
            Topics::Committed => {
                (topics_of(committed.ok_or_else(|| says(what(), NOT_AVAILABLE))?.as_ref().map_err(Fault::clone)?).collect(), None)
            }
        };
        if topics.is_empty() {
            let reason = "it has committed no offsets, so nobody knows its topics; name them with topic".to_owned();
            return Err(Fault::Says { what: what(), reason });
        }
        let mut places = Places::new();
        for topic in topics {
            let partitions = match seen.topics.get(topic) {
                Some(Ok(partitions)) => partitions,
                None | Some(Err(UNKNOWN)) => return Err(Fault::Missing(format!("topic {topic:?}"))),
                Some(Err(error)) => return Err(says(format!("topic {topic:?}"), *error)),
            };
            let partitions: Vec<i32> =
                partitions.keys().copied().filter(|partition| chosen.is_none_or(|chosen| chosen.contains(*partition))).collect();
            if partitions.is_empty() {
                let reason = "it has none of the partitions that partitionLimitation names; correct them".to_owned();
                return Err(Fault::Says { what: format!("topic {topic:?}"), reason });
            }
            places.insert(topic.to_owned(), partitions);
        }
        Ok(places)
    }

    /// The offsets of these partitions.
    pub(super) fn offsets(
        &self,
        places: &Places,
        committed: Option<&Result<Found, Fault>>,
        ends: &Ends,
        before: Option<&BTreeMap<Place, i64>>,
    ) -> Result<Vec<(Place, Offsets)>, Fault> {
        let group = || format!("group {:?}", self.group);
        let committed = committed.ok_or_else(|| says(group(), NOT_AVAILABLE))?.as_ref().map_err(Fault::clone)?;
        let mut all = Vec::new();
        for (topic, partitions) in places {
            for partition in partitions {
                let what = || format!("{} of {}", group(), place(topic, *partition));
                let committed = match committed.get(topic).and_then(|found| found.get(partition)) {
                    Some(Ok(NONE_COMMITTED)) => None,
                    Some(Ok(offset)) => Some(*offset),
                    Some(Err(error)) => return Err(says(what(), *error)),
                    // Asked about all that it has committed, a broker leaves out what the group has not.
                    None if self.topics == Topics::Committed => None,
                    None => return Err(Fault::Says { what: what(), reason: "nothing, though it was asked".to_owned() }),
                };
                let end = ends.get(topic).and_then(|ends| ends.get(partition)).cloned().transpose()?;
                let key = (topic.clone(), *partition);
                let before = before.and_then(|before| before.get(&key)).copied();
                all.push((key, Offsets { committed, end, before }));
            }
        }
        Ok(all)
    }

    pub(super) fn answer(&self, offsets: &[(Place, Offsets)]) -> Answer {
        let rules = &self.rules;
        let lags: Vec<Lag> = offsets.iter().map(|(_, offsets)| offsets.lag(rules)).collect();
        let sum = |count: &dyn Fn(Offsets) -> u64| offsets.iter().fold(0_u64, |sum, (_, offsets)| sum.saturating_add(count(*offsets)));
        let total = rules.total(&lags);
        #[expect(clippy::cast_precision_loss, reason = "what is lost beyond 2^53 messages is nothing to a number of replicas")]
        let [counted, all] = [total.counted as f64, total.all as f64];
        // Kafka does not know which of the messages without a commit a worker holds already, so nothing is said of that.
        Answer {
            active: Active::By(all),
            arrived: Some(sum(&Offsets::arrived)),
            done: Some(sum(&|offsets| offsets.done(rules))),
            ..Answer::number(counted)
        }
    }
}

/// The topics of which an offset was committed.
pub(super) fn topics_of(found: &Found) -> impl Iterator<Item = &str> {
    let is_committed = |offset: &Result<i64, i16>| offset.is_ok_and(|offset| offset != NONE_COMMITTED);
    found.iter().filter(move |(_, found)| found.values().any(is_committed)).map(|(topic, _)| topic.as_str())
}

/// Adds partitions to others, each once.
pub(super) fn add(all: &mut Places, more: &Places) {
    for (topic, partitions) in more {
        let known = all.entry(topic.clone()).or_default();
        known.extend(partitions);
        known.sort_unstable();
        known.dedup();
    }
}

pub(super) fn place(topic: &str, partition: i32) -> String {
    format!("partition {partition} of topic {topic:?}")
}

pub(super) fn says(what: String, error: i16) -> Fault {
    Fault::Says { what, reason: words(error) }
}
