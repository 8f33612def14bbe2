//! The edge to Kubernetes: what it tells, what is done to it, and what is reported. Two lanes of writes: actions go at once, reports when there is room.

pub mod act;
pub mod auth;
pub mod claims;
pub mod discovery;
pub mod endpoints;
pub mod lease;
pub mod ports;
pub mod probe;
pub mod report;
pub mod rivals;
pub mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// A client for the cluster of this kubeconfig, or for the one that is found where none is given.
///
/// # Errors
/// There is no cluster to be found, or what tells of it is wrong.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<::kube::Client> {
    let mut config = match kubeconfig {
        Some(file) => {
            let read = ::kube::config::Kubeconfig::read_from(file).with_context(|| format!("read the kubeconfig {}", file.display()))?;
            ::kube::Config::from_custom_kubeconfig(read, &::kube::config::KubeConfigOptions::default())
                .await
                .with_context(|| format!("understand the kubeconfig {}", file.display()))?
        }
        None => ::kube::Config::infer().await.context("find a cluster; give --kubeconfig, or run in a cluster")?,
    };
    // A connection that cannot be made is given up soon: whoever waits for it has something else to try.
    config.connect_timeout = Some(Duration::from_secs(3));
    // Retries are decided where it is known what they are for.
    config.default_retry = false;
    ::kube::Client::try_from(config).context("set up the client of the API server")
}
