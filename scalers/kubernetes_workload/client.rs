//! Asking for counts.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Pods, Query};
use crate::broker::{Answer, Broker as _, Client, Moment};
use crate::cluster::{ClusterView, PodQuery};
use crate::error::Error;

#[async_trait]
impl Client for Pods {
    type Connection = Arc<dyn ClusterView>;

    async fn open(&self) -> Result<Self::Connection, Error> {
        self.open_in(None).await
    }

    async fn open_in(&self, cluster: Option<&Arc<dyn ClusterView>>) -> Result<Self::Connection, Error> {
        cluster.cloned().ok_or_else(|| Error::without_cluster(self.address()))
    }

    async fn read(&self, cluster: &mut Self::Connection, queries: &[&Query], _moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let question = |query: &&Query| PodQuery { namespace: query.namespace.clone(), labels: query.selector.0.clone(), unit: query.unit };
        let counts = cluster.count(queries.iter().map(question).collect()).await;
        let counts = counts.map_err(|reason| Error::Ask { broker: self.address(), source: reason.into() })?;
        // A cluster has fewer pods than a float tells apart.
        Ok(counts.into_iter().map(|count| Ok(Answer::number(count as f64))).collect())
    }
}
