//! The `springtide` program: parse, dispatch, exit.

mod check;
mod cli;
mod daemon;
mod kube;
mod manifests;
mod settings;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
