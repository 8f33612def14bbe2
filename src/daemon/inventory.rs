//! Machines against claims, both ways: a machine whose claim is gone is ended, and a claim whose machine is gone is given up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use springtide_clouds::{Cloud, Listed};
use springtide_core::name::Name;
use springtide_core::nodes::claim::Claim;
use springtide_core::nodes::cluster::Cluster;
use springtide_core::{Span, Timestamp};
use tokio::sync::mpsc;

/// How often is compared; Karpenter's time.
pub const EVERY: Duration = Duration::from_secs(120);
/// What is younger than this may be on its way from the one list to the other.
const SETTLED: Span = Span::from_secs(30);
/// A list that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// All machines of ours that a cloud knows.
pub struct Inventory {
    cloud: Arc<dyn Cloud>,
    /// When the list was asked for: what came later is not in it.
    at: Timestamp,
    machines: Vec<Listed>,
}

/// Begins to list what each cloud has; the lists come by `tx`.
pub fn take(clouds: &[Arc<dyn Cloud>], tx: &mpsc::Sender<Inventory>) {
    for cloud in clouds {
        let (cloud, tx) = (Arc::clone(cloud), tx.clone());
        tokio::spawn(async move {
            let at = Timestamp::now();
            match tokio::time::timeout(PATIENCE, cloud.list()).await {
                Ok(Ok(machines)) => drop(tx.send(Inventory { cloud, at, machines }).await),
                Err(_) => tracing::warn!("the machines of a cloud could not be listed in time"),
                Ok(Err(error)) => tracing::warn!(%error, "the machines of a cloud could not be listed"),
            }
        });
    }
}

impl Inventory {
    /// Ends machines without claims, and marks claims without machines. A claim whose node is ready has a machine, whatever a list says: claims that were
    /// taken over from another controller are in none. `unreadable` are claims that exist and are not in the index.
    pub fn compare(self, cluster: &mut Cluster, unreadable: &BTreeSet<Name>) {
        let settled = |since: Timestamp| self.at.duration_since(since) > SETTLED;
        let has_ready_node = |claim: &Claim, cluster: &Cluster| cluster.node_of(claim).is_some_and(|(_, node)| node.ready);
        let ready: BTreeSet<Name> =
            cluster.claims.iter().filter(|(_, claim)| has_ready_node(claim, cluster)).map(|(name, _)| name.clone()).collect();
        let (group, kind) = self.cloud.kind();
        for (name, claim) in &mut cluster.claims {
            let class = &claim.spec.class;
            let is_ours = class.group == group && class.kind == kind && claim.progress.launched.is_some_and(settled);
            if is_ours && !claim.ended && !ready.contains(name) && !self.machines.iter().any(|machine| machine.claim == *name) {
                tracing::warn!(claim = %name, "its machine is gone");
                claim.ended = true;
            }
        }
        for machine in self.machines {
            let claimed = cluster.claims.get(&machine.claim).is_some_and(|claim| claim.uid.as_ref() == Some(&machine.claim_uid));
            if claimed || unreadable.contains(&machine.claim) || !settled(machine.since) {
                continue;
            }
            tracing::warn!(machine = %machine.provider_id, claim = %machine.claim, "its claim is gone: the machine is ended");
            let cloud = Arc::clone(&self.cloud);
            tokio::spawn(async move {
                if let Err(error) = cloud.delete(&machine.claim, Some(&machine.provider_id)).await {
                    tracing::warn!(machine = %machine.provider_id, %error, "a machine without a claim could not be ended; it is tried again with the next list");
                }
            });
        }
    }
}
