//! Whether another controller is at work in one of our layers: KEDA's or Karpenter's Lease is being renewed. While it is, that layer writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ListParams};
use tokio::sync::watch;
use tokio::time::Instant;

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
        let (mut of_keda, mut of_karpenter) = (Sightings::new(), Sightings::new());
        loop {
            every.tick().await;
            let looks = async {
                tokio::try_join!(
                    renewed(&client, "operator.keda.sh", &mut of_keda),
                    renewed(&client, "karpenter-leader-election", &mut of_karpenter)
                )
            };
            let found = match tokio::time::timeout(EVERY, looks).await {
                Ok(found) => found.map_err(|error| message(&error)),
                Err(_) => Err(format!("no answer within {} s", EVERY.as_secs())),
            };
            match found {
                Ok((keda, karpenter)) => {
                    let rivals = Some(Rivals { keda, karpenter });
                    tx.send_if_modified(|known| {
                        let changed = *known != rivals;
                        known.clone_from(&rivals);
                        changed
                    });
                }
                Err(error) => tracing::warn!(error, "whether KEDA or Karpenter is at work could not be seen"),
            }
            if tx.is_closed() {
                return;
            }
        }
    });
    rx
}

/// By namespace, a Lease's last renewal and when we first saw it: clocks of other machines are not trusted.
type Sightings = BTreeMap<String, (MicroTime, Instant)>;

/// A renewal that lies so far back is an old one, whatever the clocks say.
const LONG_AGO: SignedDuration = SignedDuration::from_mins(10);

/// Where a Lease of this name is renewed at present.
async fn renewed(client: &Client, name: &str, seen: &mut Sightings) -> Result<Option<String>, kube::Error> {
    let leases = Api::<Lease>::all(client.clone()).list(&ListParams::default().fields(&format!("metadata.name={name}"))).await?;
    let (now, mut found) = (Timestamp::now(), None);
    for lease in leases.items {
        let (namespace, spec) = (lease.metadata.namespace.unwrap_or_default(), lease.spec.unwrap_or_default());
        let held = spec.holder_identity.is_some_and(|holder| !holder.is_empty());
        let Some(renewal) = spec.renew_time.filter(|at| held && now.duration_since(at.0) < LONG_AGO) else { continue };
        let lasts = Duration::from_secs(spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(15));
        let (known, since) = seen.entry(namespace.clone()).or_insert_with(|| (renewal.clone(), Instant::now()));
        if *known != renewal {
            (*known, *since) = (renewal, Instant::now());
        }
        if since.elapsed() < lasts {
            found = Some(format!("{namespace}/{name}"));
        }
    }
    Ok(found)
}
