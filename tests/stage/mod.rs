//! A stage for scenes: a control plane, the daemon as a process of its own with its own rights, machines counted from outside, workers for the pods.
#![allow(dead_code, reason = "tests and benchmarks use different parts of the stage")]

pub mod daemon;
pub mod ledger;
pub mod manifests;
pub mod observer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use springtide_testbed::{Options, Plane, Rabbit};
use springtide_worker::{BrokerUrl, Fleet, FleetOptions, PublishOptions, Published, Publisher};

use self::daemon::Daemon;

/// Where a scene plays.
pub struct Stage {
    /// The control plane.
    pub plane: Plane,
    /// An administrator's client.
    pub client: kube::Client,
    /// The daemon's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The broker's URL for AMQP.
    pub amqp: String,
}

/// The queue and worker of one ScaledObject.
pub struct Queue {
    /// Name of the queue, the Deployment and the ScaledObject.
    pub name: String,
    /// The workers.
    pub fleet: Fleet,
}

impl Stage {
    /// A plane with our CRDs and rights and a queue broker's URL in a secret.
    pub async fn open(rabbit: &Rabbit, vhost: &str) -> Result<Self> {
        let crds = springtide_api::crds::rendered()?.into_iter().map(|(_, crd)| crd).collect();
        let stage = Self::open_with(rabbit, vhost, crds).await?;
        stage.plane.apply(&manifests::secret(&stage.amqp)).await?;
        Ok(stage)
    }

    /// The same with the CRDs of KEDA and Karpenter, which lie in `keda/crds` and `karpenter/crds` of a folder.
    pub async fn open_with_peers_crds(rabbit: &Rabbit, vhost: &str, data: &Path) -> Result<Self> {
        let mut crds = Vec::new();
        for folder in ["keda/crds", "karpenter/crds"] {
            let folder = data.join(folder);
            for entry in std::fs::read_dir(&folder).with_context(|| format!("list the CRDs in {}", folder.display()))? {
                let file = entry?.path();
                if file.extension().is_some_and(|ending| ending == "yaml") {
                    crds.push(std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?);
                }
            }
        }
        let stage = Self::open_with(rabbit, vhost, crds).await?;
        stage.plane.apply(&manifests::secret(&stage.amqp)).await?;
        Ok(stage)
    }

    /// A plane with these CRDs, and without the broker's secret.
    pub async fn open_with(rabbit: &Rabbit, vhost: &str, crds: Vec<String>) -> Result<Self> {
        let plane = Plane::start(Options::default()).await?;
        rabbit.create_vhost(vhost).await?;
        for crd in crds {
            plane.apply(&crd).await.context("apply a CRD")?;
        }
        plane.apply(include_str!("../../config/rbac/springtide.yaml")).await.context("apply the daemon's rights")?;
        let amqp = rabbit.amqp_url_of(vhost);
        let client = plane.client().await?;
        let kubeconfig = plane.kubeconfig_for_service_account("springtide", "springtide").await?;
        Ok(Self { plane, client, kubeconfig, amqp })
    }

    /// The broker's address in its URL for AMQP.
    pub fn amqp_address(&self) -> Result<&str> {
        let (_, after) = self.amqp.rsplit_once('@').context("the broker's URL has no user")?;
        Ok(after.split('/').next().unwrap_or(after))
    }

    /// Starts a daemon with these further flags and waits until it leads or stands by with all lists read.
    pub async fn daemon(&self, program: &str, flags: &[&str]) -> Result<Daemon> {
        Daemon::start(program, &self.kubeconfig, self.plane.folder(), flags).await
    }

    /// Makes a queue with its Deployment, ScaledObject and workers.
    pub async fn queue(&self, wish: &manifests::Worker<'_>) -> Result<Queue> {
        self.queue_without_workers(wish).await?;
        let url: BrokerUrl = self.amqp.parse()?;
        let deployment = format!("default/{}", wish.name).parse()?;
        let fleet = Fleet::start(self.client.clone(), deployment, url, wish.name, FleetOptions::new(wish.service_time));
        Ok(Queue { name: wish.name.to_owned(), fleet })
    }

    /// The same without workers: what is published stays.
    pub async fn queue_without_workers(&self, wish: &manifests::Worker<'_>) -> Result<()> {
        let publisher = Publisher::connect(&self.amqp.parse()?).await?;
        publisher.declare(wish.name).await?;
        publisher.close().await;
        self.plane.apply(&wish.yaml()).await?;
        Ok(())
    }

    /// Publishes a burst.
    pub async fn publish(&self, queue: &str, count: u64) -> Result<Published> {
        let publisher = Publisher::connect(&self.amqp.parse()?).await?;
        let published = publisher.publish(&PublishOptions { queue: queue.to_owned(), count, size: 100, rate_per_s: None }).await?;
        publisher.close().await;
        Ok(published)
    }

    /// Waits until a Deployment asks for so many replicas.
    pub async fn until_replicas(&self, name: &str, replicas: i32, within: Duration) -> Result<()> {
        let api = Api::<Deployment>::namespaced(self.client.clone(), "default");
        springtide_testbed::wait_for(api, name, &format!("to ask for {replicas} replicas"), within, |deployment| {
            deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(replicas)
        })
        .await
        .map(drop)
    }
}
