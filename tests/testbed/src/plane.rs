//! A control plane: etcd, kube-apiserver, kube-scheduler, kube-controller-manager and kwok, all real, all on loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DynamicObject, PostParams};

use crate::audit::{self, Write};
use crate::components::{Layout, url};
use crate::part::{Part, Program};
use crate::port::Port;
use crate::programs::Programs;
use crate::run::Run;
use crate::{access, kubeconfig, objects};

/// How long a part may take to be ready. Generous: a machine under load is not a failure of what is tested.
const START_WITHIN: Duration = Duration::from_secs(90);

/// What a test may want otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// The scheduler's client limit, requests per second; 1,000 unless told otherwise, so that it is never what a test waits for.
    pub scheduler_qps: u32,
    /// The controller-manager's client limit, requests per second; `None` is its own default (20), which bounds ReplicaSets to about 20 pods a second.
    pub controller_manager_qps: Option<u32>,
    /// How large etcd's data may get; 4 GiB unless told otherwise.
    pub etcd_quota_bytes: u64,
    /// More flags of kube-apiserver.
    pub api_server_flags: Vec<String>,
    /// More flags of kube-controller-manager.
    pub controller_manager_flags: Vec<String>,
    /// More fields of the scheduler's configuration file, as `KubeSchedulerConfiguration` spells them.
    pub scheduler_configuration: serde_json::Map<String, serde_json::Value>,
    /// Parts that are not started. Without kube-controller-manager no namespace gets a ServiceAccount, which pods need unless its admission is off.
    pub without: Vec<Component>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scheduler_qps: 1_000,
            controller_manager_qps: None,
            etcd_quota_bytes: 4 << 30,
            api_server_flags: Vec::new(),
            controller_manager_flags: Vec::new(),
            scheduler_configuration: serde_json::Map::new(),
            without: Vec::new(),
        }
    }
}

/// One program of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-scheduler.
    Scheduler,
    /// kube-controller-manager.
    ControllerManager,
    /// kwok.
    Kwok,
}

/// A running control plane. It stops when dropped, and also when its process panics or is killed.
pub struct Plane {
    // Dropped in this order: the parts, then the ports, then the folder.
    parts: Mutex<BTreeMap<Component, Part>>,
    layout: Layout,
    options: Options,
    run: Run,
}

impl Plane {
    /// Starts a plane with its own ports, folder and certificates, and waits until pods can be created, scheduled and run in it.
    pub async fn start(options: Options) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(Programs::ensure).await??;
        let run = Run::open("plane")?;
        let layout = Layout::write(programs, &run, &options)?;
        let plane = Self { parts: Mutex::default(), layout, options, run };
        // kube-apiserver waits for etcd by itself; its own start is the long part.
        let etcd = Part::start(&plane.run, &plane.layout.etcd(&plane.options))?;
        plane.parts().insert(Component::Etcd, etcd);
        plane.start_api_server().await?;
        let layout = &plane.layout;
        // It has no /readyz.
        let healthz = url("https", layout.controller_manager.address()) + "/healthz";
        tokio::try_join!(
            plane.launch(Component::Scheduler, layout.scheduler(), readyz(&layout.scheduler)),
            plane.launch(Component::ControllerManager, layout.controller_manager(&plane.options), healthz),
            plane.launch(Component::Kwok, layout.kwok(), url("http", layout.kwok.address()) + "/healthz"),
        )?;
        if !plane.options.without.contains(&Component::ControllerManager) {
            plane.until_pods_are_admitted().await?;
        }
        Ok(plane)
    }

    /// Where kube-apiserver listens.
    pub fn server_url(&self) -> String {
        self.layout.server_url()
    }

    /// The PEM file of the authority that signed kube-apiserver's certificate.
    pub fn certificate_authority(&self) -> PathBuf {
        self.layout.file(kubeconfig::AUTHORITY)
    }

    /// A kubeconfig of the group system:masters, user `testbed-admin`. For what a test sets up, not for what it tests.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.layout.file("admin.kubeconfig")
    }

    /// The folder with the logs of all parts.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// A client with the admin's rights. It belongs to the runtime that it is made in, so each test asks for its own.
    pub async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.admin_kubeconfig()).await
    }

    /// Writes a kubeconfig with a token of a ServiceAccount that exists, as a daemon in a cluster would have.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.kubeconfig_for_service_account_at(namespace, name, &self.server_url()).await
    }

    /// The same for another address of this server, for example a proxy's.
    pub async fn kubeconfig_for_service_account_at(&self, namespace: &str, name: &str, server: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("cannot get a token of ServiceAccount {namespace}/{name}; apply its manifest first"))?;
        let Some(status) = answer.status else { bail!("the answer to a TokenRequest for {namespace}/{name} has no status") };
        let file = format!("{namespace}-{name}{}", if server == self.server_url() { "" } else { "-at-other-address" });
        kubeconfig::for_token(&self.run, &file, server, &status.token)
    }

    /// Waits until a ServiceAccount may do this: kube-apiserver learns of roles and bindings a moment after they are applied.
    ///
    /// `resource` is `pods` or `apps/deployments`; it is asked for in the ServiceAccount's own namespace.
    pub async fn until_allowed(&self, namespace: &str, name: &str, verb: &str, resource: &str) -> Result<()> {
        access::until_allowed(&self.client().await?, namespace, name, verb, resource).await
    }

    /// Applies the objects of a YAML text (server-side, several documents), with their status where they have one.
    pub async fn apply(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        objects::apply(&self.client().await?, yaml).await
    }

    /// The log of writes, one JSON event a line.
    pub fn audit_log(&self) -> PathBuf {
        self.layout.file("audit.log")
    }

    /// All writes so far, in order: who wrote what and how it was answered. Leases of nodes are left out.
    pub fn writes(&self) -> Result<Vec<Write>> {
        audit::read(&self.audit_log())
    }

    /// Where the scheduler tells what it counts, in Prometheus' format: its queues, its attempts.
    pub fn scheduler_metrics_url(&self) -> String {
        url("https", self.layout.scheduler.address()) + "/metrics"
    }

    /// Kills kube-apiserver: an outage. Data, port and identities stay.
    pub fn stop_api_server(&self) {
        self.parts().remove(&Component::ApiServer);
    }

    /// Starts kube-apiserver again and waits until it is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        self.launch(Component::ApiServer, self.layout.api_server(&self.options), readyz(&self.layout.api_server)).await
    }

    /// Makes a part hang: it keeps its connections and answers nothing.
    pub fn pause(&self, component: Component) -> Result<()> {
        self.running(component, Part::pause)
    }

    /// Lets a paused part go on.
    pub fn resume(&self, component: Component) -> Result<()> {
        self.running(component, Part::resume)
    }

    fn running(&self, component: Component, act: impl FnOnce(&Part) -> Result<()>) -> Result<()> {
        act(self.parts().get(&component).with_context(|| format!("{component:?} does not run"))?)
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<Component, Part>> {
        // A test that panicked while it held the lock has left the map whole.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a part, unless it is not wanted, and waits until `asked` answers with success.
    async fn launch(&self, component: Component, program: Program, asked: String) -> Result<()> {
        if self.options.without.contains(&component) {
            return Ok(());
        }
        let authority = std::fs::read(self.certificate_authority())?;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&authority)?])
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let mut part = Part::start(&self.run, &program)?;
        part.until_ready(START_WITHIN, async || client.get(&asked).send().await.is_ok_and(|answer| answer.status().is_success())).await?;
        self.parts().insert(component, part);
        Ok(())
    }

    /// The controller-manager makes each namespace's default ServiceAccount, and no pod is admitted without one.
    async fn until_pods_are_admitted(&self) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, "default");
        objects::wait_for(accounts, "default", "to exist", START_WITHIN, |_| true).await?;
        Ok(())
    }
}

fn readyz(port: &Port) -> String {
    url("https", port.address()) + "/readyz"
}

impl Drop for Plane {
    fn drop(&mut self) {
        let mut parts = self.parts();
        // All at once; dropping them one by one would wait for each.
        parts.values().for_each(Part::kill);
        parts.clear();
    }
}
