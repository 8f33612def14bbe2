//! The `springtide` program: parse, dispatch, exit.

mod cli;
mod daemon;
mod kube;
mod settings;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
