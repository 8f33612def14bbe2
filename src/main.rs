//! The `springtide` program: parse, dispatch, exit.

mod cli;
#[cfg(feature = "cluster")]
mod daemon;
#[cfg(feature = "cluster")]
mod kube;
#[cfg(feature = "cluster")]
mod settings;
#[cfg(feature = "cluster")]
mod telemetry;
#[allow(dead_code, unused_imports, reason = "the demo is about to serve it")]
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
