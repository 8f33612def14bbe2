//! The port through which scalers see the cluster. What stands behind it watches; it lists nothing for a poll.

#[cfg(feature = "clients")]
use springtide_core::name::{Key, Name};
#[cfg(feature = "clients")]
use springtide_core::nodes::requirement::Requirements;

#[cfg(all(test, feature = "clients"))]
pub(crate) mod fake;

/// Pods that are to be counted: those of one namespace with such labels that have not ended.
#[cfg(feature = "clients")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodQuery {
    /// Their namespace.
    pub namespace: Name,
    /// What is asked of their labels.
    pub labels: Requirements,
    /// What of them is counted.
    pub unit: Unit,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// The pods.
    Pods,
    /// The nodes that they are bound to, each once.
    Nodes,
}

/// An address behind a Service.
#[cfg(feature = "clients")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Backend {
    /// An IP address, or a name.
    pub address: String,
    /// The ports that it takes requests at, as its EndpointSlice has them.
    pub ports: Vec<u16>,
}

/// What scalers may ask of the cluster.
#[cfg(feature = "clients")]
#[async_trait::async_trait]
pub trait ClusterView: std::fmt::Debug + Send + Sync {
    /// How many there are of each, in the order of the questions. It waits until all pods are known, so that nothing is too small for not having been seen.
    ///
    /// # Errors
    /// Nobody counts any more: a text for people.
    async fn count(&self, questions: Vec<PodQuery>) -> Result<Vec<u64>, String>;

    /// The addresses behind a Service that are ready to serve, each once, in order. It waits until they have been listed. A Service that does not exist
    /// has none.
    ///
    /// # Errors
    /// They cannot be listed: why, for people.
    async fn backends(&self, service: &Key) -> Result<Vec<Backend>, String>;
}
