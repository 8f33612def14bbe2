//! Asking the monitoring interface: one page for all consumers of an account, and in a cluster that of each node that leads any of them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::join_all;
use serde::Deserialize;

use super::{Account, Nats, Query};
use crate::broker::{Active, Answer, Client, Level, Moment};
use crate::error::Error;
use crate::http::{Server, Session};

/// What a node says of an account, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    server_id: String,
    disabled: bool,
    meta_cluster: Option<MetaCluster>,
    account_details: Vec<AccountDetail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaCluster {
    cluster_size: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccountDetail {
    id: String,
    name: String,
    stream_detail: Vec<StreamDetail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamDetail {
    name: String,
    state: State,
    consumer_detail: Vec<ConsumerDetail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    last_seq: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConsumerDetail {
    name: String,
    num_pending: u64,
    num_ack_pending: u64,
    config: Option<Config>,
    cluster: Option<Group>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    filter_subject: String,
    filter_subjects: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    leader: String,
}

/// What a node says of itself and of the others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct About {
    server_id: String,
    server_name: String,
    /// Where clients may connect to, of all nodes.
    connect_urls: Vec<String>,
    cluster: Routes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Routes {
    urls: Vec<String>,
}

/// What stays open.
pub(crate) struct Link {
    session: Session,
    /// The nodes of a cluster, once somebody needed them; none while nobody has, or where somebody was not found.
    nodes: Vec<Node>,
}

/// A node of a cluster.
#[derive(Debug, Clone)]
struct Node {
    id: String,
    name: String,
    server: Server,
}

#[async_trait]
impl Client for Nats {
    type Connection = Link;

    async fn open(&self) -> Result<Link, Error> {
        Ok(Link { session: self.0.open()?, nodes: Vec::new() })
    }

    async fn read(&self, link: &mut Link, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let mut accounts: HashMap<&Account, Vec<usize>> = HashMap::new();
        for (nth, query) in queries.iter().enumerate() {
            accounts.entry(&query.account).or_default().push(nth);
        }
        let mut answers: Vec<Option<Result<Answer, Error>>> = queries.iter().map(|_| None).collect();
        for (account, asked) in accounts {
            let page = match self.page(&self.0, link, account, moment).await {
                Err(error @ (Error::Connect { .. } | Error::Ask { .. } | Error::Wait { .. } | Error::LogIn { .. })) => return Err(error),
                page => page,
            };
            let told = match page {
                Ok(page) => self.told(link, account, page, asked.iter().map(|nth| queries[*nth]).collect(), moment).await,
                Err(error) => {
                    let words = error.chain();
                    asked.iter().map(|_| Err(self.refused(&account.what(), &words))).collect()
                }
            };
            for (nth, answer) in asked.into_iter().zip(told) {
                answers[nth] = Some(answer);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

impl Nats {
    /// What a node says of an account.
    async fn page(&self, server: &Server, link: &mut Link, account: &Account, moment: Moment) -> Result<Page, Error> {
        let asker = server.asker(&mut link.session, moment).await?;
        asker.get_json("/jsz", &account.parameters(), &account.what()).await
    }

    /// The answers to queries about one account, of which one node gave its page.
    async fn told(
        &self,
        link: &mut Link,
        account: &Account,
        page: Page,
        queries: Vec<&Query>,
        moment: Moment,
    ) -> Vec<Result<Answer, Error>> {
        if page.disabled {
            return queries.iter().map(|_| Err(self.refused(&account.what(), "that JetStream is disabled"))).collect();
        }
        let is_cluster = page.meta_cluster.as_ref().is_some_and(|cluster| cluster.cluster_size > 1);
        if !is_cluster {
            return queries
                .into_iter()
                .map(|query| query.find(&page).map(|found| found.answer()).ok_or_else(|| self.missing(query, &[&page])))
                .collect();
        }
        if link.nodes.is_empty() {
            link.nodes = self.nodes(link, moment).await;
        }
        let by_id = |id: &str| link.nodes.iter().find(|node| node.id == id).map(|node| node.name.clone());
        // Which node's word counts of each consumer, where this page tells. A consumer of which it knows nothing may be at any other node.
        let here = by_id(&page.server_id);
        let leaders: Vec<Option<String>> = queries.iter().map(|query| query.find(&page).map(|found| found.leader().to_owned())).collect();
        let anywhere = leaders.iter().any(Option::is_none);
        let named: HashSet<&str> = leaders.iter().flatten().map(String::as_str).collect();
        let wanted: Vec<Node> = link
            .nodes
            .iter()
            .filter(|node| here.as_ref() != Some(&node.name) && (anywhere || named.contains(node.name.as_str())))
            .cloned()
            .collect();
        let mut pages: Vec<(String, Page)> = here.map(|here| (here, page)).into_iter().collect();
        pages.extend(self.pages(link, account, wanted, moment).await);
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            let found = pages.iter().find_map(|(name, page)| query.find(page).filter(|found| found.leader() == name));
            answers.push(found.map(|found| found.answer()).ok_or_else(|| {
                let pages: Vec<&Page> = pages.iter().map(|(_, page)| page).collect();
                self.missing(query, &pages)
            }));
        }
        if answers.iter().any(Result::is_err) {
            // The cluster may have other nodes by now.
            link.nodes.clear();
        }
        answers
    }

    /// The pages of several nodes at the same time, of those that answer.
    async fn pages(&self, link: &mut Link, account: &Account, nodes: Vec<Node>, moment: Moment) -> Vec<(String, Page)> {
        let mut askers = Vec::with_capacity(nodes.len());
        for node in &nodes {
            if let Ok(asker) = node.server.asker(&mut link.session, moment).await {
                askers.push((node, asker));
            }
        }
        let (parameters, what) = (account.parameters(), account.what());
        let asked = askers.iter().map(|(node, asker)| {
            let page = asker.get_json::<Page>("/jsz", &parameters, &what);
            async move { page.await.ok().map(|page| (node.name.clone(), page)) }.boxed()
        });
        join_all(asked.collect::<Vec<_>>()).await.into_iter().flatten().collect()
    }

    /// The nodes of the cluster, of those that answer, as one of them tells.
    async fn nodes(&self, link: &mut Link, moment: Moment) -> Vec<Node> {
        let Some(first) = self.about(&self.0, link, moment).await else { return Vec::new() };
        let mut bases: Vec<String> = first.others(&self.0.base);
        bases.sort_unstable();
        bases.dedup();
        let mut nodes = vec![Node { id: first.server_id, name: first.server_name, server: self.0.clone() }];
        let servers: Vec<Server> = bases.into_iter().map(|base| Server { base, logins: Vec::new(), ..self.0.clone() }).collect();
        let mut askers = Vec::with_capacity(servers.len());
        for server in &servers {
            if let Ok(asker) = server.asker(&mut link.session, moment).await {
                askers.push((server, asker));
            }
        }
        let asked = askers.iter().map(|(server, asker)| {
            async move { asker.get_json::<About>("/varz", &[], "a node").await.ok().map(|about| (about, *server)) }.boxed()
        });
        for (about, server) in join_all(asked.collect::<Vec<_>>()).await.into_iter().flatten() {
            let node = Node { id: about.server_id, name: about.server_name, server: server.clone() };
            match nodes.iter_mut().find(|known| known.id == node.id && known.name == node.name) {
                // An address of its own is better than one that may lead to any of them.
                Some(known) => *known = node,
                None => nodes.push(node),
            }
        }
        nodes
    }

    async fn about(&self, server: &Server, link: &mut Link, moment: Moment) -> Option<About> {
        let asker = server.asker(&mut link.session, moment).await.ok()?;
        asker.get_json("/varz", &[], "the nodes of its cluster").await.ok()
    }

    /// Why a consumer was not found on these pages.
    fn missing(&self, query: &Query, pages: &[&Page]) -> Error {
        let Query { stream, consumer, .. } = query;
        let streams = || pages.iter().flat_map(|page| query.account.streams(page));
        let is_stream = streams().any(|other| other.name == *stream);
        if pages.iter().any(|page| query.find(page).is_some()) {
            let reason =
                format!("leader node not found for consumer {consumer}; see that each node's monitoring port can be reached from here");
            return self.refused(&query.what(), &reason);
        }
        let what = if is_stream {
            format!("consumer {consumer:?} (not found in stream {stream:?})")
        } else {
            format!("stream {stream:?} of {}", query.account.what())
        };
        Error::Find { broker: self.0.address(), what }
    }

    fn refused(&self, what: &str, reason: &str) -> Error {
        Error::Inspect { broker: self.0.address(), what: what.to_owned(), reason: reason.to_owned() }
    }
}

impl About {
    /// Where the monitoring interfaces of all nodes should be, seen from that of one: at the same port. Nodes that are not told to clients are known by
    /// their routes, and as the names below the one that was asked, as pods of a StatefulSet are.
    fn others(&self, base: &str) -> Vec<String> {
        let Some((scheme, asked)) = base.split_once("://") else { return Vec::new() };
        let port =
            asked.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).map_or_else(String::new, |port| format!(":{port}"));
        let host = |url: &str| url.rsplit_once(':').map_or(url, |(host, _)| host).trim_matches(['[', ']']).to_owned();
        let at = |host: &str| if host.contains(':') { format!("{scheme}://[{host}]{port}") } else { format!("{scheme}://{host}{port}") };
        if !self.connect_urls.is_empty() {
            return self.connect_urls.iter().map(|url| at(&host(url))).collect();
        }
        let of_route = |url: &String| {
            let host = host(url);
            if host.parse::<IpAddr>().is_ok() {
                at(&host)
            } else {
                format!("{scheme}://{}.{asked}", host.split('.').next().unwrap_or_default())
            }
        };
        self.cluster.urls.iter().map(of_route).collect()
    }
}

impl Account {
    /// What is asked of it. Configurations tell which consumers want all of a stream.
    fn parameters(&self) -> [(&str, &str); 3] {
        let id = self.id.as_deref().or(self.name.as_deref()).unwrap_or_default();
        [("acc", id), ("consumers", "true"), ("config", "true")]
    }

    fn what(&self) -> String {
        format!("account {:?}", self.name.as_deref().or(self.id.as_deref()).unwrap_or_default())
    }

    /// Its streams on a page.
    fn streams<'p>(&self, page: &'p Page) -> impl Iterator<Item = &'p StreamDetail> {
        let (name, id) = (self.name.clone(), self.id.clone().or_else(|| self.name.clone()));
        let is_it = move |account: &&AccountDetail| id.as_ref() == Some(&account.id) || name.as_ref() == Some(&account.name);
        page.account_details.iter().filter(is_it).flat_map(|account| &account.stream_detail)
    }
}

/// A consumer on a page.
struct Found<'p> {
    stream: &'p StreamDetail,
    consumer: &'p ConsumerDetail,
}

impl Query {
    fn find<'p>(&self, page: &'p Page) -> Option<Found<'p>> {
        self.account.streams(page).filter(|stream| stream.name == self.stream).find_map(|stream| {
            let consumer = stream.consumer_detail.iter().find(|consumer| consumer.name == self.consumer)?;
            Some(Found { stream, consumer })
        })
    }

    fn what(&self) -> String {
        format!("consumer {:?} of stream {:?}", self.consumer, self.stream)
    }
}

impl Found<'_> {
    fn leader(&self) -> &str {
        self.consumer.cluster.as_ref().map_or("", |group| &group.leader)
    }

    fn answer(&self) -> Answer {
        let ConsumerDetail { num_pending, num_ack_pending, config, .. } = self.consumer;
        let waiting = num_pending.saturating_add(*num_ack_pending);
        // Each message of a stream has the next number; what is neither to come nor held is done. A consumer of some subjects cannot count so.
        let wants_all = config.as_ref().is_some_and(|config| config.filter_subject.is_empty() && config.filter_subjects.is_empty());
        let arrived = Some(self.stream.state.last_seq).filter(|_| wants_all);
        #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 messages, the last digit does not matter")]
        let level = Level::Number(waiting as f64);
        Answer {
            level,
            target: None,
            active: Active::ByLevel,
            ready: Some(*num_pending),
            in_flight: Some(*num_ack_pending),
            arrived,
            done: arrived.map(|arrived| arrived.saturating_sub(waiting)),
        }
    }
}
