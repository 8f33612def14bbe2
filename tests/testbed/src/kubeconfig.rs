//! Kubeconfig files: one per identity, in the plane's folder. They are written as JSON, which is YAML.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::certificates::Identity;
use crate::run::Run;

/// Writes a kubeconfig for a client certificate.
pub(crate) fn for_identity(run: &Run, name: &str, server: &str, identity: &Identity) -> Result<PathBuf> {
    let certificate = run.write(&format!("{name}.crt"), &identity.certificate)?;
    let key = run.write(&format!("{name}.key"), &identity.key)?;
    write(run, name, server, &json!({"client-certificate": certificate, "client-key": key}))
}

/// Writes a kubeconfig for a token.
pub(crate) fn for_token(run: &Run, name: &str, server: &str, token: &str) -> Result<PathBuf> {
    write(run, name, server, &json!({"token": token}))
}

/// A client of whatever a kubeconfig names.
pub(crate) async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let read = Kubeconfig::read_from(kubeconfig).with_context(|| format!("cannot read {}", kubeconfig.display()))?;
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("cannot use {}", kubeconfig.display()))?;
    kube::Client::try_from(config).with_context(|| format!("cannot make a client of {}", kubeconfig.display()))
}

fn write(run: &Run, name: &str, server: &str, user: &Value) -> Result<PathBuf> {
    let mut cluster = json!({"server": server});
    if server.starts_with("https:") {
        cluster["certificate-authority"] = json!(run.folder().join(AUTHORITY));
    }
    let content = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "testbed", "user": name}}],
        "current-context": name,
    });
    run.write(&format!("{name}.kubeconfig"), serde_json::to_vec_pretty(&content)?)
}

/// The file in the run's folder that holds the authority's certificate.
pub(crate) const AUTHORITY: &str = "ca.crt";
