//! `springtide crds`: the custom resource definitions, for `kubectl apply`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

/// Print the custom resource definitions as YAML.
#[derive(Args)]
#[command(after_help = "Example:\n  springtide crds | kubectl apply --server-side -f -")]
pub struct Crds {}

impl Crds {
    /// Prints them.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        for (_, yaml) in springtide_api::crds::rendered().context("make the CRDs")? {
            writeln!(out, "---\n{}", yaml.trim_end()).context("write to standard output")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
