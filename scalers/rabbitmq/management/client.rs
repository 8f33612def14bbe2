//! Asking over HTTP.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures::FutureExt as _;
use serde::Deserialize;

use super::super::counts::Counts;
use super::super::host::segment;
use super::super::mode::{Counted, Mode, Operation};
use super::{Management, Names, PAGE, Query, WORTH_A_LISTING};
use crate::broker::{Answer, Broker as _, Client, Moment};
use crate::error::Error;
use crate::http::{self, Session, gather};

/// The parts of a queue that are read; leaving out the rest is most of the answer.
const COLUMNS: &str = "name,messages,messages_ready,messages_unacknowledged,message_stats.publish,message_stats.ack,message_stats.deliver_no_ack,\
                       message_stats.get_no_ack,message_stats.publish_details.rate,message_stats.deliver_get_details.rate";
/// A queue, as far as it is read. What the broker has no number for yet is missing.
#[derive(Debug, Clone, Deserialize)]
struct Queue {
    #[serde(default)]
    name: String,
    messages: Option<u64>,
    messages_ready: Option<u64>,
    messages_unacknowledged: Option<u64>,
    message_stats: Option<Stats>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Stats {
    publish: u64,
    ack: u64,
    deliver_no_ack: u64,
    get_no_ack: u64,
    publish_details: Rate,
    deliver_get_details: Rate,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Rate {
    rate: f64,
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    page_count: usize,
    #[serde(default)]
    items: Vec<Queue>,
}

#[async_trait]
impl Client for Management {
    type Connection = Session;

    async fn open(&self) -> Result<Session, Error> {
        self.0.open()
    }

    async fn read(&self, session: &mut Session, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let asker = Asker { broker: self, http: self.0.asker(session, moment).await? };
        let listed = asker.list(queries).await?;
        let mut asked = Vec::with_capacity(queries.len());
        for query in queries {
            asked.push(asker.resolve(query, &listed).boxed());
        }
        gather(session, asked).await
    }
}

/// One read.
struct Asker<'a> {
    broker: &'a Management,
    http: http::Asker<'a>,
}

impl Query {
    fn name(&self) -> &str {
        match &self.names {
            Names::One(name) => name,
            Names::Pattern { pattern, .. } => pattern,
        }
    }

    fn described(&self) -> String {
        match &self.names {
            Names::One(name) => format!("queue {name:?} of virtual host {:?}", self.vhost),
            Names::Pattern { pattern, .. } => format!("the queues that match {pattern:?} in virtual host {:?}", self.vhost),
        }
    }
}

type Listed<'q> = HashMap<(&'q str, &'q str), Vec<Queue>>;

impl Asker<'_> {
    /// The queues of each virtual host of which many are asked for. What a listing lacks is asked for one by one.
    async fn list<'q>(&self, queries: &[&'q Query]) -> Result<Listed<'q>, Error> {
        let mut wanted: HashMap<&str, HashSet<&str>> = HashMap::new();
        for query in queries.iter().filter(|query| matches!(query.names, Names::One(_))) {
            wanted.entry(&query.vhost).or_default().insert(query.name());
        }
        let mut listed = Listed::new();
        for (vhost, mut names) in wanted.into_iter().filter(|(_, names)| names.len() >= WORTH_A_LISTING) {
            let mut page = 1;
            loop {
                let size = PAGE.to_string();
                let number = page.to_string();
                let parameters = [("page", number.as_str()), ("page_size", &size), ("pagination", "true"), ("columns", COLUMNS)];
                let what = format!("the queues of virtual host {vhost:?}");
                let answer = self.http.get_json::<Page>(&format!("/api/queues/{}", segment(vhost)), &parameters, &what).await;
                let found = match answer {
                    Ok(found) => found,
                    Err(error @ (Error::Connect { .. } | Error::Ask { .. })) => return Err(error),
                    // The single questions will say what is wrong, or work where a listing does not.
                    Err(_) => break,
                };
                for queue in found.items {
                    if let Some(name) = names.take(queue.name.as_str()) {
                        listed.insert((vhost, name), vec![queue]);
                    }
                }
                // Further pages are worth it only while they are fewer than the queues still looked for.
                if page >= found.page_count || found.page_count - page >= names.len() {
                    break;
                }
                page += 1;
            }
        }
        Ok(listed)
    }

    async fn resolve(&self, query: &Query, listed: &Listed<'_>) -> Result<Answer, Error> {
        match listed.get(&(query.vhost.as_str(), query.name())) {
            Some(queues) if matches!(query.names, Names::One(_)) => self.answer(query, queues),
            _ => self.answer(query, &self.ask(query).await?),
        }
    }

    /// The queues of one query.
    async fn ask(&self, query: &Query) -> Result<Vec<Queue>, Error> {
        let what = query.described();
        let path = format!("/api/queues/{}", segment(&query.vhost));
        match &query.names {
            Names::One(name) => {
                let queue = self.http.get_json::<Queue>(&format!("{path}/{}", segment(name)), &[("columns", COLUMNS)], &what).await?;
                Ok(vec![queue])
            }
            Names::Pattern { pattern, page_size, .. } => {
                let size = page_size.to_string();
                let parameters = [
                    ("page", "1"),
                    ("page_size", size.as_str()),
                    ("name", pattern),
                    ("use_regex", "true"),
                    ("pagination", "false"),
                    ("columns", COLUMNS),
                ];
                let page = self.http.get_json::<Page>(&path, &parameters, &what).await?;
                if page.page_count > 1 {
                    let reason = format!(
                        "the regex matches more queues than can be recovered at once ({} pages of {size}); raise pageSize or narrow queueName",
                        page.page_count
                    );
                    return Err(Error::Inspect { broker: self.broker.address(), what, reason });
                }
                Ok(page.items)
            }
        }
    }

    fn answer(&self, query: &Query, queues: &[Queue]) -> Result<Answer, Error> {
        let counts: Option<Vec<Counts>> = queues.iter().map(|queue| queue.counts(query)).collect();
        let Some(counts) = counts else {
            let reason = "that it has no numbers yet; they come a few seconds after a queue is made".to_owned();
            return Err(Error::Inspect { broker: self.broker.address(), what: query.described(), reason });
        };
        let operation = match query.names {
            Names::One(_) => Operation::Sum,
            Names::Pattern { operation, .. } => operation,
        };
        Ok(Counts::combine(&counts, operation).answer(query.mode))
    }
}

impl Queue {
    /// The counts of this queue, if those that the query needs are there.
    fn counts(&self, query: &Query) -> Option<Counts> {
        let messages = match query.counted {
            Counted::All => self.messages,
            Counted::Ready => self.messages_ready,
        };
        // A rate needs no count of messages; without statistics nothing has moved yet, and the rates are 0.
        let needs_messages = !matches!(query.mode, Mode::DeliverGetRate | Mode::PublishedToDeliveredRatio);
        let stats = self.message_stats.as_ref();
        Some(Counts {
            messages: if needs_messages { messages? } else { messages.unwrap_or(0) },
            publish_rate: stats.map_or(0.0, |stats| stats.publish_details.rate),
            deliver_rate: stats.map_or(0.0, |stats| stats.deliver_get_details.rate),
            ready: self.messages_ready,
            in_flight: self.messages_unacknowledged,
            arrived: stats.map(|stats| stats.publish),
            // Messages that are delivered without asking for an acknowledgement are done with their delivery.
            done: stats.map(|stats| stats.ack + stats.deliver_no_ack + stats.get_no_ack),
        })
    }
}
