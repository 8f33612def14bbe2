//! Asking the management interface. Where many queues or subscriptions are asked about, pages of a listing answer for many at once.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use futures::FutureExt as _;

use super::atom::{Entry, entries};
use super::{Names, Namespace, Operation, PAGE, Parent, Query, WORTH_A_LISTING, whole};
use crate::broker::{Answer, Client, Moment};
use crate::error::Error;
use crate::http::{self, Session, gather, segment};

/// The version of the interface.
const VERSION: (&str, &str) = ("api-version", "2021-05");

#[async_trait]
impl Client for Namespace {
    type Connection = Session;

    async fn open(&self) -> Result<Session, Error> {
        self.0.open()
    }

    async fn read(&self, session: &mut Session, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let asker = Asker(self.0.server()?.asker(session, moment).await?);
        let listed = asker.listings(queries).await?;
        let asked = queries.iter().map(|query| asker.resolve(query, listed.get(&query.parent)).boxed()).collect();
        gather(session, asked).await
    }
}

/// One read.
struct Asker<'a>(http::Asker<'a>);

/// What listings have brought.
#[derive(Default)]
struct Listing {
    active: BTreeMap<String, u64>,
    /// Whether there is no more.
    whole: bool,
}

impl Parent {
    /// Where its queues or subscriptions are listed.
    fn list(&self) -> String {
        match self {
            Self::Namespace => "/$Resources/queues".to_owned(),
            Self::Topic(topic) => format!("/{}/Subscriptions", path(topic)),
        }
    }

    fn child(&self, name: &str) -> String {
        match self {
            Self::Namespace => format!("/{}", path(name)),
            Self::Topic(topic) => format!("/{}/Subscriptions/{}", path(topic), path(name)),
        }
    }

    fn described(&self, name: &str) -> String {
        match self {
            Self::Namespace => format!("queue {name:?}"),
            Self::Topic(topic) => format!("subscription {name:?} in topic {topic:?}"),
        }
    }

    fn all(&self) -> String {
        match self {
            Self::Namespace => "the list of queues".to_owned(),
            Self::Topic(topic) => format!("the list of subscriptions of topic {topic:?}"),
        }
    }
}

/// A name, which may be of several segments, as a path.
fn path(name: &str) -> String {
    name.split('/').map(segment).collect::<Vec<_>>().join("/")
}

impl Asker<'_> {
    /// Listings of those whose names are asked for by a pattern, or many of which are asked for one by one.
    async fn listings<'q>(&self, queries: &[&'q Query]) -> Result<HashMap<&'q Parent, Listing>, Error> {
        let mut wanted: HashMap<&Parent, (HashSet<&str>, bool)> = HashMap::new();
        for query in queries {
            let (names, all) = wanted.entry(&query.parent).or_default();
            match &query.names {
                Names::One(name) => _ = names.insert(name),
                Names::Pattern(..) => *all = true,
            }
        }
        let mut listed = HashMap::new();
        for (parent, (names, all)) in wanted {
            if !all && names.len() < WORTH_A_LISTING {
                continue;
            }
            // With half as many pages as there are questions, listing would no longer be the cheaper way by much.
            let pages = if all { usize::MAX } else { names.len() / 2 };
            match self.list(parent, &names, pages).await {
                Ok(listing) => drop(listed.insert(parent, listing)),
                Err(error @ (Error::Connect { .. } | Error::Ask { .. })) => return Err(error),
                // The single questions will say what is wrong, or work where a listing does not: the key may be good for one queue only.
                Err(_) => {}
            }
        }
        Ok(listed)
    }

    /// So many pages of a listing; fewer, where there are no more or, unless all are wanted, all `names` have come.
    async fn list(&self, parent: &Parent, names: &HashSet<&str>, pages: usize) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        let mut missing = names.len();
        let top = PAGE.to_string();
        let mut page = 0;
        while page < pages && (pages == usize::MAX || missing > 0) {
            let skip = (page * PAGE).to_string();
            let found = self.entries(&parent.list(), &[("$skip", &skip), ("$top", &top), VERSION], &parent.all()).await?;
            let is_last = found.len() < PAGE;
            for Entry { name, active } in found {
                missing -= usize::from(names.contains(name.as_str()) && !listing.active.contains_key(&name));
                listing.active.insert(name, active);
            }
            if is_last {
                listing.whole = true;
                break;
            }
            page += 1;
        }
        Ok(listing)
    }

    async fn resolve(&self, query: &Query, listed: Option<&Listing>) -> Result<Answer, Error> {
        let count = match &query.names {
            Names::One(name) => match listed.and_then(|listing| listing.active.get(name)) {
                Some(active) => *active,
                None => self.one(&query.parent, name).await?,
            },
            Names::Pattern(pattern, operation) => {
                let own;
                let listing = match listed {
                    Some(listing) => listing,
                    None => {
                        own = self.list(&query.parent, &HashSet::new(), usize::MAX).await?;
                        &own
                    }
                };
                let what = query.parent.all();
                let regex = whole(pattern).map_err(|error| self.0.without_number(&what, error.to_string()))?;
                operation.of(listing.active.iter().filter(|(name, _)| regex.is_match(name)).map(|(_, active)| *active))
            }
        };
        #[allow(clippy::cast_precision_loss, reason = "no queue has as many messages as would be inexact")]
        Ok(Answer::number(count as f64))
    }

    async fn one(&self, parent: &Parent, name: &str) -> Result<u64, Error> {
        let what = parent.described(name);
        // For what does not exist, the service may answer with an empty feed.
        let found = self.entries(&parent.child(name), &[VERSION], &what).await?;
        found.first().map(|entry| entry.active).ok_or_else(|| Error::Find { broker: self.0.address(), what })
    }

    async fn entries(&self, path: &str, parameters: &[(&str, &str)], what: &str) -> Result<Vec<Entry>, Error> {
        let body = self.0.get(path, parameters, what).await?;
        let text = String::from_utf8(body).map_err(|error| self.0.unreadable(what, error))?;
        entries(&text).map_err(|error| self.0.unreadable(what, error))
    }
}

impl Operation {
    fn of(self, counts: impl Iterator<Item = u64>) -> u64 {
        let counts: Vec<u64> = counts.collect();
        let sum = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        match self {
            Self::Sum => sum,
            Self::Maximum => counts.iter().copied().max().unwrap_or_default(),
            Self::Average => sum.checked_div(u64::try_from(counts.len()).unwrap_or(u64::MAX)).unwrap_or_default(),
        }
    }
}
