//! Asking for pages, and reading numbers off them.

use std::collections::HashMap;

use async_trait::async_trait;
use futures::FutureExt as _;

use super::{MetricsApi, Page, Place, Query, xml};
use crate::broker::{Answer, Client, Moment};
use crate::error::Error;
use crate::http::{Asker, Session, gather};

#[async_trait]
impl Client for MetricsApi {
    type Connection = Session;

    async fn open(&self) -> Result<Session, Error> {
        self.0.open()
    }

    async fn read(&self, session: &mut Session, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let asker = self.0.asker(session, moment).await?;
        let pages = shared_pages(&asker, queries).await?;
        let mut asked = Vec::with_capacity(queries.len());
        for query in queries {
            asked.push(resolve(&asker, query, &pages).boxed());
        }
        gather(session, asked).await
    }
}

/// The pages that several queries read. What fails here is asked for by each of them, and fails there with its own words.
async fn shared_pages<'q>(asker: &Asker<'_>, queries: &[&'q Query]) -> Result<HashMap<&'q Page, Vec<u8>>, Error> {
    let mut wanted: HashMap<&Page, usize> = HashMap::new();
    for query in queries {
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

async fn resolve(asker: &Asker<'_>, query: &Query, pages: &HashMap<&Page, Vec<u8>>) -> Result<Answer, Error> {
    let number = match pages.get(&query.page) {
        Some(body) => query.number(asker, body)?,
        None => query.number(asker, &query.page.fetch(asker).await?)?,
    };
    Ok(Answer::number(number))
}

impl Page {
    async fn fetch(&self, asker: &Asker<'_>) -> Result<Vec<u8>, Error> {
        let query = self.query.as_ref().map_or_else(String::new, |query| format!("?{}", query.expose()));
        asker.get(&format!("{}{query}", self.path), &[], &self.path).await
    }
}

impl Query {
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
