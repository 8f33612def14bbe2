//! The rehearsal of stock-outs: which offerings are refused to which claim. Deterministic by a count of claims, without chance.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use springtide_core::name::Name;
use springtide_core::nodes::offer::OfferingKey;

use crate::cloud::Order;

/// How many offerings a claim is refused: more than one, so that a caller also meets a refusal of its second choice.
const REFUSED: usize = 2;

/// What is refused to whom.
pub(super) struct Stock {
    refuse_every: Option<NonZeroU32>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    claims: u32,
    /// UID and refusals of the claims that have asked and have no machine yet, by name.
    waiting: BTreeMap<Name, (Name, Vec<OfferingKey>)>,
}

impl Stock {
    pub(super) fn new(refuse_every: Option<NonZeroU32>) -> Self {
        Self { refuse_every, seen: Mutex::default() }
    }

    /// What is refused to this claim; the same answer until it has its machine.
    pub(super) fn refusals(&self, order: &Order) -> Vec<OfferingKey> {
        let Some(every) = self.refuse_every else { return Vec::new() };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((uid, refusals)) = seen.waiting.get(&order.claim)
            && *uid == order.uid
        {
            return refusals.clone();
        }
        seen.claims = seen.claims.wrapping_add(1);
        let count = if seen.claims % every == 0 { REFUSED } else { 0 };
        let refusals: Vec<OfferingKey> = order.offerings.iter().take(count).cloned().collect();
        seen.waiting.insert(order.claim.clone(), (order.uid.clone(), refusals.clone()));
        refusals
    }

    /// The claim has its machine, or needs none any more.
    pub(super) fn forget(&self, claim: &Name) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(claim);
    }
}
