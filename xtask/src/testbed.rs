//! `cargo xtask testbed`: passed on to the testbed's own program, which is built first.

use std::process::Command;

use anyhow::{Context, Result};

use crate::Outcome;
use crate::shell::{cargo, must_succeed, succeeds};

const PROGRAM: &str = "springtide-testbed";

/// The testbed's own program says which there are and what each does.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// up, down or status, and `--name NAME` for several at once
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    let arguments: Vec<&str> = arguments.arguments.iter().map(String::as_str).collect();
    Ok(if succeeds(&mut program(&arguments)?)? { Outcome::Good } else { Outcome::Problems })
}

/// The testbed's program, built, with arguments.
///
/// It is built as a part of the whole workspace: then its dependencies have the features that they have in tests, and compile once.
pub(crate) fn program(arguments: &[&str]) -> Result<Command> {
    must_succeed(&mut cargo(&["build", "--quiet", "--workspace", "--bin", PROGRAM]))?;
    // Both are built by the same cargo into the same folder.
    let own = std::env::current_exe().context("cannot find the folder of built programs")?;
    let mut command = Command::new(own.with_file_name(PROGRAM));
    command.args(arguments);
    Ok(command)
}
