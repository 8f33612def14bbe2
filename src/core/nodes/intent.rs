//! Intent: replicas that are wanted and whose pods do not exist yet. Each becomes a virtual pod, so that a node is planned in the turn in which the replicas
//! are decided.
//!
//! Wanted minus counted, and never more than can come: a quota that leaves no room, a refused dry run or a controller that makes no pods ends the intent,
//! with a reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::shape::ShapeId;
use super::workload::{Template, Workload, WorkloadKey};
use crate::plan::Action;
use crate::reason::IntentReason;
use crate::units::Replicas;
use crate::{Span, Timestamp};

/// ReplicaSets make about 20 pods a second; a controller that has made none for this long is taken to be unable to.
pub const PATIENCE: Span = Span::from_secs(10);

/// Virtual pods of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Whose they are.
    pub workload: WorkloadKey,
    /// What they look like.
    pub shape: ShapeId,
    /// How many.
    pub count: u32,
}

/// What is remembered of a workload from turn to turn. Its loss gives the workload's pods [`PATIENCE`] once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    wanted: Replicas,
    counted: u32,
    moved: Timestamp,
}

/// Intents, what is held back, and what has to be asked.
#[derive(Debug, Default)]
pub struct Intents {
    /// Virtual pods.
    pub intents: Vec<Intent>,
    /// What is held back and why.
    pub withheld: Vec<(WorkloadKey, IntentReason)>,
    /// Templates that have to be asked about.
    pub probes: Vec<Action>,
    /// When patience ends.
    pub look_again: Option<Timestamp>,
}

/// The intents of this moment. `wanted` has the replicas that the workload layer decided on.
#[must_use]
pub fn intents(
    now: Timestamp,
    cluster: &Cluster,
    wanted: &BTreeMap<WorkloadKey, Replicas>,
    tracks: &mut BTreeMap<WorkloadKey, Track>,
) -> Intents {
    let mut found = Intents::default();
    tracks.retain(|key, _| wanted.contains_key(key));
    for (key, want) in wanted {
        let Some(workload) = cluster.workloads.get(key) else { continue };
        if !cluster.templates.contains_key(&workload.template) {
            // Asked for in advance, so that the first burst does not wait for the answer.
            found.probes.push(Action::Probe { workload: key.clone(), template: workload.template.clone() });
        }
        let counted = cluster.counts_of(workload).alive;
        let missing = want.0.saturating_sub(counted);
        let landed = workload.replicas >= *want && workload.writing.is_none();
        let track = tracks.entry(key.clone()).or_insert(Track { wanted: *want, counted, moved: now });
        if missing == 0 || !landed || track.wanted != *want || track.counted != counted {
            *track = Track { wanted: *want, counted, moved: now };
        }
        if missing == 0 {
            continue;
        }
        let shape = match shape_of(cluster, workload) {
            Ok(shape) => shape,
            Err(reason) => {
                found.withheld.push((key.clone(), reason));
                continue;
            }
        };
        if let Some(message) = workload.failure.as_ref().filter(|_| landed && counted < want.0) {
            found.withheld.push((key.clone(), IntentReason::Failure { message: message.clone() }));
            continue;
        }
        let quiet = now.duration_since(track.moved);
        if quiet >= PATIENCE {
            found.withheld.push((key.clone(), IntentReason::NoPodCame { after: quiet, missing }));
            continue;
        }
        if landed {
            let end = track.moved.checked_add(PATIENCE).ok();
            found.look_again = [found.look_again, end].into_iter().flatten().min();
        }
        let count = within_quotas(cluster, key, workload, shape, missing, &mut found);
        let count = if workload.one_by_one { count.min(1) } else { count };
        if count > 0 {
            found.intents.push(Intent { workload: key.clone(), shape, count });
        }
    }
    found
}

/// The shape of the newest live pod of the newest revision; without one, of a dry run of the template.
fn shape_of(cluster: &Cluster, workload: &Workload) -> Result<ShapeId, IntentReason> {
    if let Some(shape) = cluster.newest_shape(workload) {
        return Ok(shape);
    }
    match cluster.templates.get(&workload.template) {
        Some(Template::Pod { shape, .. }) => Ok(*shape),
        Some(Template::Refused(message)) => Err(IntentReason::Refused { message: message.clone() }),
        None => Err(IntentReason::TemplateUnknown),
    }
}

fn within_quotas(cluster: &Cluster, key: &WorkloadKey, workload: &Workload, shape: ShapeId, missing: u32, found: &mut Intents) -> u32 {
    let nothing = super::resources::Resources::default();
    let requests = &cluster.shapes.get(shape).requests;
    let limits = match cluster.templates.get(&workload.template) {
        Some(Template::Pod { limits, .. }) => limits,
        _ => &nothing,
    };
    let existing = cluster.used_in(&key.key.namespace).unwrap_or(&nothing);
    let quotas = cluster.quotas.iter().filter(|(name, _)| name.namespace == key.key.namespace);
    let Some((quota, room)) = quotas.map(|(name, quota)| (name, quota.room_for(requests, limits, existing))).min_by_key(|(_, room)| *room)
    else {
        return missing;
    };
    if room < missing {
        found.withheld.push((key.clone(), IntentReason::Quota { quota: quota.name.clone(), room, wanted: missing }));
    }
    missing.min(room)
}
