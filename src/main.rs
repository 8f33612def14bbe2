//! The `springtide` program: parse, dispatch, exit.

mod check;
mod cli;
#[cfg(feature = "cluster")]
mod daemon;
mod identity;
#[cfg(feature = "cluster")]
mod kube;
mod manifests;
mod objects;
mod plan;
mod planning;
#[cfg(feature = "cluster")]
mod settings;
#[cfg(feature = "cluster")]
mod telemetry;
mod web;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
