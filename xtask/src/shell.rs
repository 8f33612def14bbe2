//! Running other programs from the workspace's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The cargo that runs us, in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    // Cargo says it to what it runs. What was known at build time is another checkout's, where several share a target folder.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).join("..")
}

/// Runs a program to its end; whether it was content.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command.status().with_context(|| format!("cannot start {}", name(command)))?.success())
}

/// Runs a program that has to be content.
pub(crate) fn must_succeed(command: &mut Command) -> Result<()> {
    if !succeeds(command)? {
        bail!("{command:?} failed; what it printed says why");
    }
    Ok(())
}

/// Whether a program of this name can be started.
pub(crate) fn has_program(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| folder.join(program).is_file())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
