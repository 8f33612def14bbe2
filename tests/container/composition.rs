//! What docker/compose.yaml says, as compose understands it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use springtide_worker::BrokerUrl;

/// A compose file with all of its profiles, after anchors and defaults.
pub struct Composition(Value);

impl Composition {
    /// Reads a file.
    pub fn read(compose: &Path, file: &Path) -> Result<Self> {
        let arguments = ["--profile", "*", "config", "--format", "json"];
        let output = Command::new(compose).arg("--file").arg(file).args(arguments).output().context("start compose")?;
        ensure!(output.status.success(), "{} is no compose file: {}", file.display(), String::from_utf8_lossy(&output.stderr));
        Ok(Self(serde_json::from_slice(&output.stdout)?))
    }

    /// The image of a service.
    pub fn image(&self, service: &str) -> Result<&str> {
        self.0["services"][service]["image"].as_str().with_context(|| format!("there is no service {service} with an image"))
    }

    /// The broker's URL that workers are given, with another host.
    pub fn broker(&self, host: &str) -> Result<BrokerUrl> {
        let url = self.0["services"]["worker"]["environment"]["SPRINGTIDE_WORKER_URL"].as_str().context("the worker has no URL")?;
        Ok(url.replace("@rabbitmq:", &format!("@{host}:")).parse()?)
    }

    /// What is not as it should be for every service.
    pub fn breaches(&self) -> Vec<String> {
        let Some(services) = self.0["services"].as_object() else { return vec!["there are no services".to_owned()] };
        let mut wrong = Vec::new();
        for (name, service) in services {
            let mut must = |holds: bool, what: &str| {
                if !holds {
                    wrong.push(format!("{name}: {what}"));
                }
            };
            must(service["read_only"] == true, "its root file system can be written");
            must(service["cap_drop"] == serde_json::json!(["ALL"]) && service["cap_add"].is_null(), "it has capabilities");
            must(service["security_opt"] == serde_json::json!(["no-new-privileges:true"]), "it may gain privileges");
            must(service["privileged"].is_null(), "it is privileged");
            let image = service["image"].as_str().unwrap_or_default();
            let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
            must(
                !tag.is_empty() && tag != "latest" && tag.chars().next().is_some_and(|c| c == 'v' || c.is_ascii_digit()) || tag == "dev",
                "its image is not pinned",
            );
            for port in service["ports"].as_array().into_iter().flatten() {
                must(port["host_ip"] == "127.0.0.1", "a port is open to other machines");
            }
            for (other, edge) in service["depends_on"].as_object().into_iter().flatten() {
                let healthy = edge["condition"] == "service_healthy" && !services[other]["healthcheck"].is_null();
                must(
                    healthy || edge["condition"] == "service_completed_successfully",
                    &format!("it does not wait until {other} is healthy or done"),
                );
            }
        }
        wrong
    }
}
