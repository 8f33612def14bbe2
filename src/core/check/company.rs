//! Pods that refuse others are not with them, in whichever order they come; and pods that have to be near others find somebody.

use super::domains::{Domains, Entry, Group, UNKNOWN};
use super::{Breach, Wrong};

/// Whoever comes second is refused, by its own rule or by the other's: so no two that refuse each other are in one domain by the end.
pub(super) fn apart(domains: &Domains<'_>, group: &Group<'_>, pods: &[Entry], breaches: &mut Vec<Breach>) {
    for there in by_domain(pods) {
        let asks = |planned| there.iter().find(move |e| e.part.asks && e.planned == planned && (planned || domains.stays(e)));
        let counted = |planned| there.iter().find(move |e| e.part.counted && e.planned == planned && (planned || domains.stays(e)));
        let with_running = || asks(true).zip(counted(false)).or_else(|| counted(true).zip(asks(false)));
        if let Some((pod, other)) = with_running().or_else(|| both_planned(there)) {
            let what = Wrong::Together {
                key: domains.key(group),
                domain: domains.name(pod.domain),
                pod: domains.called(pod),
                other: if (pod.shape, pod.planned) == (other.shape, other.planned) {
                    "another of its kind".to_owned()
                } else {
                    domains.called(other)
                },
            };
            breaches.push(Breach::of(what, domains.actions(there)));
        }
    }
}

/// One that refuses and another one that is refused, both of the plan; one pod alone does not mind itself.
fn both_planned(there: &[Entry]) -> Option<(&Entry, &Entry)> {
    let planned = || there.iter().filter(|entry| entry.planned);
    let other = |pod: &Entry, other: &Entry| !std::ptr::eq(pod, other) || pod.count > 1;
    planned().filter(|pod| pod.part.asks).find_map(|pod| {
        let refused = planned().find(|refused| refused.part.counted && other(pod, refused))?;
        Some((pod, refused))
    })
}

/// Somebody is there, or comes there for another reason; only where nobody is anywhere may one that is of its own kind be the first, in one domain.
pub(super) fn near(domains: &Domains<'_>, group: &Group<'_>, pods: &[Entry], breaches: &mut Vec<Breach>) {
    if pods.iter().any(|entry| entry.domain == UNKNOWN && entry.planned && entry.part.counted) {
        return;
    }
    let anywhere = pods.iter().any(|e| e.part.counted && !e.planned && e.domain != UNKNOWN && e.count > e.leaving && domains.stays(e));
    let mut may_begin = !anywhere;
    for there in by_domain(pods) {
        let Some(pod) = there.iter().find(|entry| entry.planned && entry.part.asks) else { continue };
        let found = there.iter().any(|entry| entry.part.counted && !(entry.planned && entry.part.asks));
        if found {
            continue;
        }
        if may_begin && there.iter().any(|entry| entry.part.counted && entry.part.asks) {
            may_begin = false;
            continue;
        }
        let what = Wrong::Alone { key: domains.key(group), domain: domains.name(pod.domain), pod: domains.called(pod) };
        breaches.push(Breach::of(what, domains.actions(there.iter().filter(|entry| entry.part.asks))));
    }
}

/// The pods of each domain that is known.
pub(super) fn by_domain(pods: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    pods.chunk_by(|a, b| a.domain == b.domain).filter(|there| there.first().is_some_and(|entry| entry.domain != UNKNOWN))
}
