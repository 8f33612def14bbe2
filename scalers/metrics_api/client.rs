//! Asking for pages, and reading numbers off them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::stream::iter;

use super::{MetricsApi, Page, Place, Query, Service, xml};
use crate::broker::{Answer, Broker as _, Client, Moment};
use crate::cluster::{Backend, ClusterView};
use crate::error::Error;
use crate::http::{Asker, Server, Session, gather};

/// So many pods behind a Service are asked at a time, as under KEDA.
const PODS_AT_ONCE: usize = 5;

/// A client, and the cluster that tells what is behind a Service.
pub(super) struct Link {
    session: Session,
    cluster: Option<Arc<dyn ClusterView>>,
}

/// What each pod behind a Service answered for a page, or why none was asked.
type Pages = Result<Vec<Result<Vec<u8>, Error>>, Error>;

#[async_trait]
impl Client for MetricsApi {
    type Connection = Link;

    async fn open(&self) -> Result<Link, Error> {
        self.open_in(None).await
    }

    async fn open_in(&self, cluster: Option<&Arc<dyn ClusterView>>) -> Result<Link, Error> {
        Ok(Link { session: self.0.open()?, cluster: cluster.cloned() })
    }

    async fn read(&self, link: &mut Link, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let asker = self.0.asker(&mut link.session, moment).await?;
        let pages = shared_pages(&asker, queries).await?;
        let behind = self.pages_behind(&asker, link.cluster.as_ref(), queries).await;
        let mut asked = Vec::with_capacity(queries.len());
        for query in queries {
            asked.push(resolve(&asker, query, &pages, &behind).boxed());
        }
        gather(&mut link.session, asked).await
    }
}

/// The pages that several queries read. What fails here is asked for by each of them, and fails there with its own words.
async fn shared_pages<'q>(asker: &Asker<'_>, queries: &[&'q Query]) -> Result<HashMap<&'q Page, Vec<u8>>, Error> {
    let mut wanted: HashMap<&Page, usize> = HashMap::new();
    for query in queries.iter().filter(|query| query.behind.is_none()) {
        *wanted.entry(&query.page).or_default() += 1;
    }
    let mut pages = HashMap::new();
    for (page, _) in wanted.into_iter().filter(|(_, readers)| *readers > 1) {
        match page.fetch(asker).await {
            Ok(body) => drop(pages.insert(page, body)),
            Err(error @ (Error::Connect { .. } | Error::Ask { .. })) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(pages)
}

async fn resolve(
    asker: &Asker<'_>,
    query: &Query,
    pages: &HashMap<&Page, Vec<u8>>,
    behind: &HashMap<(&Page, &Service), Pages>,
) -> Result<Answer, Error> {
    let number = match (&query.behind, pages.get(&query.page)) {
        (Some((service, aggregation)), _) => {
            let what = format!("{} of Service {}", query.page.path, service.key);
            let bodies = match behind.get(&(&query.page, service)) {
                Some(Ok(bodies)) => bodies,
                Some(Err(error)) => return Err(asker.without_number(&what, error.chain())),
                None => return Err(asker.without_number(&what, "nobody was asked")),
            };
            let (numbers, failures) = query.numbers(asker, bodies);
            aggregation.of(&numbers).ok_or_else(|| {
                let first = failures.first().map_or("", String::as_str);
                let reason =
                    format!("could not get any metric successfully from the {} provided endpoints; the first: {first}", bodies.len());
                asker.without_number(&what, reason)
            })?
        }
        (None, Some(body)) => query.number(asker, body)?,
        (None, None) => query.number(asker, &query.page.fetch(asker).await?)?,
    };
    Ok(Answer::number(number))
}

impl MetricsApi {
    /// What each pod behind a Service answers, once for all queries that read the page.
    async fn pages_behind<'q>(
        &self,
        asker: &Asker<'_>,
        cluster: Option<&Arc<dyn ClusterView>>,
        queries: &[&'q Query],
    ) -> HashMap<(&'q Page, &'q Service), Pages> {
        let mut wanted: HashMap<(&Page, &Service), Pages> = HashMap::new();
        for query in queries {
            let Some((service, _)) = &query.behind else { continue };
            if let Entry::Vacant(place) = wanted.entry((&query.page, service)) {
                place.insert(self.ask_all(asker, cluster, &query.page, service).boxed().await);
            }
        }
        wanted
    }

    async fn ask_all(&self, asker: &Asker<'_>, cluster: Option<&Arc<dyn ClusterView>>, page: &Page, service: &Service) -> Pages {
        let cluster = cluster.ok_or_else(|| Error::without_cluster(self.address()))?;
        let of = || format!("the addresses behind Service {}", service.key);
        let backends = cluster.backends(&service.key).await.map_err(|reason| asker.without_number(&of(), reason))?;
        if backends.is_empty() {
            let reason = "there is none that is ready; check the Service's name, its selector and its pods";
            return Err(asker.without_number(&of(), reason));
        }
        let servers: Vec<Server> = backends.iter().map(|backend| Server { base: service.origin(backend), ..self.0.clone() }).collect();
        let mut asked = Vec::with_capacity(servers.len());
        for server in &servers {
            asked.push(async move { page.fetch(&asker.at(server)).await }.boxed());
        }
        Ok(iter(asked).buffered(PODS_AT_ONCE).collect().await)
    }
}

impl Service {
    /// Where a pod is asked: at the address's port; at its only one where it does not have that, since a Service's port is not its pods'.
    pub(super) fn origin(&self, backend: &Backend) -> String {
        let port = match backend.ports[..] {
            [only] => only,
            _ => self.port,
        };
        let address = &backend.address;
        let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        format!("{}://{host}:{port}", self.scheme)
    }
}

impl Page {
    async fn fetch(&self, asker: &Asker<'_>) -> Result<Vec<u8>, Error> {
        let query = self.query.as_ref().map_or_else(String::new, |query| format!("?{}", query.expose()));
        asker.get(&format!("{}{query}", self.path), &[], &self.path).await
    }
}

impl Query {
    /// The numbers of those pods that have one, and why the others have none.
    fn numbers(&self, asker: &Asker<'_>, bodies: &[Result<Vec<u8>, Error>]) -> (Vec<f64>, Vec<String>) {
        let (mut numbers, mut failures) = (Vec::new(), Vec::new());
        for body in bodies {
            match body {
                Ok(body) => match self.number(asker, body) {
                    Ok(number) => numbers.push(number),
                    Err(error) => failures.push(error.chain()),
                },
                Err(error) => failures.push(error.chain()),
            }
        }
        (numbers, failures)
    }

    fn number(&self, asker: &Asker<'_>, body: &[u8]) -> Result<f64, Error> {
        let path = &self.page.path;
        let text = || std::str::from_utf8(body).map_err(|error| asker.unreadable(path, error));
        let number = match &self.place {
            Place::Json(location) => location.number(&serde_json::from_slice(body).map_err(|error| asker.unreadable(path, error))?),
            Place::Yaml(location) => {
                location.number(&serde_saphyr::from_str(text()?).map_err(|error| asker.unreadable(path, error.to_string()))?)
            }
            Place::Xml(location) => location.number(&xml::tree(text()?).map_err(|error| asker.unreadable(path, error))?),
            Place::Prometheus(selector) => selector.number(text()?),
        };
        number.map_err(|reason| asker.without_number(&format!("valueLocation in the answer of {path}"), reason))
    }
}
