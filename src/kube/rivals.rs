//! Whether another controller is at work in one of our layers: KEDA's or Karpenter's Lease is being renewed. While it is, that layer writes nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, ListParams};
use tokio::sync::watch;

use super::act::message;

/// How often is looked. A rival that starts is seen before its first Lease runs out.
const EVERY: Duration = Duration::from_secs(5);

/// Who else is at work, with where their Lease is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rivals {
    /// KEDA, in the workload layer.
    pub keda: Option<String>,
    /// Karpenter, in the node layer.
    pub karpenter: Option<String>,
}

/// Looks all the time. The value is none until the first look has succeeded.
#[must_use]
pub fn look(client: Client) -> watch::Receiver<Option<Rivals>> {
    let (tx, rx) = watch::channel(None);
    tokio::spawn(async move {
        let mut every = tokio::time::interval(EVERY);
        loop {
            every.tick().await;
            let found = tokio::try_join!(renewed(&client, "operator.keda.sh"), renewed(&client, "karpenter-leader-election"));
            match found {
                Ok((keda, karpenter)) => {
                    let rivals = Some(Rivals { keda, karpenter });
                    tx.send_if_modified(|known| {
                        let changed = *known != rivals;
                        known.clone_from(&rivals);
                        changed
                    });
                }
                Err(error) => tracing::warn!(error = message(&error), "whether KEDA or Karpenter is at work could not be seen"),
            }
            if tx.is_closed() {
                return;
            }
        }
    });
    rx
}

/// Where a Lease of this name is renewed at present.
async fn renewed(client: &Client, name: &str) -> Result<Option<String>, kube::Error> {
    let leases = Api::<Lease>::all(client.clone()).list(&ListParams::default().fields(&format!("metadata.name={name}"))).await?;
    let now = Timestamp::now();
    Ok(leases.items.into_iter().find_map(|lease| {
        let spec = lease.spec?;
        spec.holder_identity.filter(|holder| !holder.is_empty())?;
        let lasts = SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15)));
        let until = spec.renew_time?.0.checked_add(lasts).ok()?;
        (until > now).then(|| format!("{}/{name}", lease.metadata.namespace.unwrap_or_default()))
    }))
}
