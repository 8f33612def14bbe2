//! `cargo xtask gen`: writes anew what is made from the code. A test fails where these files are stale.

use anyhow::Result;

use crate::Outcome;
use crate::shell::{cargo, succeeds};

pub(crate) fn run() -> Result<Outcome> {
    // The test that compares the CRDs with `config/crd` also writes them; so the two cannot differ.
    let mut command = cargo(&["test", "--quiet", "--package", "springtide-api", "files_are_fresh"]);
    Ok(if succeeds(command.env("UPDATE", "1"))? { Outcome::Good } else { Outcome::Problems })
}
