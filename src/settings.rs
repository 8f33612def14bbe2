//! Settings of the daemon: flags and `SPRINGTIDE_*` variables, from one declaration. The only reader of the environment.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use springtide_scalers::{Around, Machine, Workload};

use crate::planning::Planning;

/// How the daemon runs.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The kubeconfig to use; without it the cluster that the daemon runs in, or the default kubeconfig.
    #[arg(long, env = "SPRINGTIDE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The namespace of the daemon's own objects: the Lease, and ClusterTriggerAuthentications' secrets.
    #[arg(long, env = "SPRINGTIDE_NAMESPACE", default_value = "springtide")]
    pub namespace: String,

    /// The layers to run.
    #[arg(long, env = "SPRINGTIDE_LAYERS", value_delimiter = ',', default_value = "workloads,nodes")]
    pub layers: Vec<Layer>,

    /// Decide and report, and write nothing but the daemon's own Lease.
    #[arg(long, env = "SPRINGTIDE_SHADOW")]
    pub shadow: bool,

    /// Where Prometheus finds the metrics (`/metrics`).
    #[arg(long, env = "SPRINGTIDE_METRICS_ADDRESS", default_value = "0.0.0.0:8080", value_name = "IP:PORT")]
    pub metrics_address: SocketAddr,

    /// Where health is served.
    #[command(flatten)]
    pub health: HealthAddress,

    /// The name of the Lease by which one of several daemons leads.
    #[arg(long, env = "SPRINGTIDE_LEASE_NAME", default_value = "springtide")]
    pub lease_name: String,

    /// How long the Lease holds without being renewed; a standby takes over after that.
    #[arg(long, env = "SPRINGTIDE_LEASE_DURATION", default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub lease_duration: Duration,

    /// Instance types of the kwok cloud as JSON, in the shape that Karpenter's kwok provider reads; without it, its 144 types.
    #[arg(long, env = "SPRINGTIDE_INSTANCE_TYPES", value_name = "FILE")]
    pub instance_types: Option<PathBuf>,

    /// Let the kwok cloud be out of stock for the first choices of every N-th claim: a rehearsal.
    #[arg(long, env = "SPRINGTIDE_KWOK_REFUSE_EVERY", value_name = "N")]
    pub kwok_refuse_every: Option<NonZeroU32>,

    /// Who the daemon is to clouds.
    #[command(flatten)]
    pub identities: Identities,

    /// How nodes are planned.
    #[command(flatten)]
    pub planning: Planning,

    /// How logs are written.
    #[arg(long, env = "SPRINGTIDE_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by module.
    #[arg(long, env = "SPRINGTIDE_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Where the daemon says how it is. `springtide health` asks there, so both read it from one declaration.
#[derive(Debug, Clone, Args)]
pub struct HealthAddress {
    /// Where the kubelet finds health and readiness (`/healthz`, `/readyz`).
    #[arg(long, env = "SPRINGTIDE_HEALTH_ADDRESS", default_value = "0.0.0.0:8081", value_name = "IP:PORT")]
    pub health_address: SocketAddr,
}

/// Who the daemon is to clouds, for triggers and stores of secrets with `podIdentity`. The variables have the names under which clouds' own webhooks set them.
#[derive(Debug, Clone, Default, Args)]
pub struct Identities {
    /// The client id of the daemon's Azure workload identity.
    #[arg(long, env = "AZURE_CLIENT_ID", value_name = "ID")]
    pub azure_client_id: Option<String>,

    /// Its tenant.
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "ID")]
    pub azure_tenant_id: Option<String>,

    /// Where Azure's tokens come from; those of its public cloud unless given.
    #[arg(long, env = "AZURE_AUTHORITY_HOST", value_name = "URL")]
    pub azure_authority_host: Option<String>,

    /// The file with the token of the daemon's ServiceAccount that Azure takes.
    #[arg(long, env = "AZURE_FEDERATED_TOKEN_FILE", value_name = "FILE")]
    pub azure_federated_token_file: Option<PathBuf>,

    /// Google's metadata server; found by its usual name unless given.
    #[arg(long, env = "GCE_METADATA_HOST", value_name = "HOST")]
    pub gce_metadata_host: Option<String>,

    /// The Google Cloud project of names without one; that of the metadata server unless given.
    #[arg(long, env = "CLOUDSDK_CORE_PROJECT", value_name = "PROJECT")]
    pub google_project: Option<String>,
}

impl Identities {
    /// What scalers are told of it. An empty text is the same as none.
    #[must_use]
    pub fn around(&self) -> Around {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Around {
            azure: Workload {
                client: given(&self.azure_client_id),
                tenant: given(&self.azure_tenant_id),
                authority: given(&self.azure_authority_host),
                token_file: self.azure_federated_token_file.clone().filter(|file| !file.as_os_str().is_empty()),
            },
            google: Machine { metadata_host: given(&self.gce_metadata_host), project: given(&self.google_project) },
        }
    }
}

/// A layer of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Layer {
    /// ScaledObjects and their targets.
    Workloads,
    /// NodePools, NodeClaims and nodes.
    Nodes,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Workloads => "workloads",
            Self::Nodes => "nodes",
        })
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Settings that go together.
///
/// # Errors
/// All that do not, at once.
pub fn checked(settings: Settings) -> anyhow::Result<Settings> {
    let mut wrong = Vec::new();
    if settings.layers.is_empty() {
        wrong.push("--layers: name at least one of workloads and nodes".to_owned());
    }
    if settings.lease_duration < Duration::from_secs(3) {
        wrong.push(format!("--lease-duration: {:?} is too short to be renewed in time; give 3s or more", settings.lease_duration));
    }
    if settings.metrics_address == settings.health.health_address && settings.metrics_address.port() != 0 {
        wrong.push(format!("--metrics-address and --health-address are both {}; give two", settings.metrics_address));
    }
    anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(settings)
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = springtide_api::duration::parse(text).map_err(|error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| format!("`{text}` is negative; a duration such as 15s is meant"))
}
