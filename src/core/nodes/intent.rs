//! Intent: replicas that are wanted and whose pods do not exist yet. Each becomes a virtual pod, so that a node is planned in the turn in which the replicas
//! are decided.
//!
//! Wanted minus counted, and never more than can come: a quota that leaves no room, a refused dry run or a controller that makes no pods ends the intent,
//! with a reason.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cluster::Cluster;
use super::resources::Resources;
use super::shape::ShapeId;
use super::workload::{Template, Workload, WorkloadKey};
use crate::name::Name;
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
    landed: bool,
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
    let (mut granted, mut asked) = (BTreeMap::<Name, Resources>::new(), BTreeSet::new());
    tracks.retain(|key, _| wanted.contains_key(key));
    for (key, want) in wanted {
        let Some(workload) = cluster.workloads.get(key) else { continue };
        if !cluster.templates.contains_key(&workload.template) {
            // Asked for in advance, so that the first burst does not wait for the answer; once, where several workloads share a template.
            if asked.insert(&workload.template) {
                found.probes.push(Action::Probe { workload: key.clone(), template: workload.template.clone() });
            }
        }
        let counts = cluster.counts_of(workload);
        let counted = counts.alive;
        let missing = want.0.saturating_sub(counted);
        let landed = workload.replicas >= *want && workload.writing.is_none();
        let fresh = Track { wanted: *want, counted, landed, moved: now };
        let track = tracks.entry(key.clone()).or_insert_with(|| fresh.clone());
        // Patience begins with the wish, again when the replicas are seen to be written, and anew with each pod that comes or goes. A write that never lands
        // ends it too. In a set that starts one pod after another, the next one waits for the last by right.
        let waits_its_turn = workload.one_by_one && counts.ready < counts.alive;
        if missing == 0 || waits_its_turn || landed != track.landed || track.wanted != *want || track.counted != counted {
            *track = fresh;
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
            let reason = if landed {
                IntentReason::NoPodCame { after: quiet, missing }
            } else {
                IntentReason::NotWritten { after: quiet, wanted: *want }
            };
            found.withheld.push((key.clone(), reason));
            continue;
        }
        let end = track.moved.checked_add(PATIENCE).ok();
        found.look_again = [found.look_again, end].into_iter().flatten().min();
        let granted = granted.entry(key.key.namespace.clone()).or_default();
        let missing = if workload.one_by_one { missing.min(1) } else { missing };
        let count = within_quotas(cluster, key, workload, shape, missing, granted, &mut found);
        if count > 0 {
            granted.add(&cluster.shapes.get(shape).requests, count);
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

/// How many of the missing pods the namespace's quotas leave room for, beside those that were `granted` to other workloads of it.
fn within_quotas(
    cluster: &Cluster,
    key: &WorkloadKey,
    workload: &Workload,
    shape: ShapeId,
    missing: u32,
    granted: &Resources,
    found: &mut Intents,
) -> u32 {
    let nothing = Resources::default();
    let requests = &cluster.shapes.get(shape).requests;
    let limits = match cluster.templates.get(&workload.template) {
        Some(Template::Pod { limits, .. }) => limits,
        _ => &nothing,
    };
    let mut existing = cluster.used_in(&key.key.namespace).unwrap_or(&nothing).clone();
    existing.add(granted, 1);
    let quotas = cluster.quotas.iter().filter(|(name, _)| name.namespace == key.key.namespace);
    let Some((quota, room)) = quotas.map(|(name, quota)| (name, quota.room_for(requests, limits, &existing))).min_by_key(|(_, room)| *room)
    else {
        return missing;
    };
    if room < missing {
        found.withheld.push((key.clone(), IntentReason::Quota { quota: quota.name.clone(), room, wanted: missing }));
    }
    missing.min(room)
}

#[cfg(test)]
#[path = "intent_tests.rs"]
mod tests;
