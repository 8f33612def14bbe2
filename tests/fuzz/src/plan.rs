//! Any bytes, read as manifests and planned for: nothing panics or hangs, and no plan breaks a promise.
//!
//! The modules are the program's own, which is no library: they are taken in by path.
#![no_main]
#![allow(dead_code, missing_docs)]

#[path = "../../../src/manifests/mod.rs"]
mod manifests;
mod mutation;
#[path = "../../../src/objects/mod.rs"]
mod objects;
#[path = "../../../src/plan/mod.rs"]
mod plan;

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_crossover, fuzz_mutator, fuzz_target, fuzzer_mutate};
use springtide_clouds::catalog;
use springtide_core::nodes::decide::Options;
use springtide_core::nodes::offer::InstanceType;
use springtide_core::scale::policy::Pause;

use crate::manifests::{Limits, parse};
use crate::objects::Objects;
use crate::plan::readings::{Given, Readings};

/// Few types, so that a plan takes no time; the first of each size.
static TYPES: LazyLock<Vec<InstanceType>> = LazyLock::new(|| catalog::kwok_types().into_iter().step_by(7).collect());
/// So little may a plan compute, and so few values may a file have.
const EFFORT: u64 = 1_000_000;
const LIMITS: Limits = Limits { file: 1 << 20, all: 1 << 20, values: 20_000, all_values: 20_000 };

/// So many pods are planned for at most: with more, a single plan takes seconds, and shows nothing that it would not show with these.
const PODS: u64 = 300;

// LLVM's fuzzer would look into each comparison of two names, which takes more than half of the time. In this way the linker finds the C
// library's own first.
#[link(name = "c")]
unsafe extern "C" {}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let parsed = parse(&"a.yaml".into(), text, &LIMITS);
    let mut objects = objects::read(&parsed.documents);
    if pods(&objects) > PODS {
        return Corpus::Reject;
    }
    let offers = objects.sell(TYPES.clone());
    let Ok(readings) = Readings::find(&objects, &given(&objects, data.len())) else { return Corpus::Reject };
    let decided = plan::turn(&objects, &offers, &readings, Options { effort: EFFORT, ..Options::default() });
    let breaches = decided.breaches();
    assert!(breaches.is_empty(), "{}", breaches[0]);
    let told = decided.told();
    let _ = told.to_string();
    let pods = told.node_claims.iter().flat_map(|claim| &claim.pods).chain(told.placements.iter().flat_map(|placed| &placed.pods));
    let nameless = pods.chain(told.unschedulable.iter().map(|one| &one.pod)).find(|pod| pod.starts_with("(nameless"));
    assert!(nameless.is_none(), "a pod is counted that nobody knows");
    Corpus::Keep
});

/// How many pods there may be in the end, as long as nobody says what triggers read.
fn pods(objects: &Objects) -> u64 {
    let own = objects.cluster.workloads.values().map(|workload| workload.replicas.0);
    let scaled = objects.scaled.iter().flat_map(|scaled| {
        let paused = if let Pause::At(replicas) = scaled.policy.pause { replicas.0 } else { 0 };
        [scaled.policy.min.0, paused, scaled.policy.fallback.as_ref().map_or(0, |fallback| fallback.replicas.0)]
    });
    let room = objects.cluster.buffers.values().map(|(_, count)| *count);
    own.chain(scaled).chain(room).map(u64::from).sum()
}

/// What triggers read: as many messages as the text has bytes, or, where these are even, nothing that anybody said.
fn given(objects: &Objects, bytes: usize) -> Vec<Given> {
    let told = objects.scaled.iter().filter(|scaled| bytes % 2 == 1 && u64::from(scaled.policy.max.0) <= PODS);
    let triggers = told.flat_map(|scaled| (0..scaled.triggers.len()).map(move |i| format!("{}:{i}={bytes}", scaled.key)));
    triggers.filter_map(|given| given.parse().ok()).collect()
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // One in eight is a text that nobody wrote rather than a manifest that nobody wrote.
    match (seed % 8 > 0).then(|| mutation::mutant(&data[..size], &[], max_size, seed)).flatten() {
        Some(text) => put(&text, data),
        None => fuzzer_mutate(data, size, max_size),
    }
});

fuzz_crossover!(|data1: &[u8], data2: &[u8], out: &mut [u8], seed: u32| {
    mutation::mutant(data1, data2, out.len(), seed).map_or(0, |text| put(&text, out))
});

fn put(text: &str, out: &mut [u8]) -> usize {
    out[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}
