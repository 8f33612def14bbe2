//! Any bytes, read as manifests and planned for: nothing panics or hangs, and no plan breaks a promise.
//!
//! The modules are the program's own, which is no library: they are taken in by path.
#![no_main]
#![allow(dead_code, missing_docs)]

#[path = "../../../src/manifests/mod.rs"]
mod manifests;
#[path = "../../../src/objects/mod.rs"]
mod objects;
#[path = "../../../src/plan/mod.rs"]
mod plan;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use springtide_clouds::catalog;
use springtide_core::nodes::decide::Options;
use springtide_core::nodes::offer::InstanceType;

use crate::manifests::{Limits, parse};
use crate::plan::readings::Readings;

/// Few types, so that a plan takes no time; the first of each size.
static TYPES: LazyLock<Vec<InstanceType>> = LazyLock::new(|| catalog::kwok_types().into_iter().step_by(7).collect());
/// So little may a plan compute, and so few values may a file have.
const EFFORT: u64 = 1_000_000;
const LIMITS: Limits = Limits { file: 1 << 20, all: 1 << 20, values: 20_000, all_values: 20_000 };

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = parse(&"a.yaml".into(), text, &LIMITS);
    let mut objects = objects::read(&parsed.documents);
    let offers = objects.sell(TYPES.clone());
    let Ok(readings) = Readings::find(&objects, &[]) else { return };
    let decided = plan::turn(&objects, &offers, &readings, Options { effort: EFFORT, ..Options::default() });
    let breaches = decided.breaches();
    assert!(breaches.is_empty(), "{}", breaches[0]);
    let told = decided.told();
    assert!(!told.to_string().contains("nameless"), "a pod is counted that nobody knows");
});
