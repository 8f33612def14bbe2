//! `cargo xtask gen`: writes anew what is made from the code. A test fails where these files are stale.

use anyhow::Result;

use crate::Outcome;
use crate::shell::{cargo, succeeds};

pub(crate) fn run() -> Result<Outcome> {
    // The tests that compare these files also write them; so the two cannot differ.
    let writers: [&[&str]; 5] = [
        // CRDs, in `config/crd`.
        &["test", "--quiet", "--package", "springtide-api", "files_are_fresh"],
        // A page for each scaler, and that of KEDA's rows that differ, in `docs/scalers`.
        &["test", "--quiet", "--package", "springtide-scalers", "pages_are_fresh"],
        // Answers of `springtide check`, in `tests/check/broken`.
        &["test", "--quiet", "--package", "springtide", "--test", "whole", "answers_are_those_on_record"],
        // Plans of `springtide plan`, in `tests/plan/cases`.
        &["test", "--quiet", "--package", "springtide", "--test", "whole", "plans_are_those_on_record"],
        // The same of its conformance, in `tests/conformance/cases`.
        &["test", "--quiet", "--package", "springtide", "--test", "whole", "conformance"],
    ];
    let mut outcome = Outcome::Good;
    for writer in writers {
        if !succeeds(cargo(writer).env("UPDATE", "1"))? {
            outcome = Outcome::Problems;
        }
    }
    Ok(outcome)
}
