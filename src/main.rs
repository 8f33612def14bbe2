//! The `springtide` program: parse, dispatch, exit.

mod cli;
mod daemon;
mod kube;
mod settings;
mod telemetry;
#[allow(dead_code, unused_imports, reason = "the demo is about to serve it")]
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
